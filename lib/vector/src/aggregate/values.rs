//! `count_values`: one column per distinct value.

use std::collections::HashMap;

use skald_model::Labels;

use super::gather::column_bytes;
use super::{Grouping, Held};
use crate::function::format_float;
use crate::{Column, Context, Sample, VectorError};

#[derive(Debug)]
pub(super) struct Counts<'a> {
    grouping: &'a Grouping,
    label: String,
    n: usize,
    columns: Vec<Column>,
    index: HashMap<Labels, usize>,
    held: Held,
}

// === impl Counts ===

impl<'a> Counts<'a> {
    pub(super) fn new(grouping: &'a Grouping, label: &str, n: usize) -> Result<Self, VectorError> {
        if label.is_empty() {
            return Err(VectorError::Parameter(format!("invalid label name {label:?}")));
        }
        let (columns, index, held) = (Vec::new(), HashMap::new(), Held::default());
        Ok(Self { grouping, label: label.to_owned(), n, columns, index, held })
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &Context) -> Result<(), VectorError> {
        let base = self.grouping.key(&column.labels);
        let mut last: Option<(u64, usize)> = None;
        for (i, sample) in column.samples() {
            let at = match (sample, last) {
                (Sample::Float(v), Some((bits, at))) if v.to_bits() == bits => at,
                _ => self.find(&base, sample, ctx)?,
            };
            last = match sample {
                Sample::Float(v) => Some((v.to_bits(), at)),
                Sample::Histogram(_) => None,
            };
            let counts = &mut self.columns[at];
            counts.values[i] += 1.0;
            self.held.samples += usize::from(!counts.present.get(i));
            counts.present.set(i);
        }
        Ok(())
    }

    /// The column that counts `sample` among those with the labels `base`.
    fn find(
        &mut self,
        base: &Labels,
        sample: Sample<'_>,
        ctx: &Context,
    ) -> Result<usize, VectorError> {
        let text = match sample {
            Sample::Float(v) => format_float(v),
            Sample::Histogram(h) => h.to_string(),
        };
        let mut labels = base.to_builder();
        labels.set(&self.label, &text);
        let labels = labels.build();
        if let Some(at) = self.index.get(&labels) {
            return Ok(*at);
        }
        let at = self.columns.len();
        ctx.check_slots(at + 1, self.n)?;
        ctx.check()?;
        let column = Column::absent(labels.clone(), self.n);
        let of_index = labels.as_bytes().len() + size_of::<(Labels, usize)>();
        self.held.bytes = self.held.bytes.saturating_add(column_bytes(&column) + of_index);
        self.held.columns += 1;
        self.columns.push(column);
        self.index.insert(labels, at);
        Ok(at)
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn finish(self) -> Vec<Column> {
        self.columns
    }
}
