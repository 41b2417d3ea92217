//! What can be said about the observations behind a histogram: quantiles, fractions, variance.

use super::bucket::Bucket;
use super::{FloatHistogram, is_zero};

/// NaN observations are in the count but in no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantileNote {
    ResultIsNan,
    SkewedHigher,
}

impl FloatHistogram {
    /// The `phi`-quantile, interpolated exponentially within buckets (linearly in the zero bucket
    /// and in custom ones).
    pub fn quantile(&self, phi: f64) -> (f64, Option<QuantileNote>) {
        if phi < 0.0 {
            return (f64::NEG_INFINITY, None);
        }
        if phi > 1.0 {
            return (f64::INFINITY, None);
        }
        if phi.is_nan() || is_zero(self.count) {
            return (f64::NAN, None);
        }
        // NaN observations belong to the upper end, so then the rank is counted from below.
        let forward = self.sum.is_nan() || phi < 0.5;
        let rank = self.count * if forward { phi } else { 1.0 - phi };
        let found =
            if forward { seek(self.buckets(), rank) } else { seek(self.buckets().rev(), rank) };
        let Some((bucket, seen)) = found else {
            return (f64::NAN, self.sum.is_nan().then_some(QuantileNote::ResultIsNan));
        };
        let bucket = match self.assume_bounds(bucket) {
            Ok(bucket) => bucket,
            Err(answer) => return (answer, None),
        };
        let seen = seen.min(self.count);
        let mut note = None;
        if seen < rank {
            if self.sum.is_nan() {
                return (f64::NAN, Some(QuantileNote::ResultIsNan));
            }
            return (if forward { bucket.upper } else { bucket.lower }, None);
        }
        if self.sum.is_nan() {
            note = Some(QuantileNote::SkewedHigher);
        }
        let within = if forward { rank - (seen - bucket.count) } else { seen - rank };
        (self.interpolate(bucket, within / bucket.count), note)
    }

    /// The zero bucket of a one-sided histogram lies on that side; open ends of custom buckets are
    /// 0 below and answer their lower bound above.
    fn assume_bounds(&self, mut bucket: Bucket) -> Result<Bucket, f64> {
        if self.uses_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return Err(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return Err(bucket.lower);
            }
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            bucket = self.one_sided_zero(bucket);
        }
        Ok(bucket)
    }

    pub(super) fn one_sided_zero(&self, mut bucket: Bucket) -> Bucket {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
        bucket
    }

    fn interpolate(&self, bucket: Bucket, fraction: f64) -> f64 {
        let Bucket { lower, upper, .. } = bucket;
        if self.uses_custom_buckets() || (lower <= 0.0 && upper >= 0.0) {
            return lower + (upper - lower) * fraction;
        }
        let (low, high) = (lower.abs().log2(), upper.abs().log2());
        if lower > 0.0 {
            (low + (high - low) * fraction).exp2()
        } else {
            -(high + (low - high) * (1.0 - fraction)).exp2()
        }
    }

    /// The share of observations between `lower` and `upper`, interpolated as in [`Self::quantile`].
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if is_zero(self.count) || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        // NaN observations are in the count but in no bucket; they are in no interval.
        let all: f64 =
            if self.sum.is_nan() { self.buckets().map(|b| b.count).sum() } else { self.count };
        (self.rank_of(upper, all) - self.rank_of(lower, all)) / self.count
    }

    /// How many observations lie below `v`.
    fn rank_of(&self, v: f64, all: f64) -> f64 {
        let mut rank = 0.0;
        for bucket in self.buckets() {
            let linear = self.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0);
            let mut bucket = bucket;
            if self.uses_custom_buckets() {
                if bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                    bucket.lower = 0.0;
                }
            } else if linear {
                bucket = self.one_sided_zero(bucket);
            }
            if bucket.lower >= v {
                return rank;
            }
            if v < bucket.upper {
                return (rank + bucket.count * Self::share_below(bucket, v, linear)).min(all);
            }
            rank += bucket.count;
        }
        all
    }

    /// The share of a bucket that lies below `v`, a value within it.
    pub(super) fn share_below(bucket: Bucket, v: f64, linear: bool) -> f64 {
        let Bucket { lower, upper, .. } = bucket;
        if linear {
            if lower == f64::NEG_INFINITY {
                return 1.0;
            }
            return (v - lower) / (upper - lower);
        }
        let (low, high, at) = (lower.abs().log2(), upper.abs().log2(), v.abs().log2());
        if v > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
    }

    /// Population variance, each observation taken to be at its bucket's middle (geometric for
    /// exponential buckets).
    pub fn variance(&self) -> f64 {
        let mean = self.avg();
        let mut squares = crate::stat::KahanSum::default();
        for bucket in self.buckets() {
            let Bucket { lower, upper, count, .. } = bucket;
            let middle = if self.uses_custom_buckets() {
                // Infinite for the outermost.
                f64::midpoint(lower, upper)
            } else if lower <= 0.0 && upper >= 0.0 {
                0.0
            } else if upper < 0.0 {
                -(lower * upper).sqrt()
            } else {
                (lower * upper).sqrt()
            };
            squares.add(count * (middle - mean) * (middle - mean));
        }
        squares.value() / self.count
    }

    pub fn stddev(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// The bucket in which the running count reaches `rank` (or the last one), and the count with it.
fn seek(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Option<(Bucket, f64)> {
    let mut seen = 0.0;
    let mut last = None;
    for bucket in buckets {
        seen += bucket.count;
        last = Some(bucket);
        if seen >= rank {
            break;
        }
    }
    last.map(|b| (b, seen))
}
