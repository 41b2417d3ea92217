//! Widening of zero buckets, so that two histograms can be compared or added.
#![expect(
    clippy::float_cmp,
    reason = "thresholds are copied, never computed, until they are equal"
)]

use super::FloatHistogram;
use super::bucket::exponential_bound;

impl FloatHistogram {
    /// The zero count if the threshold were at least `threshold`, and the threshold that results:
    /// it grows to the end of a populated bucket that it would otherwise cut.
    pub(crate) fn zero_count_at(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        loop {
            let before = threshold;
            let mut count = self.zero_count;
            for side in [&self.positive, &self.negative] {
                for (index, n) in side {
                    let (lower, upper) = self.bounds(*index);
                    if lower >= threshold {
                        break;
                    }
                    count += n;
                    if upper > threshold {
                        threshold = upper;
                        break;
                    }
                }
            }
            if threshold == before {
                return (count, threshold);
            }
        }
    }

    /// Moves all buckets within the zero threshold away (their counts are in the zero bucket).
    pub(crate) fn trim_to_zero_bucket(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let outside = |(index, _): &(i32, f64)| exponential_bound(*index, schema) > threshold;
        self.positive.retain(outside);
        self.negative.retain(outside);
    }

    /// Widens the zero buckets of both until they are equal. Answers what the other's zero count is then.
    pub(crate) fn reconcile_zero(&mut self, other: &Self) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = other.zero_count_at(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_count_at(threshold);
                self.trim_to_zero_bucket();
            }
            if threshold.is_nan() || self.zero_threshold.is_nan() {
                break;
            }
        }
        count
    }
}
