//! `rate` and its family: what a counter or gauge did within a window.

use std::sync::Arc;

use skald_vector::{Column, Context, FloatHistogram, Grid, VectorError};

use super::{Out, Window, advance, extended, histogram};
use crate::eval::{Loaded, Reach};
use crate::expr::RangeFunction;
use crate::syntax::ast::Extension;

/// Evaluates the rate family over one series.
pub(super) struct Rates {
    f: RangeFunction,
    /// Indexes of floats that are lower than the one before.
    resets: Vec<usize>,
    /// The part of `resets` that lies within the window.
    from: usize,
    to: usize,
}

/// A sample of either kind.
#[derive(Clone, Copy)]
pub(super) enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Rates {
    pub(super) fn new(f: RangeFunction, series: &Loaded) -> Self {
        let counter = matches!(f, RangeFunction::Rate | RangeFunction::Increase);
        let mut resets = Vec::new();
        if counter {
            let fell = series.values.windows(2).enumerate().filter(|(_, w)| w[1] < w[0]);
            resets.extend(fell.map(|(i, _)| i + 1));
        }
        Self { f, resets, from: 0, to: 0 }
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
            _ if w.lo < w.hi => self.extrapolated(w),
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

    fn extrapolated(&mut self, w: &Window<'_>) -> Out {
        let width = seconds(w.end_ms.saturating_sub(w.start_ms));
        let (times, values) = (&w.series.times, &w.series.values);
        self.between(times, values, (w.lo, w.hi), (w.start_ms, w.end_ms), width)
            .map_or(Out::Nothing, Out::Float)
    }

    /// What the samples `lo..hi` say about the window from `start_ms` to `end_ms`. Indexes never go
    /// back from one call to the next.
    #[inline]
    fn between(
        &mut self,
        times: &[i64],
        values: &[f64],
        (lo, hi): (usize, usize),
        (start_ms, end_ms): (i64, i64),
        width: f64,
    ) -> Option<f64> {
        let (times, within) = (times.get(lo..hi)?, values.get(lo..hi)?);
        let ([first, .., last], [t0, .., t1]) = (within, times) else { return None };
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
        let zero = (self.is_counter() && increase > 0.0 && *first >= 0.0).then(|| first / increase);
        let ends = (*t0, *t1, hi - lo);
        Some(increase * self.factor(ends, (start_ms, end_ms), width, zero))
    }

    fn extrapolated_histogram(&self, w: &Window<'_>, ctx: &mut Context) -> Out {
        let (times, histograms) = (w.histogram_times(), w.histograms());
        if histograms.len() < 2 {
            return Out::Nothing;
        }
        let Some(mut increase) = histogram::increase(histograms, self.is_counter(), w.name(), ctx)
        else {
            return Out::Nothing;
        };
        let first = histograms[0].count;
        let zero = (self.is_counter() && increase.count > 0.0 && first >= 0.0)
            .then(|| first / increase.count);
        let (Some(t0), Some(t1)) = (times.first(), times.last()) else { return Out::Nothing };
        let width = seconds(w.end_ms.saturating_sub(w.start_ms));
        let ends = (*t0, *t1, times.len());
        increase.scale(self.factor(ends, (w.start_ms, w.end_ms), width, zero));
        Out::Histogram(Arc::new(increase))
    }

    /// By how much the increase between the outer samples is stretched to the window's ends, per
    /// second for `rate`. A gap much longer than the average is only stretched half an interval;
    /// a counter is not stretched below zero (`zero` is first value / increase).
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    #[inline]
    fn factor(
        &self,
        (first, last, n): (i64, i64, usize),
        (start_ms, end_ms): (i64, i64),
        width: f64,
        zero: Option<f64>,
    ) -> f64 {
        let sampled = seconds(last.saturating_sub(first));
        let average = sampled / n.saturating_sub(1) as f64;
        let threshold = average * 1.1;
        let mut to_start = seconds(first.saturating_sub(start_ms));
        let mut to_end = seconds(end_ms.saturating_sub(last));
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if let Some(zero) = zero {
            to_start = to_start.min(sampled * zero);
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let factor = (sampled + to_start + to_end) / sampled;
        if self.f == RangeFunction::Rate { factor / width } else { factor }
    }
}

/// `rate`, `increase` or `delta` of a series of floats at every step; both ends of the window only
/// move forward.
pub(super) fn fill(
    f: RangeFunction,
    series: &Loaded,
    reach: Reach,
    grid: Grid,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<(), VectorError> {
    let mut rates = Rates::new(f, series);
    let (times, values) = (series.times.as_slice(), series.values.as_slice());
    let (mut lo, mut hi) = (0, 0);
    for i in 0..grid.n {
        if i % 1024 == 0 {
            ctx.check()?;
        }
        let end = reach.end(&grid, i);
        let start = end.saturating_sub(reach.range_ms);
        let before = hi;
        hi = advance(times, hi, end);
        lo = advance(times, lo, start);
        let read = if series.computed { 0 } else { hi - lo.max(before) };
        ctx.seen.add(i, hi - lo, read);
        let width = seconds(end.saturating_sub(start));
        if let Some(v) = rates.between(times, values, (lo, hi), (start, end), width) {
            out.set(i, v);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "durations in ms are exact floats")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// All samples of a window in time order.
pub(super) fn points<'a>(w: &Window<'a>) -> impl Iterator<Item = (i64, Point<'a>)> + 'a {
    let mut floats = w.times().iter().zip(w.values()).peekable();
    let mut histograms = w.histogram_times().iter().zip(w.histograms()).peekable();
    std::iter::from_fn(move || {
        let float_first = match (floats.peek(), histograms.peek()) {
            (Some((f, _)), Some((h, _))) => f <= h,
            (Some(_), None) => true,
            _ => false,
        };
        if float_first {
            floats.next().map(|(t, v)| (*t, Point::Float(*v)))
        } else {
            histograms.next().map(|(t, h)| (*t, Point::Histogram(h)))
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
    let (Some((t0, before)), Some((t1, last))) = (before, last) else { return Out::Nothing };
    let interval = t1.saturating_sub(t0) as f64 / 1000.0;
    if interval <= 0.0 {
        return Out::Nothing;
    }
    match (before, last) {
        (Point::Float(a), Point::Float(b)) => {
            let change = if is_rate && b < a { b } else { b - a };
            Out::Float(if is_rate { change / interval } else { change })
        }
        (Point::Histogram(a), Point::Histogram(b)) => {
            let Some(mut change) = histogram::instant_change(a, b, is_rate, w.name(), ctx) else {
                return Out::Nothing;
            };
            if is_rate {
                change.scale(1.0 / interval);
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
fn count_pairs(w: &Window<'_>, differ: impl Fn(Point<'_>, Point<'_>) -> bool) -> f64 {
    let mut count = 0.0;
    let mut before: Option<Point<'_>> = None;
    for (_, point) in points(w) {
        if before.is_some_and(|b| differ(b, point)) {
            count += 1.0;
        }
        before = Some(point);
    }
    count
}

#[expect(clippy::float_cmp, reason = "any change counts")]
fn changed(a: Point<'_>, b: Point<'_>) -> bool {
    match (a, b) {
        (Point::Float(a), Point::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Point::Histogram(a), Point::Histogram(b)) => !a.equals(b),
        _ => true,
    }
}

fn was_reset(a: Point<'_>, b: Point<'_>) -> bool {
    match (a, b) {
        (Point::Float(a), Point::Float(b)) => b < a,
        (Point::Histogram(a), Point::Histogram(b)) => b.is_reset_after(a),
        _ => true,
    }
}
