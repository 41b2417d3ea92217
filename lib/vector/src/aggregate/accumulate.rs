//! Gathers the columns of one group, one at a time, in order.

use skald_model::Labels;

use super::fold::{Count, Extreme, Spread};
use super::sum::{Total, Want};
use super::{AggregateOp, Group};
use crate::stat::{self, PlainVariance};
use crate::{Column, Context, Matrix, VectorError};

/// What a group of an aggregation has gathered so far.
#[derive(Debug)]
pub struct Accumulator {
    labels: Labels,
    drop_name: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Total(Total),
    Extreme(Extreme),
    Count(Count),
    Spread(Spread),
}

// === impl Accumulator ===

impl Accumulator {
    /// For `op`, which must need one value per step only: no `topk`, `quantile` and the like.
    pub fn new(
        op: AggregateOp,
        labels: Labels,
        drop_name: bool,
        n: usize,
    ) -> Result<Self, VectorError> {
        let state = match op {
            AggregateOp::Sum => State::Total(Total::new(n, Want::Sum)),
            AggregateOp::Avg => State::Total(Total::new(n, Want::Avg)),
            AggregateOp::Min => State::Extreme(Extreme::new(n, "min", stat::min_ignoring_nan)),
            AggregateOp::Max => State::Extreme(Extreme::new(n, "max", stat::max_ignoring_nan)),
            AggregateOp::Count => State::Count(Count::new(n, 1.0)),
            AggregateOp::Group => State::Count(Count::new(n, 0.0)),
            AggregateOp::Stddev => State::Spread(Spread::new(n, "stddev", PlainVariance::stddev)),
            AggregateOp::Stdvar => State::Spread(Spread::new(n, "stdvar", PlainVariance::variance)),
            _ => {
                let text = format!("{} does not go by one column at a time", op.as_str());
                return Err(VectorError::Parameter(text));
            }
        };
        Ok(Self { labels, drop_name, state })
    }

    /// Takes in a column over the same grid.
    pub fn add(&mut self, column: &Column, ctx: &mut Context) {
        match &mut self.state {
            State::Total(acc) => acc.add(column, ctx),
            State::Extreme(acc) => acc.add(column, ctx),
            State::Count(acc) => acc.add(column),
            State::Spread(acc) => acc.add(column, ctx),
        }
    }

    pub fn finish(self, ctx: &mut Context) -> Column {
        let mut out = match self.state {
            State::Total(acc) => acc.finish(ctx),
            State::Extreme(acc) => acc.finish(),
            State::Count(acc) => acc.finish(),
            State::Spread(acc) => acc.finish(),
        };
        out.labels = self.labels;
        out.drop_name = self.drop_name;
        out
    }
}

pub(super) fn all(
    op: AggregateOp,
    groups: &[Group],
    input: &Matrix,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let mut out = Matrix::new(input.grid);
    for group in groups {
        let labels = group.labels.clone();
        let mut acc = Accumulator::new(op, labels, group.drop_name, input.grid.n)?;
        for column in group.columns(input) {
            ctx.check()?;
            acc.add(column, ctx);
        }
        out.push(acc.finish(ctx));
    }
    Ok(out)
}
