//! Aggregates over windows that slide forward, without subtracting and without rescanning.
//!
//! Two stacks make a queue: the front keeps aggregates of its suffixes, the back one running
//! aggregate. Each sample is aggregated twice at most, whatever the overlap, and nothing is ever
//! subtracted, so sums do not drift and infinities leave with their samples.

use skald_vector::stat::KahanSum;

/// Something whose values can be combined in order.
pub(super) trait Monoid: Copy {
    fn of(v: f64) -> Self;
    fn combine(self, next: Self) -> Self;
}

/// The aggregate of `values[lo..hi]`, with `lo` and `hi` never going back.
#[derive(Clone, Debug)]
pub(super) struct Sliding<M> {
    /// `front[k]` is the aggregate of `values[mid - 1 - k..mid]`.
    front: Vec<M>,
    mid: usize,
    back: Option<M>,
    hi: usize,
}

impl<M: Monoid> Sliding<M> {
    pub(super) fn new() -> Self {
        Self { front: Vec::new(), mid: 0, back: None, hi: 0 }
    }

    /// `None` for an empty window.
    pub(super) fn window(&mut self, values: &[f64], lo: usize, hi: usize) -> Option<M> {
        if lo >= self.mid {
            self.rebuild(values, lo, hi);
        } else {
            let mut new = values[self.hi..hi].iter().map(|v| M::of(*v));
            let begun = self.back.or_else(|| new.next());
            self.back = begun.map(|back| new.fold(back, M::combine));
        }
        self.hi = hi;
        let front = self.mid.checked_sub(lo + 1).and_then(|k| self.front.get(k)).copied();
        match (front, self.back) {
            (Some(f), Some(b)) => Some(f.combine(b)),
            (one, other) => one.or(other),
        }
    }

    /// Moves everything to the front.
    fn rebuild(&mut self, values: &[f64], lo: usize, hi: usize) {
        self.front.clear();
        self.back = None;
        self.mid = hi;
        let mut from_behind = values[lo..hi].iter().rev().map(|v| M::of(*v));
        let Some(mut suffix) = from_behind.next() else { return };
        self.front.push(suffix);
        self.front.extend(from_behind.map(|one| {
            suffix = one.combine(suffix);
            suffix
        }));
    }
}

/// Compensated sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(pub KahanSum);

impl Monoid for Sum {
    fn of(v: f64) -> Self {
        Self(KahanSum::new(v))
    }

    fn combine(mut self, next: Self) -> Self {
        self.0.add(next.0.sum);
        if self.0.sum.is_finite() {
            self.0.compensation += next.0.compensation;
        }
        self
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Min(pub f64);

impl Monoid for Min {
    fn of(v: f64) -> Self {
        Self(v)
    }

    fn combine(self, next: Self) -> Self {
        Self(skald_vector::stat::min_ignoring_nan(self.0, next.0))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Max(pub f64);

impl Monoid for Max {
    fn of(v: f64) -> Self {
        Self(v)
    }

    fn combine(self, next: Self) -> Self {
        Self(skald_vector::stat::max_ignoring_nan(self.0, next.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_rescan_for_any_sliding_window() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 7919 % 101) - 50.0).collect();
        for (width, hop) in [(1, 1), (7, 1), (7, 3), (30, 11), (5, 9), (60, 1)] {
            let (mut sum, mut min, mut max) =
                (Sliding::<Sum>::new(), Sliding::<Min>::new(), Sliding::<Max>::new());
            let mut hi = 0;
            while hi <= values.len() {
                let lo = hi.saturating_sub(width);
                let window = &values[lo..hi];
                let got = sum.window(&values, lo, hi).map(|s| s.0.value());
                let want = (!window.is_empty()).then(|| window.iter().sum::<f64>());
                assert_eq!(got, want, "{width} {hop} {lo}..{hi}");
                let got = min.window(&values, lo, hi).map(|m| m.0);
                assert_eq!(got, window.iter().copied().reduce(f64::min));
                let got = max.window(&values, lo, hi).map(|m| m.0);
                assert_eq!(got, window.iter().copied().reduce(f64::max));
                hi += hop;
            }
        }
    }

    #[test]
    fn large_and_infinite_values_leave_with_the_window() {
        let values = [1.0, 1e100, f64::INFINITY, 2.0, 3.0];
        let mut sum = Sliding::<Sum>::new();
        let mut at = |lo, hi| sum.window(&values, lo, hi).map(|s| s.0.value());
        assert_eq!(at(0, 2), Some(1e100));
        assert_eq!(at(0, 4), Some(f64::INFINITY));
        assert_eq!(at(3, 5), Some(5.0));
        assert_eq!(at(5, 5), None);
    }
}
