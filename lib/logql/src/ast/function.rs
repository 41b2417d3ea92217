//! Functions of vectors that PromQL has and Loki has not.

use skald_vector::function::{DatePart, date_part, math};

use super::MetricExpr;
use crate::lexer::Span;

/// What a function computes.
#[derive(Clone, Copy, Debug)]
pub enum Function {
    /// `abs`, `ln`, `sin`, …: number by number.
    Math(fn(f64) -> f64),
    /// `hour`, `month`, …: of the vector's values, or of the time.
    Date(DatePart),
    Absent,
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    /// Of classic histograms: counts by `le`.
    HistogramFraction,
    HistogramQuantile,
    LabelJoin,
    SortByLabel,
    SortByLabelDesc,
    Timestamp,
    /// `scalar(v)`: the value of a vector of one series, else NaN.
    ToScalar,
    /// `vector(s)` of what is no number in the text.
    ToVector,
    Time,
    Pi,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Vector,
    Scalar,
    Text,
}

/// `name(args…)`.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub function: Function,
    pub args: Vec<Arg>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    Metric(MetricExpr),
    Text(String),
}

/// What a function takes: parameters, how many of them must be there, and whether the last may be repeated.
pub(crate) struct Signature {
    pub(crate) params: &'static [Param],
    pub(crate) required: usize,
    pub(crate) repeats: bool,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.args == other.args
    }
}

// === impl Function ===

impl Function {
    /// The function of that name, in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let other = match name {
            "absent" => Self::Absent,
            "clamp" => Self::Clamp,
            "clamp_min" => Self::ClampMin,
            "clamp_max" => Self::ClampMax,
            "round" => Self::Round,
            "histogram_fraction" => Self::HistogramFraction,
            "histogram_quantile" => Self::HistogramQuantile,
            "label_join" => Self::LabelJoin,
            "sort_by_label" => Self::SortByLabel,
            "sort_by_label_desc" => Self::SortByLabelDesc,
            "timestamp" => Self::Timestamp,
            "scalar" => Self::ToScalar,
            "time" => Self::Time,
            "pi" => Self::Pi,
            _ => return math(name).map(Self::Math).or_else(|| date_part(name).map(Self::Date)),
        };
        Some(other)
    }

    pub(crate) fn signature(self) -> Signature {
        use Param::{Scalar, Text, Vector};
        let (params, required, repeats): (&'static [Param], usize, bool) = match self {
            Self::Math(_) | Self::Absent | Self::Timestamp | Self::ToScalar => {
                (&[Vector], 1, false)
            }
            Self::Date(_) => (&[Vector], 0, false),
            Self::Clamp => (&[Vector, Scalar, Scalar], 3, false),
            Self::ClampMin | Self::ClampMax => (&[Vector, Scalar], 2, false),
            Self::Round => (&[Vector, Scalar], 1, false),
            Self::HistogramFraction => (&[Scalar, Scalar, Vector], 3, false),
            Self::HistogramQuantile => (&[Scalar, Vector], 2, false),
            Self::LabelJoin => (&[Vector, Text, Text, Text], 3, true),
            Self::SortByLabel | Self::SortByLabelDesc => (&[Vector, Text], 2, true),
            Self::ToVector => (&[Scalar], 1, false),
            Self::Time | Self::Pi => (&[], 0, false),
        };
        Signature { params, required, repeats }
    }

    /// Whether the result is one number per step rather than a vector.
    pub fn is_scalar(self) -> bool {
        matches!(self, Self::ToScalar | Self::Time | Self::Pi)
    }
}

// === impl Call ===

impl Call {
    /// The arguments that are expressions.
    pub fn exprs(&self) -> impl Iterator<Item = &MetricExpr> {
        self.args.iter().filter_map(|arg| match arg {
            Arg::Metric(expr) => Some(expr),
            Arg::Text(_) => None,
        })
    }

    /// The text of argument `i`, or nothing where it is an expression.
    pub(crate) fn text(&self, i: usize) -> &str {
        match self.args.get(i) {
            Some(Arg::Text(text)) => text,
            _ => "",
        }
    }
}
