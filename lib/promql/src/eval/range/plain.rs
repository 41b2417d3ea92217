//! Functions of plain windows over floats: what most queries ask for, in short loops.

use skald_vector::stat::Mean;
use skald_vector::{Column, Context, VectorError};

use super::rate;
use super::sliding::{Max, Min, Sliding, Sum};
use super::walk::Walk;
use crate::eval::Loaded;
use crate::expr::RangeFunction;

/// Evaluates `f` at every step; `false` when it is none of those that this module knows.
#[expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "counts are small; any change counts"
)]
pub(super) fn fill(
    f: RangeFunction,
    series: &Loaded,
    walk: Walk<'_>,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<bool, VectorError> {
    use RangeFunction as R;
    let values = series.values.as_slice();
    let time = |i: usize| seconds(series.times[i]);
    // Start timestamps say more than the values.
    let unstamped = series.starts.is_empty();
    match f {
        R::Rate | R::Increase | R::Delta => rate::fill(f, series, walk, out, ctx),
        R::Irate if unstamped => walk.each(2, out, ctx, |_, hi| {
            let (before, last) = (values[hi - 2], values[hi - 1]);
            let change = if last < before { last } else { last - before };
            change / seconds(series.times[hi - 1] - series.times[hi - 2])
        }),
        R::Idelta => walk.each(2, out, ctx, |_, hi| values[hi - 1] - values[hi - 2]),
        R::Changes => {
            let changes = pairs(values, |a, b| a != b && !(a.is_nan() && b.is_nan()));
            walk.each(1, out, ctx, |lo, hi| changes[hi - 1] - changes[lo])
        }
        R::Resets if unstamped => {
            let resets = pairs(values, |a, b| b < a);
            walk.each(1, out, ctx, |lo, hi| resets[hi - 1] - resets[lo])
        }
        R::CountOverTime => walk.each(1, out, ctx, |lo, hi| (hi - lo) as f64),
        R::PresentOverTime => walk.each(1, out, ctx, |_, _| 1.0),
        R::FirstOverTime => walk.each(1, out, ctx, |lo, _| values[lo]),
        R::LastOverTime => walk.each(1, out, ctx, |_, hi| values[hi - 1]),
        R::TsOfFirst => walk.each(1, out, ctx, |lo, _| time(lo)),
        R::TsOfLast => walk.each(1, out, ctx, |_, hi| time(hi - 1)),
        R::SumOverTime => {
            let mut sums = Sliding::<Sum>::new();
            walk.each(1, out, ctx, |lo, hi| {
                sums.window(values, lo, hi).map_or(f64::NAN, |s| s.0.value())
            })
        }
        R::AvgOverTime => {
            let mut sums = Sliding::<Sum>::new();
            let mut of = |lo, hi| Some(mean(sums.window(values, lo, hi)?, &values[lo..hi]));
            walk.each(1, out, ctx, |lo, hi| of(lo, hi).unwrap_or(f64::NAN))
        }
        R::MinOverTime => {
            let mut least = Sliding::<Min>::new();
            walk.each(1, out, ctx, |lo, hi| least.window(values, lo, hi).map_or(f64::NAN, |m| m.0))
        }
        R::MaxOverTime => {
            let mut most = Sliding::<Max>::new();
            walk.each(1, out, ctx, |lo, hi| most.window(values, lo, hi).map_or(f64::NAN, |m| m.0))
        }
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// The mean of `values`, of which `sum` is the sum.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub(super) fn mean(Sum(sum): Sum, values: &[f64]) -> f64 {
    if sum.sum.is_infinite() {
        // Too large a sum does not mean too large a mean.
        let mut mean = Mean::default();
        values.iter().for_each(|v| mean.add(*v));
        return mean.value();
    }
    let n = values.len() as f64;
    sum.sum / n + sum.compensation / n
}

/// Up to each value, how many pairs of neighbours `differ`.
fn pairs(values: &[f64], differ: impl Fn(f64, f64) -> bool) -> Vec<f64> {
    let mut n = 0.0;
    let mut before = values.first().copied().unwrap_or(0.0);
    let mut up_to = Vec::with_capacity(values.len());
    for (i, v) in values.iter().enumerate() {
        if i > 0 && differ(before, *v) {
            n += 1.0;
        }
        before = *v;
        up_to.push(n);
    }
    up_to
}

#[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
