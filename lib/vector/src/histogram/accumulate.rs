//! Sums and means of many histograms with compensated arithmetic.

use skald_model::ResetHint;

use super::{FloatHistogram, HistogramError, MergeNotes};

/// Adds up histograms; what rounding loses is kept in a second histogram of the same layout.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    total: FloatHistogram,
    lost: FloatHistogram,
    n: f64,
    /// The total would overflow, so `total` is the mean of what came so far.
    is_mean: bool,
    /// Some were known to follow a reset, some known not to.
    hints: (bool, bool),
}

impl HistogramSum {
    pub fn new(first: &FloatHistogram) -> Self {
        let lost = FloatHistogram::empty_like(first);
        let mut sum =
            Self { total: first.clone(), lost, n: 1.0, is_mean: false, hints: (false, false) };
        sum.see_hint(first);
        sum
    }

    fn see_hint(&mut self, h: &FloatHistogram) {
        self.hints.0 |= h.reset_hint == ResetHint::Yes;
        self.hints.1 |= h.reset_hint == ResetHint::No;
    }

    /// Whether what is known about resets contradicts itself, whatever the order.
    pub fn resets_collide(&self) -> bool {
        self.hints == (true, true)
    }

    /// Adds to a sum, which may become infinite.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<MergeNotes, HistogramError> {
        self.see_hint(h);
        self.n += 1.0;
        self.total.merge(h, 1.0, Some(&mut self.lost))
    }

    /// Adds to a mean, which does not overflow as long as the values do not.
    pub fn add_to_mean(&mut self, h: &FloatHistogram) -> Result<MergeNotes, HistogramError> {
        let overflows = |a: f64, b: f64| a.is_finite() && b.is_finite() && (a + b).is_infinite();
        let before = self.n;
        if !self.is_mean
            && (overflows(self.total.count, h.count)
                || overflows(self.total.sum, h.sum)
                || overflows(self.total.zero_count, h.zero_count))
        {
            self.is_mean = true;
            self.total.divide(before);
            self.lost.divide(before);
        }
        if !self.is_mean {
            return self.add(h);
        }
        self.see_hint(h);
        self.n += 1.0;
        let keep = before / self.n;
        self.total.scale(keep);
        self.lost.scale(keep);
        let mut share = h.clone();
        share.divide(self.n);
        self.total.merge(&share, 1.0, Some(&mut self.lost))
    }

    pub fn sum(mut self) -> FloatHistogram {
        let hint = self.total.reset_hint;
        self.lost.reset_hint = hint;
        self.total.settle(&self.lost);
        self.total
    }

    pub fn mean(self) -> FloatHistogram {
        let (is_mean, n) = (self.is_mean, self.n);
        let mut out = self.sum();
        if !is_mean {
            out.divide(n);
        }
        out
    }
}
