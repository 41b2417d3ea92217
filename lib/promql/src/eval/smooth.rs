//! `smoothed` instant selectors: the value at a step lies on the line between its neighbours.

use std::sync::Arc;

use skald_model::ResetHint;
use skald_vector::{Column, Context, Grid, VectorError};

use super::Loaded;
use super::range::{interpolate, interpolate_histograms, warn_mixed_kinds, warn_mixed_schemas};
use super::select::{Reach, advance};

/// The column of one series without stale markers.
pub(super) fn smooth(
    series: &Loaded,
    grid: &Grid,
    reach: Reach,
    ctx: &mut Context,
) -> Result<Column, VectorError> {
    let mut out = Column::absent(series.labels.clone(), grid.n);
    for i in 0..grid.n {
        ctx.check()?;
        let now = reach.end(grid, i);
        let (from, to) = (now.saturating_sub(reach.range_ms), now.saturating_add(reach.range_ms));
        let within = |times: &[i64]| (advance(times, 0, from), advance(times, 0, to));
        let (lo, hi) = within(&series.times);
        let (histogram_lo, histogram_hi) = within(&series.histogram_times);
        let n = hi - lo + histogram_hi - histogram_lo;
        ctx.seen.add(i, n, if series.computed { 0 } else { n });
        match (lo < hi, histogram_lo < histogram_hi) {
            (true, true) => {
                warn_mixed_kinds(series.labels.metric_name().unwrap_or(""), ctx);
            }
            (true, false) => float(series, (lo, hi), now, i, &mut out),
            (false, true) => {
                histogram(series, (histogram_lo, histogram_hi), now, i, &mut out, ctx);
            }
            (false, false) => {}
        }
    }
    Ok(out)
}

/// The first sample at or behind `now`, as an index into `times[lo..hi]` from 0 on.
fn next(times: &[i64], now: i64) -> usize {
    times.partition_point(|t| *t < now)
}

fn float(series: &Loaded, (lo, hi): (usize, usize), now: i64, i: usize, out: &mut Column) {
    let (times, values) = (&series.times[lo..hi], &series.values[lo..hi]);
    let at = next(times, now);
    if times.get(at) == Some(&now) {
        out.set(i, values[at]);
    } else if let Some(before) = at.checked_sub(1) {
        let a = (times[before], values[before]);
        let value = match times.get(at) {
            Some(t) => interpolate(a, (*t, values[at]), now, false),
            None => a.1,
        };
        out.set(i, value);
    }
}

fn histogram(
    series: &Loaded,
    (lo, hi): (usize, usize),
    now: i64,
    i: usize,
    out: &mut Column,
    ctx: &mut Context,
) {
    let (times, all) = (&series.histogram_times[lo..hi], &series.histograms[lo..hi]);
    let at = next(times, now);
    if times.get(at) == Some(&now) {
        out.set_histogram(i, Arc::clone(&all[at]));
        return;
    }
    let Some(before) = at.checked_sub(1) else { return };
    let Some(t) = times.get(at) else {
        // What it says about the one before it does not hold here.
        let mut h = all[before].as_ref().clone();
        h.reset_hint = ResetHint::Unknown;
        out.set_histogram(i, Arc::new(h));
        return;
    };
    let (a, b) = (&all[before], &all[at]);
    let name = series.labels.metric_name().unwrap_or("");
    if a.uses_custom_buckets() != b.uses_custom_buckets() {
        warn_mixed_schemas(name, ctx);
        return;
    }
    let counter = [a, b].iter().any(|h| h.reset_hint != ResetHint::Gauge);
    let between = interpolate_histograms((times[before], a), (*t, b), now, counter, name, ctx);
    if let Some(h) = between {
        out.set_histogram(i, Arc::new(h));
    }
}
