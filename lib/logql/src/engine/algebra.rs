//! The tree over the values of its leaves: what LogQL says, in the terms of `skald_vector`.

use skald_model::Labels;
use skald_vector::binary::ScalarSide;
use skald_vector::function::label_replace;
use skald_vector::{
    AggregateOp, BinaryOptions, Column, Context, DivisionRule, Grid, Matrix, Param, VectorError,
    aggregate, vector_scalar, vector_vector,
};

use super::call::call;
use super::metric::{grid, pushed_down};
use super::shift::{Place, over};
use crate::ast::{
    Binary, BinaryOp, Cardinality, Grouping, Matching, MetricExpr, VectorAgg, VectorOp, VectorParam,
};
use crate::error::QueryError;

/// The value of an expression at all steps.
#[derive(Debug)]
pub(super) enum Evaluated {
    /// One number per step.
    Scalar(Vec<f64>),
    Vector(Matrix),
}

/// Most bytes that one `label_replace` may make of label values: nested calls would double them.
pub(super) const MAX_LABEL_BYTES: usize = 64 << 20;

pub(super) fn labels_too_long(name: &str) -> QueryError {
    QueryError::Limit(format!(
        "{name}() makes values of more than {MAX_LABEL_BYTES} bytes in all series together"
    ))
}

/// Values of the leaves, in the order in which the tree meets them.
pub(super) type Leaves = std::vec::IntoIter<Matrix>;

/// Evaluates `expr`; CPU work only.
pub(super) fn evaluate(
    expr: &MetricExpr,
    place: Place,
    leaves: &mut Leaves,
    ctx: &mut Context,
) -> Result<Evaluated, QueryError> {
    ctx.check().map_err(refused)?;
    let grid = grid(place.steps);
    let mut leaf = || leaves.next().unwrap_or_else(|| Matrix::new(grid));
    Ok(Evaluated::Vector(match expr {
        MetricExpr::Literal(value) => return Ok(Evaluated::Scalar(vec![*value; grid.n])),
        MetricExpr::Constant(value) => constant(*value, grid),
        MetricExpr::Range(_) => leaf(),
        MetricExpr::Vector(agg) if pushed_down(agg).is_some() => leaf(),
        MetricExpr::Vector(agg) => {
            let inner = evaluate(&agg.inner, place, leaves, ctx)?.into_matrix(grid);
            vector_agg(agg, inner, ctx)?
        }
        MetricExpr::LabelReplace(call) => {
            let inner = evaluate(&call.inner, place, leaves, ctx)?.into_matrix(grid);
            let mut made = 0usize;
            let charge = |bytes| {
                ctx.check().map_err(refused)?;
                made = made.saturating_add(bytes);
                if made <= MAX_LABEL_BYTES { Ok(()) } else { Err(labels_too_long("label_replace")) }
            };
            let (dst, src) = (&call.dst, &call.src);
            label_replace(inner, dst, &call.replacement, src, &call.regex, charge)?
        }
        MetricExpr::Binary(expr) => {
            let left = evaluate(&expr.left, place, leaves, ctx)?;
            let right = evaluate(&expr.right, place, leaves, ctx)?;
            return binary(expr, left, right, ctx);
        }
        MetricExpr::Call(expr) => {
            let args = expr.exprs().map(|arg| evaluate(arg, place, leaves, ctx));
            let args = args.collect::<Result<Vec<_>, _>>()?;
            return call(expr, args, grid, ctx);
        }
        MetricExpr::Negate(inner) => match evaluate(inner, place, leaves, ctx)? {
            Evaluated::Scalar(values) => {
                return Ok(Evaluated::Scalar(values.into_iter().map(|v| -v).collect()));
            }
            Evaluated::Vector(vector) => {
                skald_vector::function::map_floats(vector, ctx, |_, v| -v).map_err(refused)?
            }
        },
        MetricExpr::Subquery(sub) => {
            let inside = place.within(sub)?;
            let inner = evaluate(&sub.inner, inside, leaves, ctx)?;
            over(sub, &inner.into_matrix(super::metric::grid(inside.steps)), place)?
        }
    }))
}

fn constant(value: f64, grid: Grid) -> Matrix {
    Matrix { grid, columns: vec![Column::full(Labels::empty(), vec![value; grid.n])] }
}

// === impl Evaluated ===

impl Evaluated {
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

fn vector_agg(agg: &VectorAgg, inner: Matrix, ctx: &mut Context) -> Result<Matrix, QueryError> {
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
            vector_vector(op, &left, &right, &matching, options, ctx)
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
        other => QueryError::Invalid(other.to_string()),
    }
}
