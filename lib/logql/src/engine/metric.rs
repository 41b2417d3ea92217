//! Metric queries: leaves first, each on its own, then the tree over their values.

use std::cmp::Ordering;

use skald_vector::function::{Direction, sort_by_labels};
use skald_vector::{Column, Context, Grid, Matrix};

use super::algebra::{Evaluated, Run};
use super::leaf::Leaf;
use super::shift::Place;
use super::{CancelOnDrop, EngineOptions, Steps, blocking, ns_to_ms};
use crate::ast::{Function, MetricExpr, RangeAgg, RangeOp, VectorAgg, VectorOp};
use crate::error::QueryError;
use crate::result::{MatrixSeries, Stats, Value, VectorSample};
use crate::source::EntrySource;

pub(super) async fn run(
    options: &EngineOptions,
    source: &dyn EntrySource,
    expr: &MetricExpr,
    steps: Steps,
) -> Result<(Evaluated, Stats), QueryError> {
    let mut leaves = Vec::new();
    collect(expr, Place::top(steps), &mut leaves)?;
    let mut stats = Stats::default();
    let mut values: Vec<Matrix> = Vec::with_capacity(leaves.len());
    let mut n_values = 0usize;
    for leaf in leaves {
        let matrix = leaf.run(options, source, &mut stats).await?;
        n_values = n_values.saturating_add(matrix.columns.len().saturating_mul(matrix.grid.n));
        check_values(n_values, options.max_samples)?;
        values.push(matrix);
    }
    let guard = CancelOnDrop::default();
    let mut run = Run::new(values, guard.flag(), options.max_samples);
    let (expr, place) = (expr.clone(), Place::top(steps));
    let out = blocking(move || run.evaluate(&expr, place)).await?;
    drop(guard);
    Ok((out, stats))
}

/// Refuses more than `max` values at once.
pub(super) fn check_values(n: usize, max: usize) -> Result<(), QueryError> {
    if n <= max {
        return Ok(());
    }
    Err(QueryError::Limit(format!(
        "the query makes {n} values, more than {max} (limit max_samples); consider a longer step, fewer series or a shorter range"
    )))
}

/// The steps in milliseconds, which is what results show.
pub(super) fn grid(steps: Steps) -> Grid {
    Grid { start_ms: ns_to_ms(steps.start_ns), step_ms: ns_to_ms(steps.step_ns).max(1), n: steps.n }
}

/// The range aggregation a `sum` can be pushed into: every sample then falls to its group at once.
pub(super) fn pushed_down(agg: &VectorAgg) -> Option<&RangeAgg> {
    use RangeOp::{BytesOverTime, BytesRate, CountOverTime, Rate, Sum};
    match &agg.inner {
        MetricExpr::Range(range)
            if agg.op == VectorOp::Sum
                && range.grouping.is_none()
                && matches!(range.op, CountOverTime | Rate | BytesOverTime | BytesRate | Sum) =>
        {
            Some(range)
        }
        _ => None,
    }
}

/// The leaves in the order in which [`Run::evaluate`] meets them.
fn collect<'a>(
    expr: &'a MetricExpr,
    place: Place,
    out: &mut Vec<Leaf<'a>>,
) -> Result<(), QueryError> {
    match expr {
        MetricExpr::Range(agg) => out.push(Leaf { agg, sum: None, place }),
        MetricExpr::Vector(agg) => match pushed_down(agg) {
            Some(range) => {
                out.push(Leaf { agg: range, sum: Some(agg.grouping.as_ref()), place });
            }
            None => collect(&agg.inner, place, out)?,
        },
        MetricExpr::LabelReplace(call) => collect(&call.inner, place, out)?,
        MetricExpr::Binary(binary) => {
            collect(&binary.left, place, out)?;
            collect(&binary.right, place, out)?;
        }
        MetricExpr::Call(call) => {
            call.exprs().try_for_each(|expr| collect(expr, place, out))?;
        }
        MetricExpr::Negate(inner) => collect(inner, place, out)?,
        MetricExpr::Subquery(sub) => collect(&sub.inner, place.within(sub)?, out)?,
        MetricExpr::Literal(_) | MetricExpr::Constant(_) => {}
    }
    Ok(())
}

// === impl Evaluated ===

impl Evaluated {
    /// Series with at least one value, within the limit, sorted by their labels.
    fn limited(self, steps: Steps, options: &EngineOptions) -> Result<Vec<Column>, QueryError> {
        let mut matrix = self.into_matrix(grid(steps));
        matrix.columns.retain(|column| !column.is_empty());
        let max = options.max_series;
        if matrix.columns.len() > max {
            return Err(QueryError::Limit(format!(
                "maximum number of series ({max}) reached for a single query; consider reducing query cardinality by adding more specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()"
            )));
        }
        matrix.sort_by_labels(&Context::default())?;
        Ok(matrix.columns)
    }

    pub(super) fn into_range(
        self,
        steps: Steps,
        options: &EngineOptions,
    ) -> Result<Value, QueryError> {
        let series = |column: Column| MatrixSeries {
            points: column
                .present
                .ones()
                .map(|i| (ns_to_ms(steps.at(i)), column.values[i]))
                .collect(),
            labels: column.labels,
        };
        Ok(Value::Matrix(self.limited(steps, options)?.into_iter().map(series).collect()))
    }

    /// Sorted by labels, unless the query itself asks for an order.
    pub(super) fn into_instant(
        self,
        steps: Steps,
        expr: &MetricExpr,
        options: &EngineOptions,
    ) -> Result<Value, QueryError> {
        let timestamp_ms = ns_to_ms(steps.start_ns);
        if let Self::Scalar(values) = &self {
            let value = values.first().copied().unwrap_or(f64::NAN);
            return Ok(Value::Scalar { timestamp_ms, value });
        }
        let columns = in_order(self.limited(steps, options)?, expr, grid(steps))?;
        let sample = |c: Column| VectorSample { value: c.values[0], labels: c.labels };
        let mut samples: Vec<VectorSample> = columns.into_iter().map(sample).collect();
        let by_value = |a: &VectorSample, b: &VectorSample| {
            a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal)
        };
        let nan_last = |a: &VectorSample, b: &VectorSample| a.value.is_nan().cmp(&b.value.is_nan());
        match order(expr) {
            Some(Direction::Ascending) => {
                samples.sort_by(|a, b| nan_last(a, b).then(by_value(a, b)));
            }
            Some(Direction::Descending) => {
                samples.sort_by(|a, b| nan_last(a, b).then(by_value(b, a)));
            }
            None => {}
        }
        Ok(Value::Vector { timestamp_ms, samples })
    }
}

/// How the query wants its samples ordered by their values.
fn order(expr: &MetricExpr) -> Option<Direction> {
    match expr {
        MetricExpr::Vector(agg) if agg.op == VectorOp::Sort => Some(Direction::Ascending),
        MetricExpr::Vector(agg) if agg.op == VectorOp::SortDesc => Some(Direction::Descending),
        MetricExpr::LabelReplace(call) => order(&call.inner),
        _ => None,
    }
}

/// Columns as `sort_by_label` wants them, where that is what the query is.
fn in_order(
    columns: Vec<Column>,
    expr: &MetricExpr,
    grid: Grid,
) -> Result<Vec<Column>, QueryError> {
    let MetricExpr::Call(call) = expr else { return Ok(columns) };
    let direction = match call.function {
        Function::SortByLabel => Direction::Ascending,
        Function::SortByLabelDesc => Direction::Descending,
        _ => return Ok(columns),
    };
    let names: Vec<&str> = (1..call.args.len()).map(|i| call.text(i)).collect();
    Ok(sort_by_labels(Matrix { grid, columns }, &names, direction, &Context::default())?.columns)
}
