//! Binary operators between vectors and scalars.

mod element;
mod matching;
mod set;

#[cfg(test)]
mod tests;

use skald_model::Labels;

pub use self::element::float_op;
use self::element::{Outcome, apply};
use crate::{Column, Context, Matrix, Sample, VectorError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    /// `</`: what a histogram has below.
    TrimUpper,
    /// `>/`: what a histogram has above.
    TrimLower,
    And,
    Or,
    Unless,
}

/// What `x / 0` and `x % 0` give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DivisionRule {
    /// As IEEE 754 and PromQL: ±Inf or NaN.
    #[default]
    Ieee,
    /// As LogQL: NaN.
    NanOnZero,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryOptions {
    /// The `bool` modifier: comparisons answer 0 or 1 instead of filtering.
    pub return_bool: bool,
    pub division: DivisionRule,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
}

/// How columns of both sides find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// `on` (else `ignoring`) these labels.
    pub on: bool,
    pub labels: Vec<String>,
    pub card: Cardinality,
    /// Labels to take over from the "one" side.
    pub include: Vec<String>,
    /// What stands for a missing left (right) side.
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

// === impl BinaryOp ===

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Lt => "<",
            Self::Ge => ">=",
            Self::Le => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Eq | Ne | Gt | Lt | Ge | Le)
    }

    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether results are no longer the metric they came from.
    fn drops_name(self, options: BinaryOptions) -> bool {
        !self.is_set() && !self.is_trim() && (!self.is_comparison() || options.return_bool)
    }
}

// === impl Matching ===

impl Matching {
    /// What two columns must share to match.
    pub fn signature(&self, labels: &Labels) -> Labels {
        let named = |name: &[u8]| self.labels.iter().any(|l| l.as_bytes() == name);
        if self.on {
            labels.filter_raw(named)
        } else {
            labels.filter_raw(|name| name != Labels::NAME.as_bytes() && !named(name))
        }
    }
}

/// `lhs op rhs` of two vectors. Set operators look at `on`, `labels` only.
pub fn vector_vector(
    op: BinaryOp,
    lhs: &Matrix,
    rhs: &Matrix,
    matching: &Matching,
    options: BinaryOptions,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    match op {
        BinaryOp::And => set::and(lhs, rhs, matching, ctx),
        BinaryOp::Or => set::or(lhs, rhs, matching, ctx),
        BinaryOp::Unless => set::unless(lhs, rhs, matching, ctx),
        _ => matching::join(op, lhs, rhs, matching, options, ctx),
    }
}

/// Which side of an operator the scalar stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarSide {
    Left,
    Right,
}

/// `vector op scalar` or `scalar op vector`; `scalar` has one value per step.
pub fn vector_scalar(
    op: BinaryOp,
    mut vector: Matrix,
    scalar: &[f64],
    side: ScalarSide,
    options: BinaryOptions,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let columns = std::mem::take(&mut vector.columns);
    let mut out = Matrix::new(vector.grid);
    for mut column in columns {
        ctx.check()?;
        if column.has_histograms() || op.is_trim() {
            column = mixed_with_scalar(op, &column, scalar, side, options, ctx);
        } else {
            floats_with_scalar(op, &mut column, scalar, side, options);
        }
        if op.drops_name(options) {
            ctx.drop_name(&mut column);
        }
        out.push(column);
    }
    if op.drops_name(options) { out.merge_same_labels(ctx) } else { Ok(out) }
}

fn floats_with_scalar(
    op: BinaryOp,
    column: &mut Column,
    scalar: &[f64],
    side: ScalarSide,
    options: BinaryOptions,
) {
    let sides = |v: f64, s: f64| if side == ScalarSide::Left { (s, v) } else { (v, s) };
    if op.is_comparison() && !options.return_bool {
        for (i, s) in scalar.iter().enumerate().take(column.len()) {
            let (a, b) = sides(column.values[i], *s);
            if !element::compare(op, a, b) {
                column.present.clear(i);
            }
        }
        return;
    }
    for (v, s) in column.values.iter_mut().zip(scalar) {
        let (a, b) = sides(*v, *s);
        *v = float_op(op, a, b, options.division);
    }
}

fn mixed_with_scalar(
    op: BinaryOp,
    column: &Column,
    scalar: &[f64],
    side: ScalarSide,
    options: BinaryOptions,
    ctx: &mut Context,
) -> Column {
    let mut out = column.cleared();
    for (i, sample) in column.samples() {
        let s = Sample::Float(scalar[i]);
        let (outcome, remark) = match side {
            ScalarSide::Left => apply(op, s, sample, options),
            ScalarSide::Right => apply(op, sample, s, options),
        };
        if let Some(remark) = remark {
            remark.say(op, ctx);
        }
        match outcome {
            Outcome::Dropped | Outcome::Failed => {}
            // A filter keeps the vector's sample, whichever side it is on.
            Outcome::Kept => out.set_from(i, column),
            Outcome::Float(v) => out.set(i, v),
            Outcome::Histogram(h) => out.set_histogram(i, h),
        }
    }
    out
}

/// `lhs op rhs` per step; comparisons answer 0 or 1.
pub fn scalar_scalar(op: BinaryOp, lhs: &[f64], rhs: &[f64], division: DivisionRule) -> Vec<f64> {
    lhs.iter().zip(rhs).map(|(a, b)| float_op(op, *a, *b, division)).collect()
}
