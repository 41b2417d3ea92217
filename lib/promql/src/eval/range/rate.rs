//! `rate` and its family: what a counter or gauge did within a window.

mod block;

use std::sync::Arc;

use skald_vector::{Context, Detail, FloatHistogram};

pub(super) use self::block::fill;
use super::start::{Stamp, Stamps};
use super::{Out, Window, extended, histogram};
use crate::eval::Loaded;
use crate::expr::RangeFunction;
use crate::syntax::ast::Extension;

/// Evaluates the rate family over one series.
pub(super) struct Rates {
    f: RangeFunction,
    /// Indexes of floats before which the counter began anew.
    resets: Vec<usize>,
    /// The part of `resets` that lies within the window.
    from: usize,
    to: usize,
    /// Indexes of floats that claim to count what the one before has counted.
    overlaps: Vec<usize>,
}

/// A sample of either kind.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub stamp: Stamp,
    pub point: Point<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// Where a counter was zero.
#[derive(Clone, Copy)]
enum Origin {
    Unknown,
    /// First value / increase: how far back, if it rose all the time as in the window.
    Zero(f64),
    /// At this time, in milliseconds.
    At(i64),
}

pub(super) fn warn_of_overlap(name: &str, ctx: &mut Context) {
    let text = format!(
        "sample has start time that overlaps with previous sample timestamp for metric {name:?}"
    );
    ctx.annotations.warn_in_detail(&text, Detail::Occurrences(1));
}

/// Adds the indexes of values that are smaller than the one before.
fn falls(values: &[f64], out: &mut Vec<usize>) {
    const AT_ONCE: usize = 16;
    let mut from = 1;
    let blocks =
        values.chunks_exact(AT_ONCE).zip(values.get(1..).unwrap_or_default().chunks_exact(AT_ONCE));
    for (before, after) in blocks {
        // Falls are rare, so that it pays to ask for a whole block first, without branches.
        let any = before.iter().zip(after).fold(false, |any, (a, b)| any | (b < a));
        if any {
            let fell = before.iter().zip(after).enumerate().filter(|(_, (a, b))| b < a);
            out.extend(fell.map(|(i, _)| from + i));
        }
        from += AT_ONCE;
    }
    out.extend((from..values.len()).filter(|i| values[*i] < values[i - 1]));
}

impl Rates {
    pub(super) fn new(f: RangeFunction, series: &Loaded) -> Self {
        let counter = matches!(f, RangeFunction::Rate | RangeFunction::Increase);
        let (mut resets, mut overlaps) = (Vec::new(), Vec::new());
        if counter && series.starts.is_empty() {
            falls(&series.values, &mut resets);
        } else if counter {
            let fell = series.values.windows(2).enumerate();
            let stamps = Stamps { starts: &series.starts, times: &series.times };
            let fell = fell.map(|(i, w)| (i + 1, w[1] < w[0]));
            resets.extend(fell.filter(|(i, fell)| *fell || stamps.is_reset(*i)).map(|(i, _)| i));
            overlaps.extend((1..series.times.len()).filter(|i| stamps.overlaps(*i)));
        }
        Self { f, resets, from: 0, to: 0, overlaps }
    }

    /// Warns when a sample behind the first of `lo..hi` overlaps the one before it.
    fn warn_of_overlaps(&self, (lo, hi): (usize, usize), name: &str, ctx: &mut Context) {
        let next = self.overlaps.partition_point(|i| *i <= lo);
        if self.overlaps.get(next).is_some_and(|i| *i < hi) {
            warn_of_overlap(name, ctx);
        }
    }

    pub(super) fn step(&mut self, w: &Window<'_>, ctx: &mut Context) -> Out {
        if let Some(extension) = w.extension {
            return self.extended(extension, w, ctx);
        }
        match self.f {
            RangeFunction::Irate | RangeFunction::Idelta => instant(self.f, w, ctx),
            RangeFunction::Changes => Out::Float(count_pairs(w, changed)),
            RangeFunction::Resets => Out::Float(count_pairs(w, was_reset)),
            _ if w.is_mixed(ctx) => Out::Nothing,
            _ if w.lo < w.hi => self.extrapolated(w, ctx),
            _ => self.extrapolated_histogram(w, ctx),
        }
    }

    fn extended(&self, extension: Extension, w: &Window<'_>, ctx: &mut Context) -> Out {
        let counts = match self.f {
            RangeFunction::Changes => changed,
            RangeFunction::Resets => was_reset,
            f => return extended::rate(f, extension == Extension::Smoothed, w, ctx),
        };
        extended::anchored(w).map_or(Out::Nothing, |w| Out::Float(count_pairs(&w, counts)))
    }

    fn is_counter(&self) -> bool {
        self.f != RangeFunction::Delta
    }

    fn extrapolated(&mut self, w: &Window<'_>, ctx: &mut Context) -> Out {
        self.warn_of_overlaps((w.lo, w.hi), w.name(), ctx);
        let width = seconds(w.end_ms.saturating_sub(w.start_ms));
        self.between(w.series, (w.lo, w.hi), (w.start_ms, w.end_ms), width)
            .map_or(Out::Nothing, Out::Float)
    }

    /// What the samples `lo..hi` say about the window from `start_ms` to `end_ms`. Indexes never go
    /// back from one call to the next.
    #[inline]
    fn between(
        &mut self,
        series: &Loaded,
        (lo, hi): (usize, usize),
        (start_ms, end_ms): (i64, i64),
        width: f64,
    ) -> Option<f64> {
        let (times, values) = (series.times.get(lo..hi)?, series.values.as_slice());
        let within = values.get(lo..hi)?;
        let (first, last) = (*within.first()?, *within.last()?);
        let stamp = series.starts.get(lo).map(|start| Stamp { start: *start, time: times[0] });
        let since = stamp.filter(|_| self.is_counter()).and_then(|s| s.since(start_ms));
        if within.len() < 2 && since.is_none() {
            return None;
        }
        let mut increase = last - first;
        // A reset at the first sample happened before the window.
        while self.resets.get(self.from).is_some_and(|r| *r <= lo) {
            self.from += 1;
        }
        self.to = self.to.max(self.from);
        while self.resets.get(self.to).is_some_and(|r| *r < hi) {
            self.to += 1;
        }
        for reset in &self.resets[self.from..self.to] {
            increase += values[reset - 1];
        }
        let ends = (times[0], times[times.len() - 1], times.len());
        let origin = match since {
            Some(since) => {
                increase += first;
                Origin::At(since)
            }
            None if self.is_counter() && increase > 0.0 && first >= 0.0 => {
                Origin::Zero(first / increase)
            }
            None => Origin::Unknown,
        };
        Some(increase * self.factor(ends, (start_ms, end_ms), width, origin))
    }

    fn extrapolated_histogram(&self, w: &Window<'_>, ctx: &mut Context) -> Out {
        let (times, histograms) = (w.histogram_times(), w.histograms());
        let (Some(t0), Some(t1)) = (times.first(), times.last()) else { return Out::Nothing };
        let stamp = w.histogram_stamps().at(w.histogram_lo).filter(|_| self.is_counter());
        let since = stamp.and_then(|s| s.since(w.start_ms));
        let increase = match histograms {
            [only] if since.is_some() => Some(FloatHistogram::clone(only)),
            [_] => None,
            _ => histogram::increase(w, self.is_counter(), ctx),
        };
        let (Some(mut increase), Some(first)) = (increase, histograms.first()) else {
            return Out::Nothing;
        };
        let origin = match since {
            Some(since) => {
                if histograms.len() > 1 && !histogram::add(&mut increase, first, w.name(), ctx) {
                    return Out::Nothing;
                }
                Origin::At(since)
            }
            None if self.is_counter() && increase.count > 0.0 && first.count >= 0.0 => {
                Origin::Zero(first.count / increase.count)
            }
            None => Origin::Unknown,
        };
        let width = seconds(w.end_ms.saturating_sub(w.start_ms));
        let ends = (*t0, *t1, times.len());
        increase.scale(self.factor(ends, (w.start_ms, w.end_ms), width, origin));
        Out::Histogram(Arc::new(increase))
    }

    /// By how much the increase between the outer samples is stretched to the window's ends, per
    /// second for `rate`. A gap much longer than the average is only stretched half an interval;
    /// a counter is not stretched below zero.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    #[inline]
    fn factor(
        &self,
        (first, last, n): (i64, i64, usize),
        (start_ms, end_ms): (i64, i64),
        width: f64,
        origin: Origin,
    ) -> f64 {
        let mut sampled = seconds(last.saturating_sub(first));
        // Of a single sample nothing is known about the distance to the next.
        let average = if n > 1 { sampled / (n - 1) as f64 } else { 0.0 };
        let threshold = average * 1.1;
        let mut to_start = seconds(first.saturating_sub(start_ms));
        let mut to_end = seconds(end_ms.saturating_sub(last));
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        match origin {
            Origin::Zero(zero) => to_start = to_start.min(sampled * zero),
            Origin::At(since) => {
                to_start = 0.0;
                sampled = seconds(last.saturating_sub(since));
            }
            Origin::Unknown => {}
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let factor = (sampled + to_start + to_end) / sampled;
        if self.f == RangeFunction::Rate { factor / width } else { factor }
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations in ms are exact floats")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// All samples of a window in time order.
pub(super) fn points<'a>(w: &Window<'a>) -> impl Iterator<Item = Sample<'a>> + 'a {
    let (floats, histograms) = (w.stamps(), w.histogram_stamps());
    let (mut f, mut h) = (w.lo, w.histogram_lo);
    let (f_end, h_end) = (w.hi, w.histogram_hi);
    let series = w.series;
    let stamp = |stamps: &Stamps<'_>, i: usize| Stamp {
        start: stamps.starts.get(i).copied().unwrap_or(0),
        time: stamps.times[i],
    };
    std::iter::from_fn(move || {
        let float_first = match (f < f_end, h < h_end) {
            (true, true) => floats.times[f] <= histograms.times[h],
            (float, _) => float,
        };
        if float_first {
            f += 1;
            let point = Point::Float(series.values[f - 1]);
            Some(Sample { stamp: stamp(&floats, f - 1), point })
        } else if h < h_end {
            h += 1;
            let point = Point::Histogram(&series.histograms[h - 1]);
            Some(Sample { stamp: stamp(&histograms, h - 1), point })
        } else {
            None
        }
    })
}

/// `irate` and `idelta`: the last two samples.
#[expect(clippy::cast_precision_loss, reason = "durations in ms are exact floats")]
fn instant(f: RangeFunction, w: &Window<'_>, ctx: &mut Context) -> Out {
    let is_rate = f == RangeFunction::Irate;
    let (mut before, mut last) = (None, None);
    // Only the last two of each kind can be the last two of all.
    let tail = Window {
        lo: w.lo.max(w.hi.saturating_sub(2)),
        histogram_lo: w.histogram_lo.max(w.histogram_hi.saturating_sub(2)),
        ..*w
    };
    for point in points(&tail) {
        before = last;
        last = Some(point);
    }
    let (Some(before), Some(last)) = (before, last) else { return Out::Nothing };
    let interval = last.stamp.time.saturating_sub(before.stamp.time) as f64 / 1000.0;
    if interval <= 0.0 {
        return Out::Nothing;
    }
    let began = last.stamp.is_reset_after(before.stamp);
    match (before.point, last.point) {
        (Point::Float(a), Point::Float(b)) => {
            let change = if is_rate && (b < a || began) { b } else { b - a };
            Out::Float(if is_rate { change / interval } else { change })
        }
        (Point::Histogram(a), Point::Histogram(b)) => {
            let began = is_rate && (began || b.is_reset_after(a));
            let change = histogram::instant_change(a, b, (is_rate, began), w.name(), ctx);
            let Some(mut change) = change else { return Out::Nothing };
            if is_rate {
                change.divide(interval);
            }
            Out::Histogram(Arc::new(change))
        }
        _ => {
            ctx.annotations.warn(&format!(
                "encountered a mix of histograms and floats for metric name {:?}",
                w.name()
            ));
            Out::Nothing
        }
    }
}

/// How many neighbours in time `differ`.
fn count_pairs(w: &Window<'_>, differ: impl Fn(Sample<'_>, Sample<'_>) -> bool) -> f64 {
    let mut count = 0.0;
    let mut before: Option<Sample<'_>> = None;
    for sample in points(w) {
        if before.is_some_and(|b| differ(b, sample)) {
            count += 1.0;
        }
        before = Some(sample);
    }
    count
}

#[expect(clippy::float_cmp, reason = "any change counts")]
fn changed(a: Sample<'_>, b: Sample<'_>) -> bool {
    match (a.point, b.point) {
        (Point::Float(a), Point::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Point::Histogram(a), Point::Histogram(b)) => !a.equals(b),
        _ => true,
    }
}

fn was_reset(a: Sample<'_>, b: Sample<'_>) -> bool {
    let began = b.stamp.is_reset_after(a.stamp);
    match (a.point, b.point) {
        (Point::Float(a), Point::Float(b)) => began || b < a,
        (Point::Histogram(a), Point::Histogram(b)) => began || b.is_reset_after(a),
        _ => true,
    }
}
