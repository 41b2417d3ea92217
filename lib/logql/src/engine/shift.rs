//! Which steps the parts of a query are evaluated at: `@` makes them one, a subquery makes them others.

use skald_vector::{Bitmap, CancelFlag, Column, Matrix};

use super::Steps;
use super::extract::{Samples, Windows};
use super::leaf::invert;
use super::metric::grid;
use super::window::{RangeFn, evaluate};
use crate::ast::{At, RangeOp, Subquery};
use crate::error::QueryError;

/// The step of a subquery that names none.
const DEFAULT_STEP_NS: i64 = 60_000_000_000;
/// Most steps a subquery may have.
const MAX_SUBQUERY_STEPS: i64 = 110_000;

/// Where in a query evaluation stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The steps of the query itself.
    pub(super) query: Steps,
    /// The steps of the part.
    pub(super) steps: Steps,
}

// === impl Place ===

impl Place {
    pub(super) fn top(steps: Steps) -> Self {
        Self { query: steps, steps }
    }

    /// The steps at which a range with this `@` is looked at.
    pub(super) fn at(self, at: Option<At>) -> Steps {
        match at {
            None => self.steps,
            Some(At::Start) => Steps::instant(self.query.start_ns),
            Some(At::End) => Steps::instant(self.query.end_ns()),
            Some(At::Time(ns)) => Steps::instant(ns),
        }
    }

    /// Inside of a subquery: all multiples of its step that any window holds.
    pub(super) fn within(self, sub: &Subquery) -> Result<Self, QueryError> {
        let outer = self.at(sub.at);
        let step_ns = sub.step_ns.unwrap_or(DEFAULT_STEP_NS).max(1);
        let before = outer.start_ns.saturating_sub(sub.offset_ns).saturating_sub(sub.interval_ns);
        let start_ns = before.div_euclid(step_ns).saturating_add(1).saturating_mul(step_ns);
        let end_ns = outer.end_ns().saturating_sub(sub.offset_ns);
        let n = if end_ns < start_ns { 0 } else { end_ns.saturating_sub(start_ns) / step_ns + 1 };
        if n > MAX_SUBQUERY_STEPS {
            return Err(QueryError::Limit(format!(
                "a subquery has {n} steps, more than {MAX_SUBQUERY_STEPS}; consider a longer step or a shorter range"
            )));
        }
        let steps = Steps { start_ns, step_ns, n: usize::try_from(n).unwrap_or(0) };
        Ok(Self { query: self.query, steps })
    }
}

/// The one value of each series at all steps, if there is one.
pub(super) fn spread(matrix: Matrix, steps: Steps) -> Matrix {
    let mut out = Matrix::new(grid(steps));
    for column in matrix.columns {
        let value = column.values.first().copied().unwrap_or(f64::NAN);
        let mut wide = Column::full(column.labels, vec![value; steps.n]);
        if column.present.none() {
            wide.present = Bitmap::new(steps.n);
        }
        out.push(wide);
    }
    out
}

/// A range aggregation over the values of a subquery.
pub(super) fn over(
    sub: &Subquery,
    inner: &Matrix,
    place: Place,
    cancel: &CancelFlag,
) -> Result<Matrix, QueryError> {
    let inside = place.within(sub)?.steps;
    let steps = place.at(sub.at);
    let windows = Windows { steps, interval_ns: sub.interval_ns, offset_ns: sub.offset_ns };
    let range_fn = RangeFn { op: sub.op, param: sub.param.unwrap_or(0.0), unwrapped: true };
    let mut out = Matrix::new(grid(steps));
    for column in &inner.columns {
        let present = || column.present.ones();
        let samples = Samples {
            labels: column.labels.clone(),
            times: present().map(|i| inside.at(i)).collect(),
            values: present().filter_map(|i| column.values.get(i).copied()).collect(),
        };
        out.push(evaluate(&samples, windows, range_fn, cancel)?);
    }
    if sub.op == RangeOp::Absent {
        out = invert(skald_model::Labels::empty(), &out);
    }
    Ok(if sub.at.is_some() { spread(out, place.steps) } else { out })
}
