//! Least squares and double exponential smoothing over the floats of a window.
#![expect(clippy::float_cmp, reason = "constant input is recognised exactly")]

use skald_vector::stat::KahanSum;

/// Slope per second and value at `at_ms` of the line through the points.
#[expect(clippy::cast_precision_loss, reason = "durations in ms are exact floats")]
pub(super) fn line(times: &[i64], values: &[f64], at_ms: i64) -> (f64, f64) {
    let Some(first) = values.first() else { return (f64::NAN, f64::NAN) };
    if values.iter().all(|v| v == first) {
        // Infinities have no slope.
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, *first) };
    }
    let [mut sx, mut sy, mut sxy, mut sxx] = [KahanSum::default(); 4];
    for (t, y) in times.iter().zip(values) {
        let x = t.saturating_sub(at_ms) as f64 / 1000.0;
        sx.add(x);
        sy.add(*y);
        sxy.add(x * y);
        sxx.add(x * x);
    }
    let n = values.len() as f64;
    let (sx, sy) = (sx.value(), sy.value());
    let covariance = sxy.value() - sx * sy / n;
    let variance = sxx.value() - sx * sx / n;
    let slope = covariance / variance;
    (slope, sy / n - slope * sx / n)
}

/// The last smoothed value; `smoothing` and `trend` within 0..1. Needs two values.
pub(super) fn smooth(values: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    let [first, second, ..] = values else { return None };
    let (mut before, mut level, mut slope) = (0.0, *first, second - first);
    for (i, v) in values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * v + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Some(level)
}
