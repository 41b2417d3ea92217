//! The expression as the engine evaluates it: typed, checked, without parentheses.

use skald_model::Matcher;
use skald_vector::function::{DatePart, Direction};
use skald_vector::{AggregateOp, BinaryOp, Grouping, Matching};

use crate::syntax::ast::Extension;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

/// The time that `@` fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Start,
    End,
    Ms(i64),
}

/// Where something begins in the query, in bytes: for remarks about it.
pub(crate) type Place = u32;

/// The places of a call and of its arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub call: Place,
    pub args: Vec<Place>,
}

#[derive(Clone, Debug)]
pub(crate) struct Selector {
    /// Index of what the source returns for it.
    pub id: usize,
    pub matchers: Vec<Matcher>,
    pub offset_ms: i64,
    pub at: Option<At>,
    pub extension: Option<Extension>,
    /// Only count and sum of its histograms matter.
    pub histogram_stats: bool,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub expr: Expr,
    pub range_ms: i64,
    pub step_ms: Option<i64>,
    pub offset_ms: i64,
    pub at: Option<At>,
}

#[derive(Debug)]
pub(crate) struct Binary {
    pub op: BinaryOp,
    pub lhs: Expr,
    pub rhs: Expr,
    pub matching: Matching,
    pub return_bool: bool,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub op: AggregateOp,
    pub grouping: Grouping,
    pub expr: Expr,
    pub param: Option<Expr>,
    /// Of `expr` and of `param`.
    pub places: (Place, Place),
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Text(String),
    Selector(Selector),
    Range {
        selector: Selector,
        range_ms: i64,
    },
    Subquery(Box<Subquery>),
    Negate(Box<Expr>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call {
        func: Function,
        name: &'static str,
        args: Vec<Expr>,
        places: Places,
    },
    /// What is the same at all times, because `@` fixes everything that it looks at.
    Fixed(Box<Expr>),
}

/// A function of a range of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    CountOverTime,
    PresentOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime,
    MadOverTime,
    FirstOverTime,
    LastOverTime,
    TsOfFirst,
    TsOfLast,
    TsOfMin,
    TsOfMax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramStat {
    Avg,
    Count,
    Sum,
    Stddev,
    Stdvar,
}

/// Anything that does not depend on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarFunction {
    Time,
    Pi,
    Start,
    End,
    Range,
    Step,
    MinOf,
    MaxOf,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Range(RangeFunction),
    Math(fn(f64) -> f64),
    Date(DatePart),
    Scalar(ScalarFunction),
    Absent,
    AbsentOverTime,
    Clamp,
    ClampMin,
    ClampMax,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStat(HistogramStat),
    Info,
    LabelJoin,
    LabelReplace,
    Round,
    Sort(Direction),
    SortByLabel(Direction),
    StartTimestamp,
    Timestamp,
    ToScalar,
    ToVector,
}

impl Places {
    pub(crate) fn arg(&self, i: usize) -> Place {
        self.args.get(i).copied().unwrap_or(self.call)
    }
}

impl Clone for Binary {
    fn clone(&self) -> Self {
        let (mut links, mut at) = (vec![self], &self.lhs);
        while let Expr::Binary(below) = at {
            links.push(below);
            at = &below.lhs;
        }
        let wrap =
            |lhs, b: &&Self| Self { lhs, rhs: b.rhs.clone(), matching: b.matching.clone(), ..**b };
        let inner = links.iter().skip(1).rev();
        wrap(inner.fold(at.clone(), |lhs, b| Expr::Binary(Box::new(wrap(lhs, b)))), &self)
    }
}

impl Drop for Binary {
    /// Takes a chain apart from the outside: it leans to the left and may be long.
    fn drop(&mut self) {
        let mut lhs = std::mem::replace(&mut self.lhs, Expr::Number(0.0));
        while let Expr::Binary(mut below) = lhs {
            lhs = std::mem::replace(&mut below.lhs, Expr::Number(0.0));
        }
    }
}

impl Expr {
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::Text(_) => ValueType::String,
            Self::Range { .. } | Self::Subquery(_) => ValueType::Matrix,
            Self::Selector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Negate(inner) | Self::Fixed(inner) => inner.value_type(),
            Self::Call { func: Function::Scalar(_) | Function::ToScalar, .. } => ValueType::Scalar,
            Self::Call { .. } => ValueType::Vector,
            Self::Binary(b) => {
                // The left side may be a long chain: walk it instead of recursing.
                let mut at = b;
                loop {
                    if at.rhs.value_type() != ValueType::Scalar {
                        return ValueType::Vector;
                    }
                    match &at.lhs {
                        Self::Binary(lhs) => at = lhs,
                        other => return other.value_type(),
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        })
    }
}
