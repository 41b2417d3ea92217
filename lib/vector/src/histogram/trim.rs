//! Cutting a histogram off above or below a value (`</`, `>/`).
//!
//! A bucket that contains the cut is divided as quantiles divide it. As soon as anything is cut
//! off, the sum is estimated anew from the middles of what is left.

use super::bucket::Bucket;
use super::{FloatHistogram, is_zero};

/// Which side of the cut stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Below,
    Above,
}

impl FloatHistogram {
    /// The observations on one side of `cut`.
    pub fn trim(&self, cut: f64, keep: Keep) -> Self {
        let mut out = Self::empty_like(self);
        let (mut sum, mut count) = (0.0, 0.0);
        let mut changed = false;
        let mut part = |bucket: Bucket| {
            let (kept, middle) = self.part(bucket, cut, keep);
            changed |= kept.to_bits() != bucket.count.to_bits();
            if !is_zero(kept) {
                sum += kept * middle;
                count += kept;
            }
            kept
        };
        // In the order of Prometheus: another one rounds otherwise.
        for b in &self.positive {
            out.positive.push((b.0, part(self.positive_bucket(*b))));
        }
        for b in &self.negative {
            out.negative.push((b.0, part(self.negative_bucket(*b))));
        }
        out.zero_count = self.zero_bucket().map_or(self.zero_count, &mut part);
        if !changed {
            return self.clone();
        }
        out.sum = sum;
        out.count = count;
        out.compact();
        out
    }

    /// How much of `bucket` is kept, and the middle of that.
    fn part(&self, bucket: Bucket, cut: f64, keep: Keep) -> (f64, f64) {
        if self.uses_custom_buckets()
            && (bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY)
        {
            return open_part(bucket, cut, keep);
        }
        let at_zero = !self.uses_custom_buckets() && bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if !at_zero {
            return divide(bucket, cut, keep, self.uses_custom_buckets());
        }
        // Of all buckets only this one is not dropped by a cut that is no number, in Prometheus.
        if cut.is_nan() && bucket.count > 0.0 {
            return (f64::NAN, f64::NAN);
        }
        divide(self.one_sided_zero(bucket), cut, keep, true)
    }
}

/// Buckets with an end that is not known.
fn open_part(bucket: Bucket, cut: f64, keep: Keep) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = bucket;
    let all = match keep {
        Keep::Below => cut >= upper,
        Keep::Above => cut <= lower,
    };
    if upper == f64::INFINITY {
        // Without a middle: where it begins, or the cut if that is later.
        return match keep {
            _ if lower == f64::NEG_INFINITY => (if all { count } else { 0.0 }, 0.0),
            Keep::Below => (if all { count } else { 0.0 }, lower),
            Keep::Above if cut < f64::INFINITY => (count, lower.max(cut)),
            Keep::Above => (0.0, 0.0),
        };
    }
    if upper > 0.0 {
        // Taken to begin at 0, so a cut below that finds nothing to divide.
        return match keep {
            Keep::Above if cut < 0.0 && !all => (0.0, 0.0),
            _ => divide(Bucket { lower: 0.0, ..bucket }, cut, keep, true),
        };
    }
    match keep {
        Keep::Below if cut > f64::NEG_INFINITY => (count, upper.min(cut)),
        Keep::Above if all => (count, upper),
        _ => (0.0, 0.0),
    }
}

/// Buckets with two ends.
fn divide(bucket: Bucket, cut: f64, keep: Keep, linear: bool) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = bucket;
    let middle = |a: f64, b: f64| {
        if linear {
            f64::midpoint(a, b)
        } else if b <= 0.0 {
            -(a * b).sqrt()
        } else {
            (a * b).sqrt()
        }
    };
    let whole = (count, middle(lower, upper));
    let nothing = (0.0, 0.0);
    if cut <= lower {
        return if keep == Keep::Above { whole } else { nothing };
    }
    if cut >= upper {
        return if keep == Keep::Below { whole } else { nothing };
    }
    if cut.is_nan() {
        return nothing;
    }
    let below = FloatHistogram::share_below(bucket, cut, linear);
    match keep {
        Keep::Below => (count * below, middle(lower, cut)),
        Keep::Above => (count * (1.0 - below), middle(cut, upper)),
    }
}
