//! The range of an export in slices of time, each about as wide as gives it [`TARGET`] bytes.

use skald_model::TimeRange;

/// Bytes of lines that a slice is to have.
const TARGET: u64 = 32 << 20;
/// A slice is at most so many times as wide as the one before.
const GROWTH: u64 = 4;

/// What is left of the range.
#[derive(Debug)]
pub(super) struct Slices {
    start: i64,
    end: i64,
    /// Nanoseconds.
    width: u64,
}

// === impl Slices ===

impl Slices {
    /// `bytes` is about what the range has.
    pub(super) fn new(range: TimeRange, bytes: u64) -> Self {
        let all = range.end.abs_diff(range.start);
        let parts = bytes / TARGET + 1;
        Self { start: range.start, end: range.end, width: (all / parts).max(1) }
    }

    pub(super) fn is_done(&self) -> bool {
        self.start >= self.end
    }

    /// The next slice; the same again until it has passed.
    pub(super) fn next(&self) -> Option<TimeRange> {
        (!self.is_done()).then(|| TimeRange::new(self.start, self.slice_end()))
    }

    /// The slice had so many bytes: the next one follows.
    pub(super) fn passed(&mut self, bytes: u64) {
        self.start = self.slice_end();
        let wanted = u128::from(self.width) * u128::from(TARGET) / u128::from(bytes.max(1));
        let most = self.width.saturating_mul(GROWTH);
        self.width = u64::try_from(wanted).unwrap_or(u64::MAX).clamp(1, most);
    }

    /// The slice was too much: asks for less of it. `false` when there is nothing less.
    pub(super) fn narrow(&mut self) -> bool {
        let width = self.slice_end().abs_diff(self.start);
        self.width = (width / GROWTH).max(1);
        width > 1
    }

    fn slice_end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.width).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_and_follow_its_density() {
        let mut slices = Slices::new(TimeRange::new(-1000, 1_000_000), TARGET * 10);
        let (mut at, mut widths) = (-1000, Vec::new());
        while let Some(range) = slices.next() {
            assert_eq!(range.start, at);
            (at, _) = (range.end, widths.push(range.end - range.start));
            // Twice as dense as said, then empty.
            let width = range.end.abs_diff(range.start);
            slices.passed(if range.start < 500_000 { width * 2 * TARGET / 100_000 } else { 0 });
        }
        assert_eq!(at, 1_000_000);
        assert_eq!(widths[0], 91_000);
        assert!((49_000..51_000).contains(&widths[1]), "{widths:?}");
        assert!(widths.len() < 20 && widths.iter().any(|w| *w > 200_000), "{widths:?}");
    }

    #[test]
    fn a_slice_gets_narrower_until_one_nanosecond() {
        let mut slices = Slices::new(TimeRange::new(0, 100), 0);
        let mut widths = Vec::new();
        while slices.narrow() {
            widths.push(slices.next().unwrap().end);
        }
        assert_eq!(widths, [25, 6, 1]);
        slices.passed(u64::MAX);
        assert_eq!(slices.next(), Some(TimeRange::new(1, 2)));
        assert!(Slices::new(TimeRange::new(5, 5), 0).is_done());
        let mut ends = Slices::new(TimeRange::ALL, 0);
        assert_eq!(ends.next(), Some(TimeRange::ALL));
        ends.passed(0);
        assert!(ends.is_done());
    }
}
