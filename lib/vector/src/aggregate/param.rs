//! Parameters of aggregations: numbers per step.

use super::AggregateOp;
use crate::function::{format_float, format_g, go_max, go_min};
use crate::{Context, VectorError};

/// Warns about parameters that are not what `op` wants: of all steps the one furthest off.
pub fn remark_on_parameters(op: AggregateOp, values: &[f64], ctx: &mut Context) {
    let (lowest, what) = match op {
        AggregateOp::Quantile => (0.0, "quantile value should be between 0 and 1"),
        AggregateOp::LimitRatio => (-1.0, "ratio value should be between -1 and 1"),
        _ => return,
    };
    let mut warn = |v: f64, bound: f64| {
        let capped = match op {
            AggregateOp::LimitRatio => format!(", capping to {}", format_g(bound)),
            _ => String::new(),
        };
        ctx.annotations.warn(&format!("{what}, got {}{capped}", format_g(v)));
    };
    if values.iter().any(|v| v.is_nan()) {
        warn(f64::NAN, f64::NAN);
    }
    let max = values.iter().copied().fold(f64::MIN, go_max);
    let min = values.iter().copied().fold(f64::MAX, go_min);
    if max > 1.0 {
        warn(max, 1.0);
    }
    if min < lowest {
        warn(min, lowest);
    }
}

/// `k` at each of `n` steps as counts; negative ones are 0, and all are when none is at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "checked against the range of i64 before"
)]
pub(super) fn whole_numbers(k: &[f64], n: usize) -> Result<Vec<usize>, VectorError> {
    let mut out = vec![0; n];
    if k.iter().copied().fold(f64::MIN, go_max) < 1.0 {
        return Ok(out);
    }
    let limit = i64::MAX as f64;
    for (i, k) in k.iter().enumerate() {
        if k.is_nan() {
            return Err(VectorError::Parameter("Parameter value is NaN".to_owned()));
        }
        if *k >= limit || *k <= -limit {
            let way = if *k > 0.0 { "overflows" } else { "underflows" };
            let text = format!("Scalar value {} {way} int64", format_float(*k));
            return Err(VectorError::Parameter(text));
        }
        if let Some(slot) = out.get_mut(i) {
            *slot = k.max(0.0) as usize;
        }
    }
    Ok(out)
}
