//! `histogram_quantile` and `histogram_fraction`: vectors whose label `le` says up to what they count.

use std::collections::HashMap;

use skald_model::Labels;
use skald_vector::histogram::classic::{ClassicBucket, fraction, parse_bound, quantile};
use skald_vector::{Column, Context, Grid, Matrix};

use super::algebra::{Evaluated, refused};
use crate::error::QueryError;

/// The columns of each histogram with their bounds, in order of first appearance.
#[derive(Default)]
struct Histograms {
    index: HashMap<Labels, usize>,
    found: Vec<(Labels, Vec<(f64, usize)>)>,
}

// === impl Histograms ===

impl Histograms {
    /// As in PromQL, columns without a bound that is a number are left out.
    fn of(columns: &[Column]) -> Self {
        let mut all = Self::default();
        for (at, column) in columns.iter().enumerate() {
            let Some(bound) = column.labels.get("le").and_then(parse_bound) else { continue };
            let labels = column.labels.filter(|name| name != "le");
            let n = all.found.len();
            let i = *all.index.entry(labels.clone()).or_insert(n);
            if i == n {
                all.found.push((labels, Vec::new()));
            }
            if let Some((_, buckets)) = all.found.get_mut(i) {
                buckets.push((bound, at));
            }
        }
        for (_, buckets) in &mut all.found {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        all
    }
}

/// The quantile of a vector, or its fraction between two numbers, which come before it.
pub(super) fn of_histograms(
    mut args: Vec<Evaluated>,
    grid: Grid,
    ctx: &Context,
) -> Result<Evaluated, QueryError> {
    let input = args.pop().map_or_else(|| Matrix::new(grid), |arg| arg.into_matrix(grid));
    let numbers: Vec<Vec<f64>> = args.into_iter().map(|arg| arg.into_numbers(grid)).collect();
    let mut out = Matrix::new(grid);
    let mut buckets = Vec::new();
    for (labels, parts) in Histograms::of(&input.columns).found {
        ctx.check().map_err(refused)?;
        let mut column = Column::absent(labels, grid.n);
        for i in 0..grid.n {
            buckets.clear();
            buckets.extend(parts.iter().filter_map(|(upper, at)| {
                let count = input.columns.get(*at)?.float(i)?;
                Some(ClassicBucket { upper: *upper, count })
            }));
            if buckets.is_empty() {
                continue;
            }
            let value = match &numbers[..] {
                [phi] => quantile(phi[i], &mut buckets).0,
                [low, high] => fraction(low[i], high[i], &mut buckets),
                _ => f64::NAN,
            };
            column.set(i, value);
        }
        out.push(column);
    }
    Ok(Evaluated::Vector(out))
}
