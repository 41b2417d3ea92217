//! Aggregations that need more than one value per group and step, one column at a time: `topk`,
//! `bottomk`, `quantile`, `limitk`, `limit_ratio`, `count_values`.
//!
//! Each keeps what its answer may need and no more: the best values and whose they are, the values alone, the
//! columns that are chosen, or counts.

use super::limit::{Limit, Ratio};
use super::quantile::Quantiles;
use super::top::{Order, Top};
use super::values::Counts;
use super::{AggregateOp, Grouping, Param};
use crate::{Column, Context, Grid, Matrix, VectorError};

/// What an aggregation has gathered of its argument so far.
#[derive(Debug)]
pub struct Gather<'a> {
    grid: Grid,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    Top(Top<'a>),
    Quantiles(Quantiles<'a>),
    Limit(Limit<'a>),
    Ratio(Ratio),
    Counts(Counts<'a>),
}

/// What is held, for limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Values, of whatever series.
    pub samples: usize,
    /// Bytes of these and of what leads to them.
    pub bytes: usize,
    /// Columns of the answer, if it were made now.
    pub columns: usize,
}

// === impl Gather ===

impl<'a> Gather<'a> {
    /// Whether `op` is one of these.
    pub fn does(op: AggregateOp) -> bool {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(op, Topk | Bottomk | Quantile | Limitk | LimitRatio | CountValues)
    }

    /// Fails for a parameter that `op` cannot do with.
    pub fn new(
        op: AggregateOp,
        grouping: &'a Grouping,
        param: Param<'_>,
        grid: Grid,
    ) -> Result<Self, VectorError> {
        let n = grid.n;
        let state = match (op, param) {
            (AggregateOp::Topk, Param::Scalar(k)) => {
                State::Top(Top::new(grouping, k, n, Order::Largest)?)
            }
            (AggregateOp::Bottomk, Param::Scalar(k)) => {
                State::Top(Top::new(grouping, k, n, Order::Smallest)?)
            }
            (AggregateOp::Quantile, Param::Scalar(phi)) => {
                State::Quantiles(Quantiles::new(grouping, phi, n))
            }
            (AggregateOp::Limitk, Param::Scalar(k)) => State::Limit(Limit::new(grouping, k, n)?),
            (AggregateOp::LimitRatio, Param::Scalar(r)) => State::Ratio(Ratio::new(r, n)?),
            (AggregateOp::CountValues, Param::Label(label)) => {
                State::Counts(Counts::new(grouping, label, n)?)
            }
            _ => {
                let text = format!("wrong parameter for {}", op.as_str());
                return Err(VectorError::Parameter(text));
            }
        };
        Ok(Self { grid, state })
    }

    /// Takes in a column over the same grid. The order of columns decides between equal values.
    pub fn add(&mut self, column: &Column, ctx: &mut Context) -> Result<(), VectorError> {
        ctx.check()?;
        if column.is_empty() {
            return Ok(());
        }
        match &mut self.state {
            State::Top(all) => all.add(column, ctx),
            State::Quantiles(all) => all.add(column, ctx),
            State::Limit(all) => all.add(column, ctx)?,
            State::Ratio(all) => all.add(column, ctx)?,
            State::Counts(all) => all.add(column, ctx)?,
        }
        Ok(())
    }

    pub fn held(&self) -> Held {
        match &self.state {
            State::Top(all) => all.held(),
            State::Quantiles(all) => all.held(),
            State::Limit(all) => all.held(),
            State::Ratio(all) => all.held(),
            State::Counts(all) => all.held(),
        }
    }

    /// The answer. `topk` and `bottomk` of an instant vector come sorted by value per group.
    pub fn finish(self, ctx: &mut Context) -> Result<Matrix, VectorError> {
        let columns = match self.state {
            State::Top(all) => all.finish(ctx)?,
            State::Quantiles(all) => all.finish(ctx)?,
            State::Limit(all) => all.finish(),
            State::Ratio(all) => all.finish(),
            State::Counts(all) => all.finish(),
        };
        Ok(Matrix { grid: self.grid, columns })
    }
}

/// Bytes of a column without its labels.
pub(super) fn column_bytes(column: &Column) -> usize {
    let slots = column.len().saturating_mul(size_of::<f64>());
    let histograms = column.histograms.as_ref().map_or(0, |h| h.len() * size_of::<usize>());
    size_of::<Column>().saturating_add(slots).saturating_add(column.len() / 8 + histograms)
}
