//! The bounds of windows over the floats of one series, 64 steps at a time.
//!
//! A block of steps is walked first and computed afterwards, so that each of the two loops is short.
//! 64 steps are one word of a column's bitmap.

use skald_vector::{Column, Context, Grid, VectorError};

use crate::eval::{Loaded, Reach};

/// Steps of a block.
pub(super) const STEPS: usize = 64;

/// Windows of consecutive steps.
pub(super) struct Block {
    /// The step of the first window; a multiple of [`STEPS`].
    pub first: usize,
    pub n: usize,
    /// Samples of the windows: `lo[k]..hi[k]`, `lo[k] <= hi[k]`.
    pub lo: [usize; STEPS],
    pub hi: [usize; STEPS],
    /// Where the windows end.
    pub end_ms: i64,
    pub step_ms: i64,
}

/// Goes through all windows in order.
pub(super) struct Walk<'a> {
    times: &'a [i64],
    computed: bool,
    n: usize,
    range_ms: i64,
    block: Block,
    /// Bounds of the window before, and how far they moved to get there.
    lo: usize,
    hi: usize,
    hops: (usize, usize),
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// `None` where windows are not plain: beside histograms, at a fixed time, with edges that are made,
    /// or beyond the range of times.
    pub(super) fn new(series: &'a Loaded, reach: Reach, grid: &Grid) -> Option<Self> {
        let plain = reach.at.is_none() && reach.extension.is_none();
        let start = grid.start_ms.checked_sub(reach.offset_ms)?;
        let span = grid.step_ms.checked_mul(i64::try_from(grid.n).ok()?)?;
        start.checked_add(span)?;
        start.checked_sub(reach.range_ms)?;
        if !plain || !series.histogram_times.is_empty() || reach.range_ms < 0 {
            return None;
        }
        let (lo, hi) = ([0; STEPS], [0; STEPS]);
        Some(Self {
            times: &series.times,
            computed: series.computed,
            n: grid.n,
            range_ms: reach.range_ms,
            block: Block { first: 0, n: 0, lo, hi, end_ms: start, step_ms: grid.step_ms },
            lo: 0,
            hi: 0,
            hops: (0, 0),
        })
    }

    pub(super) fn range_ms(&self) -> i64 {
        self.range_ms
    }

    /// The next windows, counted as seen.
    #[inline]
    pub(super) fn next(&mut self, ctx: &mut Context) -> Result<Option<&Block>, VectorError> {
        let first = self.block.first.saturating_add(self.block.n);
        let n = self.n.saturating_sub(first).min(STEPS);
        if n == 0 {
            return Ok(None);
        }
        ctx.check()?;
        let done = i64::try_from(self.block.n).unwrap_or(0);
        self.block.end_ms += self.block.step_ms * done;
        (self.block.first, self.block.n) = (first, n);
        let before = self.hi;
        let (total, read) = self.walk();
        if ctx.seen.steps.is_some() {
            self.count(before, ctx);
        } else {
            ctx.seen.add(0, total, if self.computed { 0 } else { read });
        }
        Ok(Some(&self.block))
    }

    /// Finds the bounds of the block; tells the samples in all its windows, and those seen first there.
    fn walk(&mut self) -> (usize, usize) {
        let block = &mut self.block;
        let (mut lo, mut hi, (mut hop_lo, mut hop_hi)) = (self.lo, self.hi, self.hops);
        let (mut end, range_ms, times) = (block.end_ms, self.range_ms, self.times);
        let (begin, mut total, mut skipped) = (hi, 0, 0);
        for (l, h) in block.lo.iter_mut().zip(&mut block.hi).take(block.n) {
            let (from_lo, from_hi) = (lo, hi);
            hi = seek(times, hi, hop_hi, end);
            lo = seek(times, lo, hop_lo, end - range_ms);
            (hop_lo, hop_hi) = (lo - from_lo, hi - from_hi);
            (*l, *h) = (lo, hi);
            total += hi - lo;
            skipped += lo.saturating_sub(from_hi);
            end += block.step_ms;
        }
        (self.lo, self.hi, self.hops) = (lo, hi, (hop_lo, hop_hi));
        (total, hi - begin - skipped)
    }

    fn count(&self, mut before: usize, ctx: &mut Context) {
        let block = &self.block;
        for (k, (lo, hi)) in block.lo.iter().zip(&block.hi).take(block.n).enumerate() {
            let new = if self.computed { 0 } else { hi - before.max(*lo) };
            ctx.seen.add(block.first + k, hi - lo, new);
            before = *hi;
        }
    }

    /// Puts what `f` says of the bounds of each window of at least `least` samples.
    pub(super) fn each(
        mut self,
        least: usize,
        out: &mut Column,
        ctx: &mut Context,
        mut f: impl FnMut(usize, usize) -> f64,
    ) -> Result<(), VectorError> {
        while let Some(block) = self.next(ctx)? {
            let mut present = 0;
            let slots = out.values.iter_mut().skip(block.first);
            for (k, slot) in slots.take(block.n).enumerate() {
                let (lo, hi) = (block.lo[k], block.hi[k]);
                if hi - lo >= least {
                    *slot = f(lo, hi);
                    present |= 1 << k;
                }
            }
            out.present.set_word(block.first / STEPS, present);
        }
        Ok(())
    }
}

/// The number of times that are at most `end`, at least `from`, probably `hop` more.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as the two comparisons")]
pub(in crate::eval) fn seek(times: &[i64], from: usize, hop: usize, end: i64) -> usize {
    let at = from + hop;
    let fits = times.get(at).is_some_and(|t| *t > end);
    let tight = hop == 0 || times.get(at - 1).is_some_and(|t| *t <= end);
    if fits && tight { at } else { search(times, from, at, end) }
}

/// As [`seek`], where the guess `at` is wrong or behind the end.
#[inline(never)]
fn search(times: &[i64], from: usize, mut at: usize, end: i64) -> usize {
    match times.get(at) {
        None => super::advance(times, from, end),
        Some(t) if *t <= end => super::advance(times, at + 1, end),
        Some(_) => {
            while at > from && times[at - 1] > end {
                at -= 1;
            }
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use skald_vector::Seen;

    use super::*;

    #[test]
    fn finds_the_same_bounds_as_a_search_whatever_the_hop() {
        let times: Vec<i64> = (0..40).map(|i| i * i / 3).collect();
        for from in 0..times.len() {
            for hop in 0..6 {
                for end in times.get(from.saturating_sub(1)).copied().unwrap_or(0)..520 {
                    let want = times.partition_point(|t| *t <= end).max(from);
                    assert_eq!(seek(&times, from, hop, end), want, "{from} {hop} {end}");
                }
            }
        }
    }

    #[test]
    fn blocks_hold_the_samples_of_each_window_and_count_them() {
        let times: Vec<i64> = (0..500).map(|i| i * 7 % 5 + i * 10).collect();
        let values = vec![1.0; times.len()];
        let series = Loaded { times, values, ..Loaded::default() };
        for (range_ms, step_ms) in [(35, 10), (20, 33), (100, 1), (300, 60), (9, 400)] {
            let grid = Grid::range(-100, 5200, step_ms);
            let reach = Reach { range_ms, offset_ms: 15, at: None, extension: None };
            let mut walk = Walk::new(&series, reach, &grid).expect("plain");
            let mut ctx = Context::default();
            let (mut total, mut last) = (0, 0);
            while let Some(block) = walk.next(&mut ctx).expect("not cancelled") {
                for k in 0..block.n {
                    let end = grid.time(block.first + k) - 15;
                    let lo = series.times.partition_point(|t| *t <= end - range_ms);
                    let hi = series.times.partition_point(|t| *t <= end);
                    assert_eq!((block.lo[k], block.hi[k]), (lo, hi), "{range_ms} {step_ms} {end}");
                    total += hi - lo;
                    last = hi;
                }
            }
            assert_eq!(ctx.seen.total, total as u64);
            let mut steps = Context { seen: Seen::per_step(grid.n), ..Context::default() };
            let mut walk = Walk::new(&series, reach, &grid).expect("plain");
            while walk.next(&mut steps).expect("not cancelled").is_some() {}
            assert_eq!((steps.seen.total, steps.seen.read), (ctx.seen.total, ctx.seen.read));
            if range_ms >= step_ms {
                assert_eq!(ctx.seen.read, last as u64);
            }
        }
    }
}
