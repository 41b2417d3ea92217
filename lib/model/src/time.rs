//! Half-open time ranges.

use std::sync::atomic::{AtomicI64, Ordering};

/// `[start, end)`, in milliseconds for metrics and nanoseconds for logs. Empty when `end <= start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub start: i64,
    pub end: i64,
}

impl TimeRange {
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    pub fn new(start: i64, end: i64) -> Self {
        Self { start, end }
    }

    pub fn contains(&self, t: i64) -> bool {
        self.start <= t && t < self.end
    }

    /// Whether any time in `[min, max]`, both ends inclusive, lies within.
    pub fn overlaps(&self, min: i64, max: i64) -> bool {
        min < self.end && self.start <= max
    }

    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// What lies in both.
    #[must_use]
    pub fn intersect(&self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// The part of a range that is still of use, while several threads read it: once enough was found at
/// one end, the other end comes nearer.
#[derive(Debug)]
pub struct Narrowing {
    start: AtomicI64,
    end: AtomicI64,
}

// === impl Narrowing ===

impl Narrowing {
    pub fn new(range: TimeRange) -> Self {
        Self { start: AtomicI64::new(range.start), end: AtomicI64::new(range.end) }
    }

    pub fn get(&self) -> TimeRange {
        let load = |bound: &AtomicI64| bound.load(Ordering::Relaxed);
        TimeRange::new(load(&self.start), load(&self.end))
    }

    /// What is before `start` is of no use any more.
    pub fn raise_start(&self, start: i64) {
        self.start.fetch_max(start, Ordering::Relaxed);
    }

    /// What is at `end` or after is of no use any more.
    pub fn lower_end(&self, end: i64) {
        self.end.fetch_min(end, Ordering::Relaxed);
    }

    /// Begins anew with all of `range`.
    pub fn reset(&self, range: TimeRange) {
        self.start.store(range.start, Ordering::Relaxed);
        self.end.store(range.end, Ordering::Relaxed);
    }
}
