//! Between which times a head has data, so that readers of other times need not look at its series.

use skald_model::TimeRange;

use super::MetricsHead;

/// The first and the last time of what was taken since the last cut, exemplars included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    first: i64,
    last: i64,
}

impl Default for Span {
    fn default() -> Self {
        Self { first: i64::MAX, last: i64::MIN }
    }
}

impl Span {
    pub(super) fn note(&mut self, ts: i64) {
        self.first = self.first.min(ts);
        self.last = self.last.max(ts);
    }

    fn meets(self, range: TimeRange) -> bool {
        self.first <= self.last && range.overlaps(self.first, self.last)
    }
}

impl MetricsHead {
    /// The commit number that goes with an empty answer, when neither head nor snapshot has any data
    /// in `range`. Names and newest samples of series stay after a flush, and count for nothing here.
    pub(crate) fn nothing_in(&self, range: TimeRange) -> Option<u64> {
        let flushing = self.flushing.as_ref().is_some_and(|s| s.span.meets(range));
        (!flushing && !self.span.meets(range)).then_some(self.manifest_version)
    }
}
