//! Half-open time ranges.

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
}
