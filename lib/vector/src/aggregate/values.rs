//! `count_values`: one column per distinct value.

use std::collections::HashMap;

use skald_model::Labels;

use super::Grouping;
use crate::function::format_float;
use crate::{Column, Context, Matrix, Sample, VectorError};

pub(super) fn count_values(
    grouping: &Grouping,
    input: &Matrix,
    label: &str,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    if label.is_empty() {
        return Err(VectorError::Parameter(format!("invalid label name {label:?}")));
    }
    let mut columns: Vec<Column> = Vec::new();
    let mut index: HashMap<Labels, usize> = HashMap::new();
    for column in &input.columns {
        ctx.check()?;
        let base = grouping.key(&column.labels);
        let mut last: Option<(u64, usize)> = None;
        for (i, sample) in column.samples() {
            let at = match (sample, last) {
                (Sample::Float(v), Some((bits, at))) if v.to_bits() == bits => at,
                _ => {
                    let text = match sample {
                        Sample::Float(v) => format_float(v),
                        Sample::Histogram(h) => h.to_string(),
                    };
                    let mut labels = base.to_builder();
                    labels.set(label, &text);
                    *index.entry(labels.build()).or_insert_with_key(|labels| {
                        columns.push(Column::absent(labels.clone(), input.grid.n));
                        columns.len() - 1
                    })
                }
            };
            last = match sample {
                Sample::Float(v) => Some((v.to_bits(), at)),
                Sample::Histogram(_) => None,
            };
            ctx.check_slots(columns.len(), input.grid.n)?;
            columns[at].values[i] += 1.0;
            columns[at].present.set(i);
        }
    }
    Ok(Matrix { grid: input.grid, columns })
}
