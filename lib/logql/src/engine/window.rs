//! Range aggregations: one value per step from the samples in its window `(t - R, t]`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times become floats, ranks within a window become indexes"
)]

use skald_vector::{CancelFlag, Column};

use super::extract::{Samples, Windows};
use crate::ast::RangeOp;
use crate::error::QueryError;

/// How many samples and steps are looked at between two looks at the flag.
const CHECK_EVERY: usize = 64 << 10;

/// How windows are evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeFn {
    pub(super) op: RangeOp,
    pub(super) param: f64,
    /// Samples are values of a label rather than counts.
    pub(super) unwrapped: bool,
}

/// The samples within one window.
struct Window<'a> {
    times: &'a [i64],
    values: &'a [f64],
    start_ns: i64,
    end_ns: i64,
}

/// One value per step, absent where the window is empty. Windows overlap, so that the work may be the
/// steps times the samples: `cancel` ends it on the way.
pub(super) fn evaluate(
    samples: &Samples,
    windows: Windows,
    range_fn: RangeFn,
    cancel: &CancelFlag,
) -> Result<Column, QueryError> {
    let mut out = Column::absent(samples.labels.clone(), windows.steps.n);
    let sums = range_fn.is_additive().then(|| prefix_sums(&samples.values));
    let (mut lo, mut hi) = (0, 0);
    let mut scratch = Vec::new();
    // The first series, however short, is a reason to look.
    let mut n_looked_at = CHECK_EVERY;
    for i in 0..windows.steps.n {
        if n_looked_at >= CHECK_EVERY {
            n_looked_at = 0;
            if cancel.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
        }
        let end_ns = windows.steps.at(i).saturating_sub(windows.offset_ns);
        let start_ns = end_ns.saturating_sub(windows.interval_ns);
        while hi < samples.times.len() && samples.times[hi] <= end_ns {
            hi += 1;
        }
        while lo < hi && samples.times[lo] <= start_ns {
            lo += 1;
        }
        n_looked_at += if sums.is_some() { 1 } else { 1 + hi - lo };
        if lo == hi {
            continue;
        }
        let window = Window {
            times: &samples.times[lo..hi],
            values: &samples.values[lo..hi],
            start_ns,
            end_ns,
        };
        let value = match &sums {
            Some(sums) => range_fn.of_sum(sums[hi] - sums[lo], &window),
            None => range_fn.of(&window, &mut scratch),
        };
        out.set(i, value);
    }
    Ok(out)
}

/// Sums before each index. Exact for counts and lengths, which are whole numbers.
fn prefix_sums(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut out = Vec::with_capacity(values.len() + 1);
    out.push(sum);
    for value in values {
        sum += value;
        out.push(sum);
    }
    out
}

// === impl RangeFn ===

impl RangeFn {
    fn is_additive(self) -> bool {
        use RangeOp::{BytesOverTime, BytesRate, CountOverTime, Rate};
        !self.unwrapped && matches!(self.op, CountOverTime | Rate | BytesOverTime | BytesRate)
    }

    fn of_sum(self, sum: f64, window: &Window<'_>) -> f64 {
        match self.op {
            RangeOp::Rate | RangeOp::BytesRate => sum / window.seconds(),
            _ => sum,
        }
    }

    fn of(self, window: &Window<'_>, scratch: &mut Vec<f64>) -> f64 {
        let values = window.values;
        match self.op {
            RangeOp::Sum => values.iter().sum(),
            RangeOp::Rate => values.iter().sum::<f64>() / window.seconds(),
            RangeOp::Avg => mean(values),
            RangeOp::Min => extreme(values, |new, old| new < old),
            RangeOp::Max => extreme(values, |new, old| new > old),
            RangeOp::Stdvar => variance(values),
            RangeOp::Stddev => variance(values).sqrt(),
            RangeOp::Quantile => quantile(self.param, values, scratch),
            RangeOp::First => values[0],
            RangeOp::Last => values[values.len() - 1],
            RangeOp::RateCounter => window.rate_counter(),
            RangeOp::CountOverTime
            | RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::Absent => values.len() as f64,
        }
    }
}

/// Mean that grows value by value, so that it does not overflow where the sum would.
fn mean(values: &[f64]) -> f64 {
    let mut mean = 0.0;
    for (i, value) in values.iter().enumerate() {
        let n = (i + 1) as f64;
        if f64::is_infinite(mean) {
            if value.is_infinite() && (mean > 0.0) == (*value > 0.0) {
                continue;
            }
            if value.is_finite() {
                continue;
            }
        }
        mean += value / n - mean / n;
    }
    mean
}

/// The least or greatest value, NaN only when there is nothing else.
fn extreme(values: &[f64], better: fn(f64, f64) -> bool) -> f64 {
    values
        .iter()
        .copied()
        .fold(f64::NAN, |best, v| if best.is_nan() || better(v, best) { v } else { best })
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let delta = value - mean;
        mean += delta / (i + 1) as f64;
        squares += delta * (value - mean);
    }
    squares / values.len() as f64
}

fn quantile(phi: f64, values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    // NaN sorts first, as in PromQL.
    scratch
        .sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let rank = phi * (scratch.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(scratch.len() - 1);
    let weight = rank - rank.floor();
    scratch[lower] * (1.0 - weight) + scratch[upper] * weight
}

impl Window<'_> {
    fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }

    /// Rise per second of a counter, resets mended, extrapolated to the window's ends.
    fn rate_counter(&self) -> f64 {
        let n = self.values.len();
        if n < 2 {
            return 0.0;
        }
        let (first, last) = (self.values[0], self.values[n - 1]);
        let mut rise = last - first;
        for pair in self.values.windows(2) {
            if pair[1] < pair[0] {
                rise += pair[0];
            }
        }
        let mut to_start = (self.times[0] - self.start_ns) as f64 / 1e9;
        let mut to_end = (self.end_ns - self.times[n - 1]) as f64 / 1e9;
        let sampled = (self.times[n - 1] - self.times[0]) as f64 / 1e9;
        let average = sampled / (n - 1) as f64;
        if rise > 0.0 && first >= 0.0 {
            // A counter was not below zero.
            to_start = to_start.min(sampled * (first / rise));
        }
        let threshold = average * 1.1;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        rise * ((sampled + to_start + to_end) / sampled) / self.seconds()
    }
}
