//! Ranges with `anchored` and `smoothed`: the value at each edge of a window is taken from, or
//! interpolated between, the samples around it, so that nothing is extrapolated.
//!
//! The window carries samples beyond its edges: a lookback before its start, and for `smoothed` a
//! lookback behind its end.

use std::sync::Arc;

use skald_model::ResetHint;
use skald_vector::{Context, FloatHistogram};

use super::histogram::{annotate_reconciled, warn_mixed_schemas, warn_not_counter, warn_not_gauge};
use super::{Out, Window};
use crate::expr::RangeFunction;

/// Samples of one kind that matter to a window, by index.
struct Edges {
    first: usize,
    last: usize,
}

/// `rate`, `increase` or `delta` of an extended window.
pub(super) fn rate(f: RangeFunction, smoothed: bool, w: &Window<'_>, ctx: &mut Context) -> Out {
    if w.is_mixed(ctx) {
        return Out::Nothing;
    }
    let is_counter = f != RangeFunction::Delta;
    let seconds = if f == RangeFunction::Rate { Some(seconds(w)) } else { None };
    if w.histogram_lo < w.histogram_hi {
        let change = histogram_change(smoothed, is_counter, w, ctx);
        return change.map_or(Out::Nothing, |mut change| {
            if let Some(seconds) = seconds {
                change.divide(seconds);
            }
            change.reset_hint = ResetHint::Gauge;
            change.compact();
            Out::Histogram(Arc::new(change))
        });
    }
    let change = float_change(smoothed, is_counter, w);
    change.map_or(Out::Nothing, |v| Out::Float(seconds.map_or(v, |s| v / s)))
}

#[expect(clippy::cast_precision_loss, reason = "durations in ms are exact floats")]
fn seconds(w: &Window<'_>) -> f64 {
    w.end_ms.saturating_sub(w.start_ms) as f64 / 1000.0
}

/// The sample at or before the start of the window (or the first) and the one at its end; behind
/// it when `smoothed`. `None` when nothing lies within.
fn edges(times: &[i64], smoothed: bool, start_ms: i64, end_ms: i64) -> Option<Edges> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|t| *t <= start_ms).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end_ms);
    }
    let nothing = times[last] <= start_ms || smoothed && times[first] > end_ms;
    (!nothing).then_some(Edges { first, last })
}

fn float_change(smoothed: bool, is_counter: bool, w: &Window<'_>) -> Option<f64> {
    let (times, values) = (w.times(), w.values());
    let Edges { mut first, mut last } = edges(times, smoothed, w.start_ms, w.end_ms)?;
    let range = (w.start_ms, w.end_ms);
    let (left, right) = float_edges(times, values, first, last, smoothed, is_counter, range);
    let mut change = right - left;
    if is_counter {
        // Resets at the edges are in the interpolated values already.
        if times[first] <= w.start_ms {
            first += 1;
        }
        let end = if times[last] >= w.end_ms { last } else { last + 1 };
        last = end.max(first);
        let (mut before, mut hidden) = (left, 0.0);
        for v in &values[first..last] {
            if *v < before {
                hidden += before;
            }
            before = *v;
        }
        if right < before {
            hidden += before;
        }
        change += hidden;
    }
    Some(change)
}

fn float_edges(
    times: &[i64],
    values: &[f64],
    first: usize,
    last: usize,
    smoothed: bool,
    is_counter: bool,
    (start_ms, end_ms): (i64, i64),
) -> (f64, f64) {
    let between = |i: usize, t| {
        interpolate((times[i], values[i]), (times[i + 1], values[i + 1]), t, is_counter)
    };
    let left = match smoothed && times[first] < start_ms && first + 1 < times.len() {
        true => between(first, start_ms),
        false => values[first],
    };
    let right = match smoothed && last > 0 && times[last] > end_ms {
        true => between(last - 1, end_ms),
        false => values[last],
    };
    (left, right)
}

/// The value at `t` on the line between two samples; a counter that was reset began at zero.
#[expect(clippy::cast_precision_loss, reason = "differences of times are exact floats")]
pub(in crate::eval) fn interpolate(a: (i64, f64), b: (i64, f64), t: i64, is_counter: bool) -> f64 {
    let from = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

type Timed<'a> = (i64, &'a FloatHistogram);

/// As [`interpolate`]; `None` when the two do not go together.
#[expect(clippy::cast_precision_loss, reason = "differences of times are exact floats")]
pub(in crate::eval) fn interpolate_histograms(
    a: Timed<'_>,
    b: Timed<'_>,
    t: i64,
    is_counter: bool,
    name: &str,
    ctx: &mut Context,
) -> Option<FloatHistogram> {
    if t == a.0 {
        return Some(a.1.clone());
    }
    let mut out = b.1.clone();
    if t == b.0 {
        return Some(out);
    }
    let fraction = (t - a.0) as f64 / (b.0 - a.0) as f64;
    if is_counter && b.1.is_reset_after(a.1) {
        out.scale(fraction);
        return Some(out);
    }
    combine(&mut out, a.1, Combine::Subtract, name, ctx)?;
    out.scale(fraction);
    combine(&mut out, a.1, Combine::Add, name, ctx)?;
    Some(out)
}

#[derive(Clone, Copy)]
enum Combine {
    Add,
    Subtract,
}

fn combine(
    out: &mut FloatHistogram,
    h: &FloatHistogram,
    how: Combine,
    name: &str,
    ctx: &mut Context,
) -> Option<()> {
    let (notes, operation) = match how {
        Combine::Add => (out.add(h), "addition"),
        Combine::Subtract => (out.sub(h), "subtraction"),
    };
    match notes {
        Ok(notes) => annotate_reconciled(notes, operation, ctx),
        Err(_) => {
            warn_mixed_schemas(name, ctx);
            return None;
        }
    }
    Some(())
}

fn histogram_change(
    smoothed: bool,
    is_counter: bool,
    w: &Window<'_>,
    ctx: &mut Context,
) -> Option<FloatHistogram> {
    let (times, all, name) = (w.histogram_times(), w.histograms(), w.name());
    let Edges { first, last } = edges(times, smoothed, w.start_ms, w.end_ms)?;
    let looked_at = &all[first..=last];
    let custom = all[first].uses_custom_buckets();
    for h in looked_at {
        if h.uses_custom_buckets() != custom {
            warn_mixed_schemas(name, ctx);
            return None;
        }
        if is_counter && h.reset_hint == ResetHint::Gauge {
            warn_not_counter(name, ctx);
        }
    }
    let at = |i: usize| (times[i], &*all[i]);
    let inside_left = smoothed && times[first] < w.start_ms && first + 1 < times.len();
    let left = match inside_left {
        true => {
            interpolate_histograms(at(first), at(first + 1), w.start_ms, is_counter, name, ctx)?
        }
        false => FloatHistogram::clone(&all[first]),
    };
    let right = match smoothed && last > 0 && times[last] > w.end_ms {
        true => interpolate_histograms(at(last - 1), at(last), w.end_ms, is_counter, name, ctx)?,
        false => FloatHistogram::clone(&all[last]),
    };
    let gauges = [&left, &right].map(|h| h.reset_hint == ResetHint::Gauge);
    if !is_counter && gauges.contains(&false) {
        warn_not_gauge(name, ctx);
    }
    let mut change = right.clone();
    combine(&mut change, &left, Combine::Subtract, name, ctx)?;
    if is_counter {
        let mut before = &left;
        let mut from = first + 1;
        if inside_left && all[first + 1].is_reset_after(&all[first]) {
            // The left edge lies within a reset and accounts for it.
            before = &all[first + 1];
            from += 1;
        }
        if from <= last {
            add_hidden(&mut change, before, &all[from..last], &right, name, ctx)?;
        }
    }
    Some(change)
}

/// Adds what resets hid: the value before each of them.
fn add_hidden(
    change: &mut FloatHistogram,
    before: &FloatHistogram,
    between: &[Arc<FloatHistogram>],
    right: &FloatHistogram,
    name: &str,
    ctx: &mut Context,
) -> Option<()> {
    let mut hidden: Option<FloatHistogram> = None;
    let mut before = before;
    for h in between.iter().map(|h| &**h).chain([right]) {
        if h.is_reset_after(before) {
            match &mut hidden {
                Some(sum) => combine(sum, before, Combine::Add, name, ctx)?,
                None => hidden = Some(before.clone()),
            }
        }
        before = h;
    }
    match hidden {
        Some(hidden) => combine(change, &hidden, Combine::Add, name, ctx),
        None => Some(()),
    }
}

/// The floats of an extended range itself: its edges made, what lies outside left out.
pub(in crate::eval) fn clip(
    points: &[(i64, f64)],
    smoothed: bool,
    start_ms: i64,
    end_ms: i64,
) -> Vec<(i64, f64)> {
    let times: Vec<i64> = points.iter().map(|(t, _)| *t).collect();
    let values: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
    let Some(Edges { first, last }) = edges(&times, smoothed, start_ms, end_ms) else {
        return Vec::new();
    };
    let range = (start_ms, end_ms);
    let (left, right) = float_edges(&times, &values, first, last, smoothed, false, range);
    let within = points.iter().take(last + 1).skip(first);
    let mut out = vec![(start_ms, left)];
    out.extend(within.filter(|(t, _)| *t > start_ms && *t < end_ms));
    out.push((end_ms, right));
    out
}

/// The window from the latest sample at or before its start on, of whatever kind; `None` when
/// nothing comes behind.
pub(super) fn anchored<'a>(w: &Window<'a>) -> Option<Window<'a>> {
    let floats = w.lo + w.times().partition_point(|t| *t <= w.start_ms);
    let histograms = w.histogram_lo + w.histogram_times().partition_point(|t| *t <= w.start_ms);
    if floats == w.hi && histograms == w.histogram_hi {
        return None;
    }
    let float = floats.checked_sub(1).filter(|i| *i >= w.lo);
    let histogram = histograms.checked_sub(1).filter(|i| *i >= w.histogram_lo);
    let (mut lo, mut histogram_lo) = (floats, histograms);
    match (float, histogram) {
        (Some(f), Some(h)) if w.series.times[f] < w.series.histogram_times[h] => histogram_lo = h,
        (Some(f), _) => lo = f,
        (None, Some(h)) => histogram_lo = h,
        (None, None) => {}
    }
    Some(Window { lo, histogram_lo, ..*w })
}
