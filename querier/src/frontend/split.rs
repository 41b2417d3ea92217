//! The pieces of a range query: its steps by intervals of time.
//!
//! Intervals begin at multiples of their length, whatever the query, so that queries over the same
//! steps are cut at the same places.

/// Most pieces of one query; intervals are joined until it has no more.
const MAX_PIECES: i64 = 64;

/// Steps from `start_ms` up to and including `end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
}

// === impl Steps ===

impl Steps {
    /// The last time that is a step.
    pub(super) fn last_ms(self) -> i64 {
        let length = self.end_ms.saturating_sub(self.start_ms).max(0);
        self.start_ms.saturating_add(length - length % self.step_ms.max(1))
    }

    /// The steps of each interval that has any, with the length of the intervals; `None` if they are
    /// not to be split.
    pub(super) fn pieces(self, interval_ms: i64) -> Option<(i64, Vec<Self>)> {
        let (step_ms, last) = (self.step_ms.max(1), self.last_ms());
        let length = last.saturating_sub(self.start_ms);
        if interval_ms <= 0 || length <= 0 {
            return None;
        }
        // One more interval than the length has may be touched.
        let joined = length / interval_ms / (MAX_PIECES - 1) + 1;
        let interval_ms = interval_ms.checked_mul(joined)?;
        let mut pieces = Vec::new();
        let mut start_ms = self.start_ms;
        while start_ms <= last {
            let left = interval_ms - 1 - start_ms.rem_euclid(interval_ms);
            let end_ms = start_ms.saturating_add(left - left % step_ms).min(last);
            pieces.push(Self { start_ms, end_ms, step_ms });
            let Some(next) = end_ms.checked_add(step_ms) else { break };
            start_ms = next;
        }
        Some((interval_ms, pieces))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(s: Steps) -> Vec<i64> {
        (s.start_ms..=s.end_ms).step_by(usize::try_from(s.step_ms).unwrap()).collect()
    }

    #[test]
    fn pieces_end_where_intervals_do() {
        let steps = Steps { start_ms: 25, end_ms: 119, step_ms: 10 };
        let ends = |p: &Steps| (p.start_ms, p.end_ms);
        let pieces: Vec<_> = steps.pieces(50).unwrap().1.iter().map(ends).collect();
        assert_eq!(pieces, [(25, 45), (55, 95), (105, 115)]);
        assert_eq!(steps.pieces(0), None);
        assert_eq!(Steps { end_ms: 25, ..steps }.pieces(50), None);
    }

    #[test]
    fn the_number_of_pieces_is_bounded() {
        let steps = Steps { start_ms: -7, end_ms: i64::MAX / 2, step_ms: i64::MAX / 20_000 };
        assert!((2..=64).contains(&steps.pieces(1000).unwrap().1.len()));
    }

    proptest! {
        #[test]
        fn pieces_have_every_step_once(
            start_ms in -500i64..500, length in 0i64..2000, step_ms in 1i64..400, interval in 1i64..700,
        ) {
            let steps = Steps { start_ms, end_ms: start_ms + length, step_ms };
            let pieces = steps.pieces(interval).map_or(vec![steps], |(_, pieces)| pieces);
            prop_assert!(pieces.len() <= 64);
            let all: Vec<_> = pieces.iter().flat_map(|p| times(*p)).collect();
            prop_assert_eq!(all, times(steps));
        }
    }
}
