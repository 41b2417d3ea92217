//! Computes duration expressions once a query's step and range are known.

use super::ast::{DurationExpr, DurationOp, DurationOperator, Length};

/// Seconds that 64 bits of nanoseconds hold.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

/// What `step()` and `range()` are, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    pub step: f64,
    pub range: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Any,
    Positive,
}

impl Length {
    /// Milliseconds; the error starts with the bytes that the expression spans.
    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    pub(crate) fn millis(&self, env: Env, sign: Sign) -> Result<i64, String> {
        let Some(expr) = &self.expr else { return Ok(self.nanos / 1_000_000) };
        let seconds = compute(expr, env)?;
        let fail = |text: &str| Err(format!("{}:{}: {text}", expr.span.start, expr.span.end));
        if !seconds.is_finite() {
            return fail("duration is NaN or infinite");
        }
        if seconds <= 0.0 && sign == Sign::Positive {
            return fail("duration must be greater than 0");
        }
        if seconds.abs() > MAX_SECONDS {
            return fail("duration is out of range");
        }
        Ok((seconds * 1000.0) as i64)
    }
}

fn operand(expr: Option<&DurationExpr>, env: Env) -> Result<f64, String> {
    match expr {
        None => Ok(0.0),
        Some(DurationExpr::Number(n)) => Ok(n.value),
        Some(DurationExpr::Op(op)) => compute(op, env),
    }
}

fn compute(e: &DurationOp, env: Env) -> Result<f64, String> {
    let lhs = operand(e.lhs.as_ref(), env)?;
    let rhs = operand(e.rhs.as_ref(), env)?;
    let zero = rhs.abs() <= 0.0;
    let fail = |text: &str| Err(format!("{}:{}: {text}", e.span.start, e.span.end));
    Ok(match e.op {
        DurationOperator::Step => env.step,
        DurationOperator::Range => env.range,
        // A missing left side is 0, which signs need.
        DurationOperator::Add => lhs + rhs,
        DurationOperator::Sub => lhs - rhs,
        DurationOperator::Mul => lhs * rhs,
        DurationOperator::Div if zero => return fail("division by zero"),
        DurationOperator::Mod if zero => return fail("modulo by zero"),
        DurationOperator::Div => lhs / rhs,
        DurationOperator::Mod => lhs % rhs,
        DurationOperator::Pow => lhs.powf(rhs),
        DurationOperator::MinOf => lhs.min(rhs),
        DurationOperator::MaxOf => lhs.max(rhs),
    })
}
