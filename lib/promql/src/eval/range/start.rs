//! Start timestamps: since when a sample counts, as far as whoever sent it knows.

/// When a sample was taken, and since when it counts; 0 is unknown. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub start: i64,
    pub time: i64,
}

/// Stamps of the samples at `times`; `starts` is empty when none is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps<'a> {
    pub starts: &'a [i64],
    pub times: &'a [i64],
}

// === impl Stamp ===

impl Stamp {
    /// Whether the counter began anew between `before` and `self`.
    pub(super) fn is_reset_after(self, before: Self) -> bool {
        if self.start == 0 || self.start >= self.time || self.start < before.time {
            return false;
        }
        // A start at the sample before it is a reset for deltas. A cumulative series of which the start is
        // not known says the same, but of its first sample it says that it began there, or nothing.
        self.start > before.time || before.start != 0 && before.start < before.time
    }

    /// Whether `self` claims to count what `before` has counted.
    pub(super) fn overlaps(self, before: Self) -> bool {
        self.start != 0 && self.start < before.time && self.start != before.start
    }

    /// The start if it lies between the start of a window and the sample.
    pub(super) fn since(self, window_start_ms: i64) -> Option<i64> {
        let within = self.start != 0 && self.start > window_start_ms && self.start < self.time;
        within.then_some(self.start)
    }
}

// === impl Stamps ===

impl Stamps<'_> {
    pub(super) fn at(&self, i: usize) -> Option<Stamp> {
        Some(Stamp { start: *self.starts.get(i)?, time: *self.times.get(i)? })
    }

    /// Whether the counter began anew right before sample `i`.
    pub(super) fn is_reset(&self, i: usize) -> bool {
        self.pair(i).is_some_and(|(before, now)| now.is_reset_after(before))
    }

    /// Whether sample `i` claims to count what the one before it has counted.
    pub(super) fn overlaps(&self, i: usize) -> bool {
        self.pair(i).is_some_and(|(before, now)| now.overlaps(before))
    }

    fn pair(&self, i: usize) -> Option<(Stamp, Stamp)> {
        Some((self.at(i.checked_sub(1)?)?, self.at(i)?))
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    fn reset(before: (i64, i64), now: (i64, i64)) -> bool {
        let stamp = |(start, time)| Stamp { start, time };
        stamp(now).is_reset_after(stamp(before))
    }

    #[test]
    fn a_start_behind_the_sample_before_is_a_reset() {
        assert!(reset((0, 100), (101, 200)));
        assert!(!reset((0, 100), (99, 200)));
        assert!(!reset((0, 100), (0, 200)), "unknown");
        assert!(!reset((50, 100), (200, 200)), "at the sample itself");
        assert!(!reset((50, 100), (201, 200)), "in the future");
    }

    #[test]
    fn a_start_at_the_sample_before_depends_on_that_one() {
        assert!(reset((50, 100), (100, 200)), "delta");
        assert!(!reset((0, 100), (100, 200)), "unknown start");
        assert!(!reset((100, 100), (100, 200)), "unknown start, said otherwise");
        assert!(!reset((101, 100), (100, 200)), "nonsense");
    }
}
