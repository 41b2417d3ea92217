//! One sample with one sample.
#![expect(clippy::float_cmp, reason = "the language compares floats exactly")]

use std::sync::Arc;

use super::{BinaryOp, BinaryOptions, DivisionRule};
use crate::histogram::{Keep, MergeNotes};
use crate::{Context, FloatHistogram, Sample};

/// What becomes of a pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The filter does not hold.
    Dropped,
    /// They do not go together; this pair is as if it had never met.
    Failed,
    /// The filter holds: the left sample stays.
    Kept,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// What is to be said about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// Kinds of samples that the operator does not take.
    Kinds(&'static str, &'static str),
    BucketLayout,
    ResetCollision,
    BoundsReconciled,
}

// === impl Remark ===

impl Remark {
    pub(super) fn say(self, op: BinaryOp, ctx: &mut Context) {
        let (to, op) = (&mut ctx.annotations, op.as_str());
        let word = if op == "+" { "addition" } else { "subtraction" };
        match self {
            Self::Kinds(lhs, rhs) => to.info(&format!(
                "incompatible sample types encountered for binary operator {op:?}: {lhs} {op} {rhs}"
            )),
            Self::BucketLayout => {
                to.warn(&format!(
                    "incompatible bucket layout encountered for binary operator {op}"
                ));
            }
            Self::ResetCollision => {
                to.warn(&format!("conflicting counter resets during histogram {word}"));
            }
            Self::BoundsReconciled => {
                to.info(&format!("mismatched custom buckets were reconciled during {word}"));
            }
        }
    }
}

/// An arithmetic operator, or a comparison as 0 or 1. Set operators give NaN.
pub fn float_op(op: BinaryOp, a: f64, b: f64, division: DivisionRule) -> f64 {
    if division == DivisionRule::NanOnZero
        && b == 0.0
        && matches!(op, BinaryOp::Div | BinaryOp::Mod)
    {
        return f64::NAN;
    }
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => f64::NAN,
        _ => f64::from(u8::from(compare(op, a, b))),
    }
}

pub(super) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        BinaryOp::Le => a <= b,
        _ => false,
    }
}

/// Applies an operator that is not a set operator.
pub(super) fn apply(
    op: BinaryOp,
    lhs: Sample<'_>,
    rhs: Sample<'_>,
    options: BinaryOptions,
) -> (Outcome, Option<Remark>) {
    let plain = |outcome| (outcome, None);
    match (lhs, rhs) {
        (Sample::Float(a), Sample::Float(b)) if op.is_comparison() => {
            plain(filter(compare(op, a, b), options))
        }
        (Sample::Histogram(h), Sample::Float(v)) if op.is_trim() => {
            let keep = if op == BinaryOp::TrimUpper { Keep::Below } else { Keep::Above };
            plain(Outcome::Histogram(Arc::new(h.trim(v, keep))))
        }
        (Sample::Float(a), Sample::Float(b)) if !op.is_trim() => {
            plain(Outcome::Float(float_op(op, a, b, options.division)))
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => combine(op, a, b),
            BinaryOp::Eq => plain(filter(a.equals(b), options)),
            BinaryOp::Ne => plain(filter(!a.equals(b), options)),
            _ => incompatible(lhs, rhs),
        },
        (Sample::Histogram(h), Sample::Float(v)) | (Sample::Float(v), Sample::Histogram(h))
            if op == BinaryOp::Mul =>
        {
            let mut out = FloatHistogram::clone(h);
            out.scale(v);
            plain(Outcome::Histogram(Arc::new(out)))
        }
        (Sample::Histogram(h), Sample::Float(v)) if op == BinaryOp::Div => {
            let mut out = FloatHistogram::clone(h);
            out.divide(v);
            plain(Outcome::Histogram(Arc::new(out)))
        }
        _ => incompatible(lhs, rhs),
    }
}

fn filter(holds: bool, options: BinaryOptions) -> Outcome {
    match (options.return_bool, holds) {
        (true, _) => Outcome::Float(f64::from(u8::from(holds))),
        (false, true) => Outcome::Kept,
        (false, false) => Outcome::Dropped,
    }
}

fn combine(op: BinaryOp, a: &FloatHistogram, b: &FloatHistogram) -> (Outcome, Option<Remark>) {
    let mut out = a.clone();
    let merged = if op == BinaryOp::Add { out.add(b) } else { out.sub(b) };
    let Ok(MergeNotes { reset_collision, bounds_reconciled }) = merged else {
        return (Outcome::Failed, Some(Remark::BucketLayout));
    };
    if reset_collision {
        return (Outcome::Failed, Some(Remark::ResetCollision));
    }
    if op == BinaryOp::Sub {
        out.reset_hint = skald_model::ResetHint::Gauge;
    }
    out.compact();
    (Outcome::Histogram(Arc::new(out)), bounds_reconciled.then_some(Remark::BoundsReconciled))
}

fn incompatible(lhs: Sample<'_>, rhs: Sample<'_>) -> (Outcome, Option<Remark>) {
    let kind = |s: Sample<'_>| match s {
        Sample::Float(_) => "float",
        Sample::Histogram(_) => "histogram",
    };
    (Outcome::Failed, Some(Remark::Kinds(kind(lhs), kind(rhs))))
}
