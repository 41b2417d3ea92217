//! The tree over the values of its leaves: what LogQL says, in the terms of `skald_vector`.

use std::collections::{HashMap, HashSet, VecDeque};

use skald_model::Labels;
use skald_vector::binary::ScalarSide;
use skald_vector::function::label_replace;
use skald_vector::{
    AggregateOp, BinaryOptions, CancelFlag, Column, Context, DivisionRule, Grid, Matrix, Param,
    VectorError, aggregate, vector_scalar, vector_vector,
};

use super::call::call;
use super::metric::{check_values, grid, pushed_down};
use super::shift::{Place, over};
use crate::ast::{
    Binary, BinaryOp, Cardinality, Grouping, Matching, MetricExpr, VectorAgg, VectorOp, VectorParam,
};
use crate::error::QueryError;
use crate::pipeline::labels::{ERROR, ERROR_DETAILS};

/// The value of an expression at all steps.
#[derive(Debug)]
pub(super) enum Evaluated {
    /// One number per step.
    Scalar(Vec<f64>),
    Vector(Matrix),
}

/// Most bytes of label values that the calls of one query may make: nested calls would double them.
const MAX_LABEL_BYTES: usize = 64 << 20;

/// Bytes of label values that a query made.
#[derive(Debug, Default)]
pub(super) struct LabelBytes(usize);

/// What an evaluation draws on, and what bounds it.
#[derive(Debug)]
pub(super) struct Run {
    /// Values of the leaves, in the order in which the tree meets them.
    leaves: std::vec::IntoIter<Matrix>,
    ctx: Context,
    label_bytes: LabelBytes,
    /// How many values wait on the way up the tree, leaves that were not met yet aside.
    held: usize,
    max_values: usize,
}

// === impl LabelBytes ===

impl LabelBytes {
    /// Counts what call `name` is about to make; also the place where its work may end.
    pub(super) fn charge(
        &mut self,
        name: &str,
        bytes: usize,
        ctx: &Context,
    ) -> Result<(), QueryError> {
        ctx.check().map_err(refused)?;
        self.0 = self.0.saturating_add(bytes);
        if self.0 <= MAX_LABEL_BYTES {
            return Ok(());
        }
        Err(QueryError::Limit(format!(
            "{name}() makes values of more than {MAX_LABEL_BYTES} bytes in all calls and series together"
        )))
    }
}

// === impl Run ===

impl Run {
    pub(super) fn new(leaves: Vec<Matrix>, cancel: CancelFlag, max_values: usize) -> Self {
        let ctx = Context { cancel, max_slots: Some(max_values), ..Context::default() };
        let label_bytes = LabelBytes::default();
        Self { leaves: leaves.into_iter(), ctx, label_bytes, held: 0, max_values }
    }

    /// Evaluates `expr`; CPU work only.
    pub(super) fn evaluate(
        &mut self,
        expr: &MetricExpr,
        place: Place,
    ) -> Result<Evaluated, QueryError> {
        self.ctx.check().map_err(refused)?;
        let before = self.held;
        let out = self.node(expr, place)?;
        // What it was made of is gone.
        self.held = before.saturating_add(out.n_values());
        check_values(self.held, self.max_values)?;
        Ok(out)
    }

    fn vector(&mut self, expr: &MetricExpr, place: Place) -> Result<Matrix, QueryError> {
        Ok(self.evaluate(expr, place)?.into_matrix(grid(place.steps)))
    }

    fn node(&mut self, expr: &MetricExpr, place: Place) -> Result<Evaluated, QueryError> {
        let grid = grid(place.steps);
        let mut leaf = || self.leaves.next().unwrap_or_else(|| Matrix::new(grid));
        Ok(Evaluated::Vector(match expr {
            MetricExpr::Literal(value) => return Ok(Evaluated::Scalar(vec![*value; grid.n])),
            MetricExpr::Constant(value) => constant(*value, grid),
            MetricExpr::Range(_) => leaf(),
            MetricExpr::Vector(agg) if pushed_down(agg).is_some() => {
                let sums = leaf();
                let is_more = |c: &Column| has_error(c) || makes_labels(agg) && has_empty_labels(c);
                match sums.columns.iter().any(is_more) {
                    true => vector_agg(agg, sums, &mut self.ctx)?,
                    false => sums,
                }
            }
            MetricExpr::Vector(agg) => {
                let inner = self.vector(&agg.inner, place)?;
                vector_agg(agg, inner, &mut self.ctx)?
            }
            MetricExpr::LabelReplace(call) => {
                let inner = self.vector(&call.inner, place)?;
                let charge = |bytes| self.label_bytes.charge("label_replace", bytes, &self.ctx);
                let (dst, src) = (&call.dst, &call.src);
                label_replace(inner, dst, &call.replacement, src, &call.regex, &self.ctx, charge)?
            }
            MetricExpr::Binary(expr) => {
                let left = self.evaluate(&expr.left, place)?;
                let right = self.evaluate(&expr.right, place)?;
                return binary(expr, left, right, &mut self.ctx);
            }
            MetricExpr::Call(expr) => {
                let args = expr.exprs().map(|arg| self.evaluate(arg, place));
                let args = args.collect::<Result<Vec<_>, _>>()?;
                return call(expr, args, grid, &mut self.label_bytes, &self.ctx);
            }
            MetricExpr::Negate(inner) => match self.evaluate(inner, place)? {
                Evaluated::Scalar(values) => {
                    return Ok(Evaluated::Scalar(values.into_iter().map(|v| -v).collect()));
                }
                Evaluated::Vector(vector) => {
                    skald_vector::function::map_floats(vector, &self.ctx, |_, v| -v)
                        .map_err(refused)?
                }
            },
            MetricExpr::Subquery(sub) => {
                let inside = place.within(sub)?;
                let inner = self.vector(&sub.inner, inside)?;
                let n_steps = place.at(sub.at).n.max(place.steps.n);
                check_values(inner.columns.len().saturating_mul(n_steps), self.max_values)?;
                over(sub, &inner, place, &self.ctx.cancel)?
            }
        }))
    }
}

fn constant(value: f64, grid: Grid) -> Matrix {
    Matrix { grid, columns: vec![Column::full(Labels::empty(), vec![value; grid.n])] }
}

// === impl Evaluated ===

impl Evaluated {
    fn n_values(&self) -> usize {
        match self {
            Self::Scalar(values) => values.len(),
            Self::Vector(matrix) => matrix.columns.len().saturating_mul(matrix.grid.n),
        }
    }

    pub(super) fn into_matrix(self, grid: Grid) -> Matrix {
        match self {
            Self::Vector(matrix) => matrix,
            Self::Scalar(values) => {
                Matrix { grid, columns: vec![Column::full(Labels::empty(), values)] }
            }
        }
    }

    /// One number per step; of a vector, that of its only series.
    pub(super) fn into_numbers(self, grid: Grid) -> Vec<f64> {
        match self {
            Self::Scalar(values) => values,
            vector @ Self::Vector(_) => {
                skald_vector::function::single_values(&vector.into_matrix(grid))
            }
        }
    }
}

/// Errors stay with samples until they are grouped, whatever the grouping says.
fn has_error(column: &Column) -> bool {
    [ERROR, ERROR_DETAILS].iter().any(|name| column.labels.get(name).is_some())
}

fn has_empty_labels(column: &Column) -> bool {
    column.labels.iter().any(|(_, value)| value.is_empty())
}

/// Where labels are made anew, those that are empty are left out; elsewhere they tell series apart.
fn without_empty(mut matrix: Matrix) -> Matrix {
    for column in matrix.columns.iter_mut().filter(|column| has_empty_labels(column)) {
        column.labels = bare(column);
    }
    matrix
}

fn bare(column: &Column) -> Labels {
    Labels::from_pairs(column.labels.iter().filter(|(_, value)| !value.is_empty()))
}

/// Whether series differ only in that labels are empty or missing.
fn has_twins(matrix: &Matrix) -> bool {
    let mut seen = HashSet::new();
    matrix.columns.iter().any(has_empty_labels)
        && !matrix.columns.iter().all(|column| seen.insert(bare(column)))
}

/// The labels that series have, in order, by what they are without empty ones; nothing if none has any.
fn original_names(sides: [&Matrix; 2]) -> HashMap<Labels, VecDeque<Labels>> {
    let mut out: HashMap<Labels, VecDeque<Labels>> = HashMap::new();
    let columns = || sides.into_iter().flat_map(|side| &side.columns);
    if columns().any(has_empty_labels) {
        for column in columns() {
            out.entry(bare(column)).or_default().push_back(column.labels.clone());
        }
    }
    out
}

/// Sets choose series, which keep the labels they had.
fn named_again(mut matrix: Matrix, mut names: HashMap<Labels, VecDeque<Labels>>) -> Matrix {
    for column in &mut matrix.columns {
        if let Some(name) = names.get_mut(&column.labels).and_then(VecDeque::pop_front) {
            column.labels = name;
        }
    }
    matrix
}

/// Whether the aggregation makes labels out of what it does not name.
fn makes_labels(agg: &VectorAgg) -> bool {
    use VectorOp::{Bottomk, LimitRatio, Limitk, Topk};
    agg.grouping.as_ref().is_some_and(|grouping| grouping.without)
        && !matches!(agg.op, Topk | Bottomk | Limitk | LimitRatio)
}

fn vector_agg(agg: &VectorAgg, inner: Matrix, ctx: &mut Context) -> Result<Matrix, QueryError> {
    let inner = if makes_labels(agg) { without_empty(inner) } else { inner };
    let op = match agg.op {
        VectorOp::Sum => AggregateOp::Sum,
        VectorOp::Avg => AggregateOp::Avg,
        VectorOp::Min => AggregateOp::Min,
        VectorOp::Max => AggregateOp::Max,
        VectorOp::Count => AggregateOp::Count,
        VectorOp::Stddev => AggregateOp::Stddev,
        VectorOp::Stdvar => AggregateOp::Stdvar,
        VectorOp::Topk => AggregateOp::Topk,
        VectorOp::Bottomk => AggregateOp::Bottomk,
        VectorOp::Quantile => AggregateOp::Quantile,
        VectorOp::Group => AggregateOp::Group,
        VectorOp::CountValues => AggregateOp::CountValues,
        VectorOp::Limitk => AggregateOp::Limitk,
        VectorOp::LimitRatio => AggregateOp::LimitRatio,
        // The order is that of the result; see `metric`.
        VectorOp::Sort | VectorOp::SortDesc => return Ok(inner),
    };
    let numbers: Vec<f64> = match agg.param {
        Some(VectorParam::K(k)) => vec![float(k); inner.grid.n],
        Some(VectorParam::Number(value)) => vec![value; inner.grid.n],
        _ => Vec::new(),
    };
    let param = match &agg.param {
        None => Param::None,
        Some(VectorParam::Label(label)) => Param::Label(label),
        Some(_) => Param::Scalar(&numbers),
    };
    aggregate(op, &grouping(agg.grouping.as_ref()), &inner, param, ctx).map_err(refused)
}

#[expect(clippy::cast_precision_loss, reason = "nobody asks for the top 2^53")]
fn float(k: usize) -> f64 {
    k as f64
}

fn grouping(grouping: Option<&Grouping>) -> skald_vector::Grouping {
    match grouping {
        None => skald_vector::Grouping::all(),
        Some(g) if g.without => skald_vector::Grouping::Without(g.labels.clone()),
        Some(g) => skald_vector::Grouping::By(g.labels.clone()),
    }
}

fn binary(
    expr: &Binary,
    left: Evaluated,
    right: Evaluated,
    ctx: &mut Context,
) -> Result<Evaluated, QueryError> {
    let op = binary_op(expr.op);
    let options =
        BinaryOptions { return_bool: expr.return_bool, division: DivisionRule::NanOnZero };
    let out = match (left, right) {
        (Evaluated::Scalar(a), Evaluated::Scalar(b)) => {
            let both = a.into_iter().zip(b);
            return Ok(Evaluated::Scalar(both.map(|(a, b)| expr.op.apply(a, b)).collect()));
        }
        (Evaluated::Vector(vector), Evaluated::Scalar(scalar)) => {
            vector_scalar(op, vector, &scalar, ScalarSide::Right, options, ctx)
        }
        (Evaluated::Scalar(scalar), Evaluated::Vector(vector)) => {
            vector_scalar(op, vector, &scalar, ScalarSide::Left, options, ctx)
        }
        (Evaluated::Vector(left), Evaluated::Vector(right)) => {
            let matching = matching(expr.matching.as_ref());
            let set = matches!(expr.op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless);
            let keeps = set && (has_twins(&left) || has_twins(&right));
            let names = match set && !keeps {
                true => original_names([&left, &right]),
                false => HashMap::new(),
            };
            let (left, right) = match keeps {
                true => (left, right),
                false => (without_empty(left), without_empty(right)),
            };
            let out = vector_vector(op, &left, &right, &matching, options, ctx);
            out.map(|out| named_again(out, names))
        }
    };
    out.map(Evaluated::Vector).map_err(refused)
}

fn binary_op(op: BinaryOp) -> skald_vector::BinaryOp {
    match op {
        BinaryOp::Or => skald_vector::BinaryOp::Or,
        BinaryOp::And => skald_vector::BinaryOp::And,
        BinaryOp::Unless => skald_vector::BinaryOp::Unless,
        BinaryOp::Equal => skald_vector::BinaryOp::Eq,
        BinaryOp::NotEqual => skald_vector::BinaryOp::Ne,
        BinaryOp::Greater => skald_vector::BinaryOp::Gt,
        BinaryOp::GreaterEqual => skald_vector::BinaryOp::Ge,
        BinaryOp::Less => skald_vector::BinaryOp::Lt,
        BinaryOp::LessEqual => skald_vector::BinaryOp::Le,
        BinaryOp::Add => skald_vector::BinaryOp::Add,
        BinaryOp::Sub => skald_vector::BinaryOp::Sub,
        BinaryOp::Mul => skald_vector::BinaryOp::Mul,
        BinaryOp::Div => skald_vector::BinaryOp::Div,
        BinaryOp::Mod => skald_vector::BinaryOp::Mod,
        BinaryOp::Pow => skald_vector::BinaryOp::Pow,
    }
}

fn matching(matching: Option<&Matching>) -> skald_vector::Matching {
    let Some(m) = matching else { return skald_vector::Matching::default() };
    skald_vector::Matching {
        on: m.on,
        labels: m.labels.clone(),
        card: match m.cardinality {
            Cardinality::OneToOne => skald_vector::Cardinality::OneToOne,
            Cardinality::ManyToOne => skald_vector::Cardinality::ManyToOne,
            Cardinality::OneToMany => skald_vector::Cardinality::OneToMany,
        },
        include: m.include.clone(),
        fill_left: None,
        fill_right: None,
    }
}

/// An error of the algebra in the words of LogQL.
impl From<VectorError> for QueryError {
    fn from(err: VectorError) -> Self {
        refused(err)
    }
}

pub(super) fn refused(err: VectorError) -> QueryError {
    match err {
        VectorError::Cancelled => QueryError::Cancelled,
        VectorError::DuplicateMatch { side, .. } => QueryError::Invalid(format!(
            "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching labels must be unique on one side"
        )),
        VectorError::TooManySamples => QueryError::Limit(
            "an operation of the query makes too many values (limit max_samples)".to_owned(),
        ),
        other => QueryError::Invalid(other.to_string()),
    }
}
