//! The syntax tree, as written: parentheses and spelling of durations kept, every node with the
//! bytes that it spans.

use skald_model::Matcher;
use skald_vector::{AggregateOp, BinaryOp, Cardinality};

use super::function::Signature;

/// Half-open range of byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(NumberLiteral),
    Text(StringLiteral),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<SubqueryExpr>),
    Paren(Box<ParenExpr>),
    Unary(Box<UnaryExpr>),
    Binary(Box<BinaryExpr>),
    Aggregate(Box<AggregateExpr>),
    Call(Box<Call>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written with units, as in `5m`.
    pub duration: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    pub value: String,
    pub span: Span,
}

/// What follows `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Start,
    End,
    Ms(i64),
}

/// How samples at the ends of a range are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    Anchored,
    Smoothed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces; it is the last of `matchers` too.
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub offset: Length,
    pub at: Option<At>,
    pub extension: Option<Extension>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Carries `offset`, `@` and extension of the whole.
    pub selector: VectorSelector,
    pub range: Length,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SubqueryExpr {
    pub expr: Expr,
    pub range: Length,
    pub step: Option<Length>,
    pub offset: Length,
    pub at: Option<At>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParenExpr {
    pub expr: Expr,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UnaryExpr {
    pub sign: Sign,
    pub expr: Expr,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Plus,
    Minus,
}

/// A chain of these leans to the left and may be long: dropping, cloning and comparing one does not
/// recurse into the left side.
#[derive(Debug)]
pub struct BinaryExpr {
    pub op: BinaryOp,
    pub lhs: Expr,
    pub rhs: Expr,
    pub return_bool: bool,
    /// `None` unless both sides are vectors.
    pub matching: Option<VectorMatching>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    pub card: Card,
    pub on: bool,
    pub labels: Vec<String>,
    pub include: Vec<String>,
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    pub op: AggregateOp,
    pub expr: Expr,
    pub param: Option<Expr>,
    pub grouping: Vec<String>,
    pub without: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub func: &'static Signature,
    pub args: Vec<Expr>,
    pub span: Span,
}

/// A duration: known, or to be computed when the query's times are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Length {
    pub nanos: i64,
    pub expr: Option<DurationOp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    Number(NumberLiteral),
    Op(Box<DurationOp>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct DurationOp {
    pub op: DurationOperator,
    pub lhs: Option<DurationExpr>,
    pub rhs: Option<DurationExpr>,
    /// In parentheses.
    pub wrapped: bool,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOperator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Step,
    Range,
    MinOf,
    MaxOf,
}

// === impl Expr ===

impl Default for Expr {
    /// Zero, written nowhere.
    fn default() -> Self {
        Self::Number(NumberLiteral { value: 0.0, duration: false, span: Span::default() })
    }
}

impl Expr {
    pub fn span(&self) -> Span {
        match self {
            Self::Number(e) => e.span,
            Self::Text(e) => e.span,
            Self::Vector(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Paren(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Aggregate(e) => e.span,
            Self::Call(e) => e.span,
        }
    }

    /// The matchers of every selector, in the order of the text.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut out = Vec::new();
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            match expr {
                Self::Number(_) | Self::Text(_) => {}
                Self::Vector(e) => out.push(e.matchers.as_slice()),
                Self::Matrix(e) => out.push(e.selector.matchers.as_slice()),
                Self::Subquery(e) => open.push(&e.expr),
                Self::Paren(e) => open.push(&e.expr),
                Self::Unary(e) => open.push(&e.expr),
                Self::Binary(e) => open.extend([&e.rhs, &e.lhs]),
                Self::Aggregate(e) => {
                    open.push(&e.expr);
                    open.extend(&e.param);
                }
                Self::Call(e) => open.extend(e.args.iter().rev()),
            }
        }
        out
    }
}

// === impl VectorSelector ===

impl VectorSelector {
    /// The matchers, that of the name first.
    pub(crate) fn by_name_first(&self) -> Vec<Matcher> {
        let mut matchers = self.matchers.clone();
        if self.name.is_some() {
            matchers.rotate_right(1);
        }
        matchers
    }
}

// === impl BinaryExpr ===

impl BinaryExpr {
    /// This link and those to its left, from the outermost inwards, and what they start with.
    pub fn links(&self) -> (Vec<&Self>, &Expr) {
        let mut links = vec![self];
        let mut at = &self.lhs;
        while let Expr::Binary(below) = at {
            links.push(below);
            at = &below.lhs;
        }
        (links, at)
    }

    fn with_lhs(&self, lhs: Expr) -> Self {
        let (op, return_bool, span) = (self.op, self.return_bool, self.span);
        let (rhs, matching) = (self.rhs.clone(), self.matching.clone());
        Self { op, lhs, rhs, return_bool, matching, span }
    }

    fn equals_but_for_lhs(&self, other: &Self) -> bool {
        (self.op, self.return_bool, self.span) == (other.op, other.return_bool, other.span)
            && self.matching == other.matching
            && self.rhs == other.rhs
    }
}

impl Drop for BinaryExpr {
    fn drop(&mut self) {
        let mut lhs = std::mem::take(&mut self.lhs);
        while let Expr::Binary(mut below) = lhs {
            lhs = std::mem::take(&mut below.lhs);
        }
    }
}

impl Clone for BinaryExpr {
    fn clone(&self) -> Self {
        let (links, first) = self.links();
        let inner = links.iter().skip(1).rev();
        let wrap = |lhs, link: &&Self| Expr::Binary(Box::new(link.with_lhs(lhs)));
        self.with_lhs(inner.fold(first.clone(), wrap))
    }
}

impl PartialEq for BinaryExpr {
    fn eq(&self, other: &Self) -> bool {
        let ((links, first), (others, other_first)) = (self.links(), other.links());
        links.len() == others.len()
            && first == other_first
            && links.iter().zip(others).all(|(link, other)| link.equals_but_for_lhs(other))
    }
}

// === impl Span ===

impl Span {
    pub(super) fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }
}

// === impl VectorMatching ===

impl Default for VectorMatching {
    fn default() -> Self {
        Self {
            card: Card::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

impl VectorMatching {
    pub(super) fn fills(&self) -> bool {
        self.fill_left.is_some() || self.fill_right.is_some()
    }
}

// === impl Card ===

impl Card {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }

    pub(crate) fn cardinality(self) -> Cardinality {
        match self {
            Self::ManyToOne => Cardinality::ManyToOne,
            Self::OneToMany => Cardinality::OneToMany,
            Self::OneToOne | Self::ManyToMany => Cardinality::OneToOne,
        }
    }
}

// === impl Sign ===

impl Sign {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

// === impl Extension ===

impl Extension {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

// === impl Length ===

impl Length {
    pub(super) fn is_set(&self) -> bool {
        self.nanos != 0 || self.expr.is_some()
    }
}

// === impl DurationExpr ===

impl DurationExpr {
    pub fn span(&self) -> Span {
        match self {
            Self::Number(e) => e.span,
            Self::Op(e) => e.span,
        }
    }
}

// === impl DurationOperator ===

impl DurationOperator {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Step => "step",
            Self::Range => "range",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}
