//! Range functions: for each step, what the samples in the window before it say.
//!
//! Windows are open on the left and closed on the right. Both ends of a window are indexes that
//! only move forward, so a series is walked once, however many steps look at it.

mod extended;
mod histogram;
mod over_time;
mod plain;
mod rate;
mod regression;
mod sliding;
mod start;
mod walk;

use std::sync::Arc;

use skald_model::Labels;
use skald_vector::{Bitmap, Column, Context, FloatHistogram, Grid, Matrix, VectorError};

pub(super) use self::extended::{clip, interpolate, interpolate_histograms};
pub(super) use self::histogram::warn_mixed_schemas;
use self::over_time::OverTime;
use self::rate::Rates;
use self::start::Stamps;
use self::walk::Walk;
pub(super) use self::walk::seek;
use super::select::{Reach, advance, without_stale};
use super::{Evaluator, Loaded};
use crate::QueryError;
use crate::engine::Shared;
use crate::expr::RangeFunction;
use crate::syntax::ast::Extension;

/// The samples that one step looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub series: &'a Loaded,
    /// Floats of the series: `lo..hi`.
    pub lo: usize,
    pub hi: usize,
    /// Histograms of the series.
    pub histogram_lo: usize,
    pub histogram_hi: usize,
    /// The window is `(start_ms, end_ms]`.
    pub start_ms: i64,
    pub end_ms: i64,
    /// The time of the step itself.
    pub now_ms: i64,
    /// The samples reach beyond the window, for its edges.
    pub extension: Option<Extension>,
}

/// What a window becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Out {
    Nothing,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl<'a> Window<'a> {
    pub(super) fn times(&self) -> &'a [i64] {
        &self.series.times[self.lo..self.hi]
    }

    pub(super) fn values(&self) -> &'a [f64] {
        &self.series.values[self.lo..self.hi]
    }

    pub(super) fn histogram_times(&self) -> &'a [i64] {
        &self.series.histogram_times[self.histogram_lo..self.histogram_hi]
    }

    pub(super) fn histograms(&self) -> &'a [Arc<FloatHistogram>] {
        &self.series.histograms[self.histogram_lo..self.histogram_hi]
    }

    /// Of the floats; indexes are those of the series.
    fn stamps(&self) -> Stamps<'a> {
        Stamps { starts: &self.series.starts, times: &self.series.times }
    }

    /// Of the histograms; indexes are those of the series.
    fn histogram_stamps(&self) -> Stamps<'a> {
        Stamps { starts: &self.series.histogram_starts, times: &self.series.histogram_times }
    }

    pub(super) fn name(&self) -> &'a str {
        self.series.labels.metric_name().unwrap_or("")
    }

    /// How many samples it has; a histogram counts by its size.
    fn size(&self) -> usize {
        let histograms: usize = self.histograms().iter().map(|h| h.size_in_samples()).sum();
        (self.hi - self.lo).saturating_add(histograms)
    }

    /// The part that was not in an earlier window.
    fn beyond(&self, before: &Self) -> Self {
        Self {
            lo: self.lo.max(before.hi),
            histogram_lo: self.histogram_lo.max(before.histogram_hi),
            ..*self
        }
    }

    fn is_empty(&self) -> bool {
        self.lo == self.hi && self.histogram_lo == self.histogram_hi
    }

    /// Whether floats and histograms stand side by side; warns if so.
    pub(super) fn is_mixed(&self, ctx: &mut Context) -> bool {
        let mixed = self.lo < self.hi && self.histogram_lo < self.histogram_hi;
        if mixed {
            warn_mixed_kinds(self.name(), ctx);
        }
        mixed
    }

    /// Remarks that histograms beside floats do not count.
    pub(super) fn ignore_histograms(&self, ctx: &mut Context) {
        if self.lo < self.hi && self.histogram_lo < self.histogram_hi {
            ctx.annotations.info(&format!(
                "ignored histograms in a range containing both floats and histograms for metric name {:?}",
                self.name()
            ));
        }
    }
}

/// Remarks that floats and histograms stand side by side.
pub(super) fn warn_mixed_kinds(name: &str, ctx: &mut Context) {
    ctx.annotations
        .warn(&format!("encountered a mix of histograms and floats for metric name {name:?}"));
}

/// Evaluates one function over the windows of one series.
enum Kernel {
    Rates(Rates),
    OverTime(OverTime),
}

impl Kernel {
    fn new(f: RangeFunction, series: &Loaded) -> Self {
        use RangeFunction::{Changes, Delta, Idelta, Increase, Irate, Rate, Resets};
        match f {
            Rate | Increase | Delta | Irate | Idelta | Changes | Resets => {
                Self::Rates(Rates::new(f, series))
            }
            _ => Self::OverTime(OverTime::new(f)),
        }
    }

    fn step(
        &mut self,
        w: &Window<'_>,
        params: &[f64; 2],
        ctx: &mut Context,
    ) -> Result<Out, VectorError> {
        match self {
            Self::Rates(k) => Ok(k.step(w, ctx)),
            Self::OverTime(k) => k.step(w, params, ctx),
        }
    }
}

impl Evaluator {
    /// Applies `f` to the windows of every series. `params` are per step.
    pub(super) fn over_windows(
        &mut self,
        f: RangeFunction,
        data: &Shared,
        reach: Reach,
        params: &[Vec<f64>],
        grid: Grid,
    ) -> Result<Matrix, QueryError> {
        self.check_slots(grid, 1)?;
        let mut out = Matrix::new(grid);
        let mut held = 0usize;
        for series in data.iter() {
            let series = without_stale(series);
            if series.is_empty() {
                continue;
            }
            let column = column(f, &series, reach, params, grid, &mut self.ctx)?;
            held = held.saturating_add(column.n_samples());
            self.check_samples(held)?;
            out.push(column);
            self.check_slots(grid, out.columns.len())?;
        }
        Ok(out.merge_same_labels(&self.ctx)?)
    }
}

impl Evaluator {
    /// The steps at which any series has samples in its window.
    pub(super) fn present_windows(
        &mut self,
        data: &Shared,
        reach: Reach,
        grid: Grid,
    ) -> Result<Bitmap, QueryError> {
        self.check_slots(grid, 1)?;
        let mut any = Bitmap::new(grid.n);
        for series in data.iter() {
            let series = without_stale(series);
            let f = RangeFunction::PresentOverTime;
            let column = column(f, &series, reach, &[], grid, &mut self.ctx)?;
            any.union_with(&column.present);
        }
        Ok(any)
    }
}

/// The column of one series without stale markers.
pub(crate) fn column(
    f: RangeFunction,
    series: &Loaded,
    reach: Reach,
    params: &[Vec<f64>],
    grid: Grid,
    ctx: &mut Context,
) -> Result<Column, VectorError> {
    let mut out = Column::absent(series.labels.clone(), grid.n);
    out.drop_name = series.drop_name;
    let plain = match Walk::new(series, reach, &grid) {
        Some(walk) => plain::fill(f, series, walk, &mut out, ctx)?,
        None => false,
    };
    if !plain {
        fill(f, series, reach, params, grid, &mut out, ctx)?;
    }
    remark_on_gauges(f, series, &out, ctx);
    if !matches!(f, RangeFunction::FirstOverTime | RangeFunction::LastOverTime) {
        ctx.drop_name(&mut out);
    }
    Ok(out)
}

/// Goes through the windows of all steps.
fn fill(
    f: RangeFunction,
    series: &Loaded,
    reach: Reach,
    params: &[Vec<f64>],
    grid: Grid,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<(), VectorError> {
    let mut kernel = Kernel::new(f, series);
    let end = reach.end(&grid, 0);
    let mut w = Window {
        series,
        lo: 0,
        hi: 0,
        histogram_lo: 0,
        histogram_hi: 0,
        start_ms: end.saturating_sub(reach.range_ms),
        end_ms: end,
        now_ms: grid.start_ms,
        extension: reach.extension.map(|(e, _)| e),
    };
    let (before_start, behind_end) = reach.extension.map_or((0, 0), |(_, around)| around);
    // With a fixed time all steps are alike, unless the function looks at the step's own.
    let alike = reach.at.is_some() && params.is_empty() && f != RangeFunction::PredictLinear;
    for i in 0..grid.n {
        ctx.check()?;
        if alike && i > 0 {
            let size = w.size();
            (1..grid.n).for_each(|i| ctx.seen.add(i, size, 0));
            let first = out.get(0).is_some();
            if first {
                let source = out.clone();
                (1..grid.n).for_each(|i| match source.get(0) {
                    Some(skald_vector::Sample::Histogram(h)) => {
                        out.set_histogram(i, Arc::clone(h));
                    }
                    Some(skald_vector::Sample::Float(v)) => out.set(i, v),
                    None => {}
                });
            }
            break;
        }
        let before = w;
        w.end_ms = reach.end(&grid, i);
        w.start_ms = w.end_ms.saturating_sub(reach.range_ms);
        w.now_ms = grid.time(i);
        let from = w.start_ms.saturating_sub(before_start);
        let to = w.end_ms.saturating_add(behind_end);
        w.hi = advance(&series.times, w.hi, to);
        w.lo = advance(&series.times, w.lo, from);
        w.histogram_hi = advance(&series.histogram_times, w.histogram_hi, to);
        w.histogram_lo = advance(&series.histogram_times, w.histogram_lo, from);
        if w.is_empty() {
            continue;
        }
        let counts = !series.computed && (i == 0 || reach.at.is_none());
        ctx.seen.add(i, w.size(), if counts { w.beyond(&before).size() } else { 0 });
        let param = |k: usize| params.get(k).map_or(0.0, |p| p[i]);
        match kernel.step(&w, &[param(0), param(1)], ctx)? {
            Out::Nothing => {}
            Out::Float(v) => out.set(i, v),
            Out::Histogram(h) => out.set_histogram(i, h),
        }
    }
    Ok(())
}

/// `rate` of something that is not called like a counter deserves a remark.
fn remark_on_gauges(f: RangeFunction, series: &Loaded, column: &Column, ctx: &mut Context) {
    if !matches!(f, RangeFunction::Rate | RangeFunction::Increase) || column.is_empty() {
        return;
    }
    let name = series.labels.get(Labels::NAME).unwrap_or("");
    let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.ends_with(s));
    if !name.is_empty() && !counter && !series.times.is_empty() {
        ctx.annotations.info(&format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
        ));
    }
}
