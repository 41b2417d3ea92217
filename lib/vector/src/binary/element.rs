//! One sample with one sample.
#![expect(clippy::float_cmp, reason = "the language compares floats exactly")]

use std::sync::Arc;

use super::{BinaryOp, BinaryOptions, DivisionRule};
use crate::histogram::{Keep, MergeNotes};
use crate::{Context, FloatHistogram, Sample};

/// What becomes of a pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Dropped,
    /// The filter holds: the left sample stays.
    Kept,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
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
    ctx: &mut Context,
) -> Outcome {
    match (lhs, rhs) {
        (Sample::Float(a), Sample::Float(b)) if op.is_comparison() => {
            filter(compare(op, a, b), options)
        }
        (Sample::Histogram(h), Sample::Float(v)) if op.is_trim() => {
            let keep = if op == BinaryOp::TrimUpper { Keep::Below } else { Keep::Above };
            Outcome::Histogram(Arc::new(h.trim(v, keep)))
        }
        (Sample::Float(a), Sample::Float(b)) if !op.is_trim() => {
            Outcome::Float(float_op(op, a, b, options.division))
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => combine(op, a, b, ctx),
            BinaryOp::Eq => filter(a.equals(b), options),
            BinaryOp::Ne => filter(!a.equals(b), options),
            _ => incompatible(op, lhs, rhs, ctx),
        },
        (Sample::Histogram(h), Sample::Float(v)) | (Sample::Float(v), Sample::Histogram(h))
            if op == BinaryOp::Mul =>
        {
            let mut out = FloatHistogram::clone(h);
            out.scale(v);
            Outcome::Histogram(Arc::new(out))
        }
        (Sample::Histogram(h), Sample::Float(v)) if op == BinaryOp::Div => {
            let mut out = FloatHistogram::clone(h);
            out.divide(v);
            Outcome::Histogram(Arc::new(out))
        }
        _ => incompatible(op, lhs, rhs, ctx),
    }
}

fn filter(holds: bool, options: BinaryOptions) -> Outcome {
    match (options.return_bool, holds) {
        (true, _) => Outcome::Float(f64::from(u8::from(holds))),
        (false, true) => Outcome::Kept,
        (false, false) => Outcome::Dropped,
    }
}

fn combine(op: BinaryOp, a: &FloatHistogram, b: &FloatHistogram, ctx: &mut Context) -> Outcome {
    let mut out = a.clone();
    let (merged, word) = match op {
        BinaryOp::Add => (out.add(b), "addition"),
        _ => (out.sub(b), "subtraction"),
    };
    match merged {
        Ok(notes) => {
            annotate(notes, word, ctx);
            if op == BinaryOp::Sub {
                out.reset_hint = skald_model::ResetHint::Gauge;
            }
            Outcome::Histogram(Arc::new(out))
        }
        Err(_) => {
            ctx.annotations.warn(&format!(
                "incompatible bucket layout encountered for binary operator {}",
                op.as_str()
            ));
            Outcome::Dropped
        }
    }
}

fn annotate(notes: MergeNotes, word: &str, ctx: &mut Context) {
    if notes.reset_collision {
        ctx.annotations.warn(&format!("conflicting counter resets during histogram {word}"));
    }
    if notes.bounds_reconciled {
        ctx.annotations.info(&format!("mismatched custom buckets were reconciled during {word}"));
    }
}

fn incompatible(op: BinaryOp, lhs: Sample<'_>, rhs: Sample<'_>, ctx: &mut Context) -> Outcome {
    let kind = |s: Sample<'_>| match s {
        Sample::Float(_) => "float",
        Sample::Histogram(_) => "histogram",
    };
    let op = op.as_str();
    ctx.annotations.info(&format!(
        "incompatible sample types encountered for binary operator {op:?}: {} {op} {}",
        kind(lhs),
        kind(rhs)
    ));
    Outcome::Dropped
}
