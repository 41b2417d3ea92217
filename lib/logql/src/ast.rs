//! The tree a query is parsed into. Everything in it is checked: what it says can be run.
//!
//! Invariants: nesting is at most [`MAX_DEPTH`], so that walking the tree never exhausts a stack;
//! regular expressions are compiled; literals under arithmetic are folded.

mod display;
mod function;

use skald_model::Matcher;

pub(crate) use self::function::Param;
pub use self::function::{Arg, Call, Function};

pub use crate::lexer::Span;

/// Deepest nesting a query may have, chains of binary operators counted as nesting.
pub const MAX_DEPTH: usize = 128;
/// Most pipeline stages a query may have.
pub const MAX_STAGES: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Log(LogExpr),
    Metric(MetricExpr),
}

/// A selector and the stages lines go through.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    pub matchers: Vec<Matcher>,
    pub stages: Vec<Stage>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    LineFilter(LineFilter),
    Json(Vec<Extraction>),
    Logfmt {
        strict: bool,
        keep_empty: bool,
        extractions: Vec<Extraction>,
    },
    Regexp(String),
    Pattern(String),
    Unpack,
    LabelFilter(LabelFilter),
    LineFormat(String),
    LabelFormat(Vec<LabelFormat>),
    Drop(Vec<NameMatch>),
    Keep(Vec<NameMatch>),
    Decolorize,
    /// Of lines that have the same values of these labels only the first, in query direction. The last stage.
    Distinct(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    Contains,
    NotContains,
    Regex,
    NotRegex,
    Pattern,
    NotPattern,
}

/// `|= "a" or "b"`: any of the operands, or none of them when `op` is negative.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    pub op: LineOp,
    pub operands: Vec<LineOperand>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LineOperand {
    Text(String),
    Ip(String),
}

/// `name="expression"` of the `json` and `logfmt` stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    pub name: String,
    pub expression: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LabelFormat {
    pub name: String,
    pub value: FormatValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FormatValue {
    Rename(String),
    Template(String),
}

/// What `drop` and `keep` name: a label, or a label with a value that matches.
#[derive(Clone, Debug, PartialEq)]
pub enum NameMatch {
    Name(String),
    Matcher(Matcher),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// A condition on labels. `And` evaluates all its parts, `Or` stops at the first that holds.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    And(Vec<LabelFilter>),
    Or(Vec<LabelFilter>),
    String(Matcher),
    Number {
        name: String,
        op: CompareOp,
        value: f64,
    },
    /// Nanoseconds.
    Duration {
        name: String,
        op: CompareOp,
        value: i64,
    },
    Bytes {
        name: String,
        op: CompareOp,
        value: u64,
    },
    Ip {
        name: String,
        negated: bool,
        pattern: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    Range(Box<RangeAgg>),
    Vector(Box<VectorAgg>),
    Binary(Box<Binary>),
    LabelReplace(Box<LabelReplace>),
    Literal(f64),
    /// `vector(n)`.
    Constant(f64),
    Call(Box<Call>),
    /// `-vector`.
    Negate(Box<MetricExpr>),
    Subquery(Box<Subquery>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeOp {
    CountOverTime,
    Rate,
    BytesOverTime,
    BytesRate,
    RateCounter,
    Sum,
    Avg,
    Min,
    Max,
    Stdvar,
    Stddev,
    Quantile,
    First,
    Last,
    Absent,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RangeAgg {
    pub op: RangeOp,
    pub param: Option<f64>,
    pub range: LogRange,
    pub grouping: Option<Grouping>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogRange {
    pub log: LogExpr,
    pub unwrap: Option<Unwrap>,
    pub interval_ns: i64,
    pub offset_ns: i64,
    pub at: Option<At>,
}

/// `@`: the one time that all steps look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Of the query.
    Start,
    End,
    /// Nanoseconds since the epoch.
    Time(i64),
}

/// `max_over_time(rate({…}[1m])[10m:30s])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub op: RangeOp,
    pub param: Option<f64>,
    pub inner: MetricExpr,
    pub interval_ns: i64,
    /// One minute where it is left out.
    pub step_ns: Option<i64>,
    pub offset_ns: i64,
    pub at: Option<At>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    pub label: String,
    pub conversion: Conversion,
    pub filters: Vec<LabelFilter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    None,
    Bytes,
    Duration,
    DurationSeconds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Sort,
    SortDesc,
    Quantile,
    Group,
    CountValues,
    Limitk,
    LimitRatio,
}

#[derive(Clone, Debug, PartialEq)]
pub enum VectorParam {
    /// The `k` of `topk`, `bottomk` and `limitk`.
    K(usize),
    /// The φ of `quantile`, the ratio of `limit_ratio`.
    Number(f64),
    /// The label that `count_values` makes.
    Label(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorAgg {
    pub op: VectorOp,
    pub param: Option<VectorParam>,
    pub grouping: Option<Grouping>,
    pub inner: MetricExpr,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

/// `on(…)`/`ignoring(…)` and `group_left(…)`/`group_right(…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    pub on: bool,
    pub labels: Vec<String>,
    pub cardinality: Cardinality,
    pub include: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub matching: Option<Matching>,
    pub left: MetricExpr,
    pub right: MetricExpr,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    pub inner: MetricExpr,
    pub dst: String,
    pub replacement: String,
    pub src: String,
    pub regex: String,
    pub span: Span,
}

// === impl Expr ===

impl Expr {
    /// The selectors of all log expressions within.
    pub fn selector_matchers(&self) -> Vec<&[Matcher]> {
        self.log_exprs().into_iter().map(|log| log.matchers.as_slice()).collect()
    }

    /// All log expressions within.
    pub fn log_exprs(&self) -> Vec<&LogExpr> {
        fn walk<'a>(expr: &'a MetricExpr, out: &mut Vec<&'a LogExpr>) {
            match expr {
                MetricExpr::Range(agg) => out.push(&agg.range.log),
                MetricExpr::Vector(agg) => walk(&agg.inner, out),
                MetricExpr::LabelReplace(call) => walk(&call.inner, out),
                MetricExpr::Binary(binary) => {
                    walk(&binary.left, out);
                    walk(&binary.right, out);
                }
                MetricExpr::Call(call) => call.exprs().for_each(|expr| walk(expr, out)),
                MetricExpr::Negate(inner) => walk(inner, out),
                MetricExpr::Subquery(sub) => walk(&sub.inner, out),
                MetricExpr::Literal(_) | MetricExpr::Constant(_) => {}
            }
        }
        let mut out = Vec::new();
        match self {
            Self::Log(log) => out.push(log),
            Self::Metric(metric) => walk(metric, &mut out),
        }
        out
    }
}

// === impl LogExpr ===

impl LogExpr {
    /// The labels of a `distinct` at the end.
    pub fn distinct(&self) -> Option<&[String]> {
        self.split_distinct().1
    }

    /// The stages for single lines, and the labels of a `distinct` behind them.
    pub(crate) fn split_distinct(&self) -> (&[Stage], Option<&[String]>) {
        match self.stages.split_last() {
            Some((Stage::Distinct(labels), stages)) => (stages, Some(labels)),
            _ => (&self.stages, None),
        }
    }
}

// === impl MetricExpr ===

impl MetricExpr {
    /// How deep the tree is.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Range(_) | Self::Literal(_) | Self::Constant(_) => 1,
            Self::Vector(agg) => 1 + agg.inner.depth(),
            Self::LabelReplace(call) => 1 + call.inner.depth(),
            Self::Binary(binary) => 1 + binary.left.depth().max(binary.right.depth()),
            Self::Call(call) => 1 + call.exprs().map(Self::depth).max().unwrap_or(0),
            Self::Negate(inner) => 1 + inner.depth(),
            Self::Subquery(sub) => 1 + sub.inner.depth(),
        }
    }

    /// Whether the value is one number per step rather than a vector.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Literal(_) => true,
            Self::Call(call) => call.function.is_scalar(),
            Self::Negate(inner) => inner.is_scalar(),
            Self::Binary(binary) => binary.left.is_scalar() && binary.right.is_scalar(),
            _ => false,
        }
    }
}

// === impl LineOp ===

impl LineOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Regex => "|~",
            Self::NotRegex => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }

    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotContains | Self::NotRegex | Self::NotPattern)
    }
}

// === impl CompareOp ===

impl CompareOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
        }
    }

    /// Whether `left op right` holds; a comparison with NaN holds for `!=` only.
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
        }
    }
}

// === impl RangeOp ===

impl RangeOp {
    pub(crate) const ALL: [(&'static str, Self); 15] = [
        ("count_over_time", Self::CountOverTime),
        ("rate", Self::Rate),
        ("bytes_over_time", Self::BytesOverTime),
        ("bytes_rate", Self::BytesRate),
        ("rate_counter", Self::RateCounter),
        ("sum_over_time", Self::Sum),
        ("avg_over_time", Self::Avg),
        ("min_over_time", Self::Min),
        ("max_over_time", Self::Max),
        ("stdvar_over_time", Self::Stdvar),
        ("stddev_over_time", Self::Stddev),
        ("quantile_over_time", Self::Quantile),
        ("first_over_time", Self::First),
        ("last_over_time", Self::Last),
        ("absent_over_time", Self::Absent),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }
}

// === impl VectorOp ===

impl VectorOp {
    pub(crate) const ALL: [(&'static str, Self); 16] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("sort", Self::Sort),
        ("sort_desc", Self::SortDesc),
        ("quantile", Self::Quantile),
        ("group", Self::Group),
        ("count_values", Self::CountValues),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }
}

// === impl BinaryOp ===

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
        }
    }

    /// Higher binds tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }

    pub fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    pub fn is_set(self) -> bool {
        self.precedence() <= 2
    }

    /// Applies an arithmetic or comparison operator to two numbers, comparisons giving 1 or 0.
    ///
    /// Division and remainder by zero are NaN, which differs from PromQL.
    #[expect(clippy::float_cmp, reason = "the operators are exact by definition")]
    pub fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |hit: bool| f64::from(u8::from(hit));
        match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Div | Self::Mod if right == 0.0 => f64::NAN,
            Self::Div => left / right,
            Self::Mod => left % right,
            Self::Pow => left.powf(right),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
            Self::Greater => truth(left > right),
            Self::GreaterEqual => truth(left >= right),
            Self::Less => truth(left < right),
            Self::LessEqual => truth(left <= right),
            Self::Or | Self::And | Self::Unless => f64::NAN,
        }
    }
}
