//! `quantile`: the values of each group and step, without whose they are.

use super::{GroupIndex, Grouping, Held, fold};
use crate::{Column, Context, VectorError, stat};

#[derive(Debug)]
pub(super) struct Quantiles<'a> {
    /// Per step.
    phi: Vec<f64>,
    index: GroupIndex<'a>,
    groups: Vec<Group>,
    held: Held,
}

#[derive(Debug)]
struct Group {
    /// The answer, without values yet.
    out: Column,
    /// Per step.
    values: Vec<Vec<f64>>,
}

// === impl Quantiles ===

impl<'a> Quantiles<'a> {
    pub(super) fn new(grouping: &'a Grouping, phi: &[f64], n: usize) -> Self {
        let phi = phi.iter().copied().take(n).collect();
        let index = GroupIndex::new(grouping, false);
        Self { phi, index, groups: Vec::new(), held: Held::default() }
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &mut Context) {
        let at = self.index.find(column);
        if at >= self.groups.len() {
            let mut out = Column::absent(self.index.labels(column), column.len());
            out.drop_name = column.drop_name;
            self.groups.push(Group { out, values: vec![Vec::new(); column.len()] });
            let per_step = size_of::<f64>() + size_of::<Vec<f64>>();
            self.held.bytes += size_of::<Group>() + column.len() * per_step;
            self.held.columns += 1;
        }
        let Some(group) = self.groups.get_mut(at) else { return };
        let (mut more, mut room) = (0, 0);
        for (i, value) in fold::each_float(column, "quantile", ctx) {
            let values = &mut group.values[i];
            let before = values.capacity();
            values.push(value);
            more += 1;
            room += values.capacity() - before;
        }
        self.held.samples = self.held.samples.saturating_add(more);
        self.held.bytes = self.held.bytes.saturating_add(room * size_of::<f64>());
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn finish(self, ctx: &Context) -> Result<Vec<Column>, VectorError> {
        let mut out = Vec::with_capacity(self.groups.len());
        for mut group in self.groups {
            let steps = group.values.into_iter().zip(&self.phi).enumerate();
            for (i, (mut values, phi)) in steps.filter(|(_, (values, _))| !values.is_empty()) {
                ctx.check()?;
                group.out.set(i, stat::quantile(*phi, &mut values));
            }
            if !group.out.is_empty() {
                out.push(group.out);
            }
        }
        Ok(out)
    }
}
