//! Aggregation operators: many columns become one per group, or the best of each group.
//!
//! Groups are found once per column; then each operator runs over columns, not over steps, except
//! those that need more than one value of a step (`topk`, `quantile`, …).

mod accumulate;
mod fold;
mod gather;
mod grouping;
mod heap;
mod index;
mod limit;
mod param;
mod quantile;
mod sum;
mod top;
mod values;
mod xxh64;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use skald_model::Labels;

pub use self::accumulate::Accumulator;
pub use self::gather::{Gather, Held};
pub use self::grouping::Grouping;
pub use self::index::GroupIndex;
pub use self::param::remark_on_parameters;
use crate::{Column, Context, Matrix, VectorError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

/// The parameter of `topk`, `bottomk`, `quantile`, `limitk`, `limit_ratio` (one value per step) and
/// `count_values` (a label name).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    None,
    Scalar(&'a [f64]),
    Label(&'a str),
}

/// The columns of one group.
#[derive(Debug)]
struct Group {
    labels: Labels,
    drop_name: bool,
    /// Indexes into the input.
    members: Vec<usize>,
}

// === impl AggregateOp ===

impl AggregateOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }
}

/// Aggregates `input`. `topk` and `bottomk` of an instant vector come sorted by value per group.
pub fn aggregate(
    op: AggregateOp,
    grouping: &Grouping,
    input: &Matrix,
    param: Param<'_>,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    if !Gather::does(op) {
        let groups = groups(grouping, input, ctx)?;
        return accumulate::all(op, &groups, input, ctx);
    }
    let mut all = Gather::new(op, grouping, param, input.grid)?;
    for column in &input.columns {
        all.add(column, ctx)?;
    }
    ctx.check_slots(all.held().columns, input.grid.n)?;
    all.finish(ctx)
}

/// Groups in order of first appearance.
fn groups(grouping: &Grouping, input: &Matrix, ctx: &Context) -> Result<Vec<Group>, VectorError> {
    let mut index: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<Group> = Vec::new();
    for (i, column) in input.columns.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
        ctx.check()?;
        let key = grouping.key(&column.labels);
        let at = *index.entry(key).or_insert_with_key(|key| {
            let labels = key.clone();
            out.push(Group { labels, drop_name: column.drop_name, members: Vec::new() });
            out.len() - 1
        });
        out[at].members.push(i);
    }
    Ok(out)
}

// === impl Group ===

impl Group {
    fn columns<'a>(&'a self, input: &'a Matrix) -> impl Iterator<Item = &'a Column> + 'a {
        self.members.iter().map(|i| &input.columns[*i])
    }
}
