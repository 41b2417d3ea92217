//! Aggregation operators: many columns become one per group, or the best of each group.
//!
//! Groups are found once per column; then each operator runs over columns, not over steps, except
//! those that need all values of a step at once (`topk`, `quantile`, …).

mod accumulate;
mod fold;
mod grouping;
mod heap;
mod rank;
mod sum;
mod values;
mod xxh64;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use skald_model::Labels;

pub use self::accumulate::Accumulator;
pub use self::grouping::Grouping;
pub use self::rank::remark_on_parameters;
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
    let groups = groups(grouping, input, ctx)?;
    let name = op.as_str();
    match (op, param) {
        (
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Count
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar,
            _,
        ) => accumulate::all(op, &groups, input, ctx),
        (AggregateOp::Topk, Param::Scalar(k)) => {
            rank::top(&groups, input, k, rank::Order::Largest, ctx)
        }
        (AggregateOp::Bottomk, Param::Scalar(k)) => {
            rank::top(&groups, input, k, rank::Order::Smallest, ctx)
        }
        (AggregateOp::Quantile, Param::Scalar(phi)) => rank::quantile(&groups, input, phi, ctx),
        (AggregateOp::Limitk, Param::Scalar(k)) => rank::limitk(&groups, input, k, ctx),
        (AggregateOp::LimitRatio, Param::Scalar(r)) => rank::limit_ratio(input, r, ctx),
        (AggregateOp::CountValues, Param::Label(label)) => {
            values::count_values(grouping, input, label, ctx)
        }
        _ => Err(VectorError::Parameter(format!("wrong parameter for {name}"))),
    }
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

    fn column(&self, n: usize) -> Column {
        let mut out = Column::absent(self.labels.clone(), n);
        out.drop_name = self.drop_name;
        out
    }
}
