//! The steps at which a query is evaluated.

/// `n` evaluation times, `step_ms` apart. An instant query has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub start_ms: i64,
    pub step_ms: i64,
    pub n: usize,
}

impl Grid {
    pub fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, n: 1 }
    }

    /// The steps from `start_ms` to `end_ms`, both inclusive; none when `end_ms` is earlier or the
    /// step is not positive.
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let n = if step_ms <= 0 || end_ms < start_ms {
            0
        } else {
            let span = end_ms.saturating_sub(start_ms);
            usize::try_from(span / step_ms).map_or(usize::MAX, |n| n.saturating_add(1))
        };
        Self { start_ms, step_ms: step_ms.max(1), n }
    }

    /// The time of step `i`.
    pub fn time(&self, i: usize) -> i64 {
        let i = i64::try_from(i).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(i))
    }

    /// The time of the last step; `start_ms` when there is none.
    pub fn end_ms(&self) -> i64 {
        self.time(self.n.saturating_sub(1))
    }

    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.n).map(|i| self.time(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_both_ends() {
        let grid = Grid::range(10, 30, 10);
        assert_eq!(grid.times().collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(Grid::range(10, 29, 10).n, 2);
        assert_eq!(Grid::range(10, 9, 10).n, 0);
        assert_eq!(Grid::range(0, 10, 0).n, 0);
        assert_eq!(Grid::range(i64::MIN, i64::MAX, 1).end_ms(), -1);
        assert_eq!(Grid::instant(7).end_ms(), 7);
    }
}
