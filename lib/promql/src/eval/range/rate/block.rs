//! `rate`, `increase` and `delta` of floats for a block of windows at once.
//!
//! First the ends of all windows are gathered, then the arithmetic is done, in the order of
//! [`Rates::factor`] but without branches, so that it runs on several windows at a time.

use skald_vector::{Column, Context, VectorError};

use super::super::walk::{Block, STEPS, Walk};
use super::{Rates, seconds};
use crate::eval::Loaded;
use crate::expr::RangeFunction;

/// Below this the arithmetic of whole blocks does not pay.
const WORTHWHILE: usize = 8;

/// What counts of each window. Times in milliseconds.
struct Ends {
    increase: [f64; STEPS],
    /// Values of counters, to find where they were zero.
    first: [f64; STEPS],
    sampled: [f64; STEPS],
    to_start: [f64; STEPS],
    to_end: [f64; STEPS],
    /// Samples but one.
    gaps: [f64; STEPS],
}

impl Ends {
    /// Of windows without samples; their result is 0.
    const NONE: Self = Self {
        increase: [0.0; STEPS],
        first: [0.0; STEPS],
        sampled: [1.0; STEPS],
        to_start: [0.0; STEPS],
        to_end: [0.0; STEPS],
        gaps: [1.0; STEPS],
    };
}

/// `rates` of a series of floats at every step.
pub(in super::super) fn fill(
    f: RangeFunction,
    series: &Loaded,
    mut walk: Walk<'_>,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<(), VectorError> {
    let mut rates = Rates::new(f, series);
    let range_ms = walk.range_ms();
    let width = seconds(range_ms);
    if !series.starts.is_empty() || out.len() < WORTHWHILE {
        return one_by_one(&mut rates, series, walk, out, ctx);
    }
    rates.resets.push(usize::MAX);
    let mut ends = Ends::NONE;
    while let Some(block) = walk.next(ctx)? {
        let present = rates.gather(series, block, range_ms, &mut ends);
        out.present.set_word(block.first / STEPS, present);
        let slots = out.values.get_mut(block.first..block.first + block.n).unwrap_or_default();
        match f {
            RangeFunction::Rate => extrapolate::<true>(&ends, width, slots),
            RangeFunction::Increase => extrapolate::<true>(&ends, 1.0, slots),
            _ => extrapolate::<false>(&ends, 1.0, slots),
        }
    }
    Ok(())
}

/// Also where start timestamps are known.
fn one_by_one(
    rates: &mut Rates,
    series: &Loaded,
    mut walk: Walk<'_>,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<(), VectorError> {
    let name = series.labels.metric_name().unwrap_or("");
    let range_ms = walk.range_ms();
    let width = seconds(range_ms);
    while let Some(block) = walk.next(ctx)? {
        let (first, mut end) = (block.first, block.end_ms);
        for (k, (lo, hi)) in block.lo.iter().zip(&block.hi).take(block.n).enumerate() {
            let window = (*lo, *hi);
            rates.warn_of_overlaps(window, name, ctx);
            if let Some(v) = rates.between(series, window, (end - range_ms, end), width) {
                out.set(first + k, v);
            }
            end += block.step_ms;
        }
    }
    Ok(())
}

impl Rates {
    /// The bits of the windows that have a result.
    #[expect(clippy::cast_precision_loss, reason = "counts and durations in ms are exact floats")]
    fn gather(&mut self, series: &Loaded, block: &Block, range_ms: i64, ends: &mut Ends) -> u64 {
        let (times, values) = (series.times.as_slice(), series.values.as_slice());
        let mut present = 0;
        let mut end_ms = block.end_ms;
        for k in 0..block.n.min(STEPS) {
            let (lo, hi) = (block.lo[k], block.hi[k]);
            let enough = hi - lo > 1;
            if enough {
                let (t0, t1) = (times[lo], times[hi - 1]);
                let (first, last) = (values[lo], values[hi - 1]);
                ends.increase[k] = last - first;
                ends.first[k] = first;
                ends.sampled[k] = (t1 - t0) as f64;
                ends.to_start[k] = (t0 - (end_ms - range_ms)) as f64;
                ends.to_end[k] = (end_ms - t1) as f64;
                ends.gaps[k] = (hi - lo - 1) as f64;
                present |= 1 << k;
                // The last of all resets lies behind all samples.
                while self.resets[self.from] <= lo {
                    self.from += 1;
                }
                for reset in self.resets[self.from..].iter().take_while(|r| **r < hi) {
                    ends.increase[k] += values[reset - 1];
                }
            } else {
                ends.increase[k] = 0.0;
                ends.sampled[k] = 1.0;
            }
            end_ms += block.step_ms;
        }
        present
    }
}

/// See [`Rates::factor`].
fn extrapolate<const COUNTER: bool>(ends: &Ends, width: f64, slots: &mut [f64]) {
    let windows = ends.sampled.iter().zip(&ends.gaps).zip(&ends.to_start).zip(&ends.to_end);
    let windows = windows.zip(&ends.increase).zip(&ends.first);
    for (slot, (((((sampled, gaps), to_start), to_end), increase), first)) in
        slots.iter_mut().zip(windows)
    {
        let (sampled, to_start, to_end) = (sampled / 1000.0, to_start / 1000.0, to_end / 1000.0);
        let average = sampled / gaps;
        let threshold = average * 1.1;
        let mut start = if to_start >= threshold { average * 0.5 } else { to_start };
        if COUNTER {
            let zero = sampled * (first / increase);
            let nearer = (*increase > 0.0) & (*first >= 0.0) & (zero < start);
            start = if nearer { zero } else { start };
        }
        let end = if to_end >= threshold { average * 0.5 } else { to_end };
        *slot = increase * ((sampled + start + end) / sampled / width);
    }
}

#[cfg(test)]
mod tests;
