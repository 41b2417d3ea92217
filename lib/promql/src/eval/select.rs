//! Selectors over a grid.

use std::borrow::Cow;
use std::sync::Arc;

use skald_model::{ResetHint, is_stale};
use skald_vector::function::sort;
use skald_vector::{Column, Context, FloatHistogram, Grid, Matrix, Seen, VectorError};

use super::range::{clip, seek};
use super::smooth::smooth;
use super::{Evaluator, Loaded};
use crate::engine::Shared;
use crate::expr::{Expr, Selector, Subquery};
use crate::syntax::ast::Extension;
use crate::{MatrixSeries, QueryError};

/// Where windows lie relative to the steps of a grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub range_ms: i64,
    pub offset_ms: i64,
    /// All steps look at this time instead of their own.
    pub at: Option<i64>,
    /// How the edges are made, and how far before the start and behind the end is looked for that.
    pub extension: Option<(Extension, (i64, i64))>,
}

impl Reach {
    /// The end (inclusive) of what step `i` looks at.
    pub(crate) fn end(&self, grid: &Grid, i: usize) -> i64 {
        self.at.unwrap_or_else(|| grid.time(i)).saturating_sub(self.offset_ms)
    }
}

/// What an instant selector gives per step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    Sample,
    /// The time of the sample, in seconds.
    Time,
    /// Since when it counts.
    Start,
}

impl Evaluator {
    /// The latest sample within the lookback of each step.
    pub(super) fn instant_vector(
        &mut self,
        s: &Selector,
        grid: Grid,
    ) -> Result<Matrix, QueryError> {
        self.pick_latest(s, grid, Pick::Sample)
    }

    pub(super) fn pick_latest(
        &mut self,
        s: &Selector,
        grid: Grid,
        pick: Pick,
    ) -> Result<Matrix, QueryError> {
        let reach = self.reach(s, self.span.lookback_ms);
        let data = self.series(s)?;
        self.at(s.place);
        self.check_slots(grid, 1)?;
        let mut out = Matrix::new(grid);
        let mut held = 0usize;
        for series in data.iter() {
            let column = match (pick, s.extension) {
                (Pick::Sample, Some(Extension::Smoothed)) => {
                    smooth(&without_stale(series), &grid, reach, &mut self.ctx)?
                }
                _ => latest(series, &grid, reach, pick, &mut self.ctx)?,
            };
            held = held.saturating_add(column.n_samples());
            self.check_samples(held)?;
            out.push(column);
            self.check_slots(grid, out.columns.len())?;
        }
        Ok(out)
    }

    /// The steps of a subquery.
    pub(crate) fn subquery_grid(&self, sub: &Subquery, grid: Grid) -> Result<Grid, QueryError> {
        let steps = self.span.subquery_grid(sub, grid);
        self.check_slots(steps, 1)?;
        Ok(steps)
    }

    pub(crate) fn subquery_reach(&self, sub: &Subquery) -> Reach {
        Reach {
            range_ms: sub.range_ms,
            offset_ms: sub.offset_ms,
            at: self.span.at(sub.at),
            extension: None,
        }
    }

    /// The series and windows behind a range selector or subquery.
    pub(super) fn windows(
        &mut self,
        expr: &Expr,
        grid: Grid,
    ) -> Result<(Shared, Reach), QueryError> {
        match expr {
            Expr::Range { selector, range_ms } => {
                Ok((self.series(selector)?, self.reach(selector, *range_ms)))
            }
            Expr::Subquery(sub) => {
                let inner = self.subquery_grid(sub, grid)?;
                let reach = self.subquery_reach(sub);
                if inner.n == 0 {
                    return Ok((Shared::default(), reach));
                }
                let before = std::mem::replace(&mut self.ctx.seen, Seen::per_step(inner.n));
                let last = reach.end(&grid, grid.n.saturating_sub(1));
                let is_range = std::mem::replace(&mut self.is_range, inner.start_ms != last);
                let matrix = self.vector(&sub.expr, inner);
                self.is_range = is_range;
                let within = std::mem::replace(&mut self.ctx.seen, before);
                let matrix = matrix?;
                count_subquery(&mut self.ctx.seen, &within, &inner, &grid, reach);
                let mut columns = Vec::with_capacity(matrix.columns.len());
                for column in matrix.columns {
                    self.ctx.check()?;
                    columns.push(reload(column, &inner));
                }
                Ok((Arc::new(columns), reach))
            }
            _ => Err(QueryError::Execution("expected a range vector".to_owned())),
        }
    }

    /// The samples themselves, for an instant query of a range selector.
    pub(super) fn raw_series(
        &mut self,
        expr: &Expr,
        grid: Grid,
    ) -> Result<Vec<MatrixSeries>, QueryError> {
        let (data, reach) = self.windows(expr, grid)?;
        let end = reach.end(&grid, 0);
        let start = end.saturating_sub(reach.range_ms);
        let (before, behind) = reach.extension.map_or((0, 0), |(_, around)| around);
        let (from, to) = (start.saturating_sub(before), end.saturating_add(behind));
        let mut out = Vec::new();
        for series in data.iter() {
            self.ctx.check()?;
            let series = without_stale(series);
            let within = |t: &i64| *t > from && *t <= to;
            let points = series.times.iter().zip(&series.values).filter(|(t, _)| within(t));
            let histograms = series
                .histogram_times
                .iter()
                .zip(&series.histograms)
                .filter(|(t, _)| within(t))
                .map(|(t, h)| (*t, Arc::clone(h)));
            let mut points: Vec<(i64, f64)> = points.map(|(t, v)| (*t, *v)).collect();
            let histograms: Vec<(i64, Arc<FloatHistogram>)> = histograms.collect();
            if let Some((extension, _)) = reach.extension {
                if !histograms.is_empty() {
                    let name = extension.as_str();
                    let text = format!("{name} modifier is not supported with histograms");
                    return Err(QueryError::Execution(text));
                }
                points = clip(&points, extension == Extension::Smoothed, start, end);
            }
            let sizes: usize = histograms.iter().map(|(_, h)| h.size_in_samples()).sum();
            let n = points.len().saturating_add(sizes);
            self.ctx.seen.add(0, n, if series.computed { 0 } else { n });
            let labels = match series.drop_name {
                true => skald_vector::without_metadata(&series.labels),
                false => series.labels.clone(),
            };
            out.push(MatrixSeries { labels, points, histograms });
        }
        out.retain(|s| !s.points.is_empty() || !s.histograms.is_empty());
        sort(&mut out, &self.ctx, |a, b| a.labels.cmp(&b.labels))?;
        Ok(out)
    }
}

/// Counts what a subquery read for the step of `grid` that looks at it first.
pub(crate) fn count_subquery(
    out: &mut Seen,
    within: &Seen,
    inner: &Grid,
    grid: &Grid,
    reach: Reach,
) {
    for (k, (_, read)) in within.steps.iter().flatten().enumerate().filter(|(_, s)| s.1 > 0) {
        let read = usize::try_from(*read).unwrap_or(usize::MAX);
        let seen_at = inner.time(k).saturating_add(reach.offset_ms);
        let behind = seen_at.saturating_sub(grid.start_ms).max(0);
        let step = behind.saturating_add(grid.step_ms - 1) / grid.step_ms;
        let step = usize::try_from(step).unwrap_or(0).min(grid.n.saturating_sub(1));
        // Between windows that do not overlap, nobody looks.
        let skipped = grid.n > 1 && seen_at <= grid.time(step).saturating_sub(reach.range_ms);
        if !skipped {
            out.add(step, 0, read);
        }
    }
}

/// A column as if it had been fetched.
pub(crate) fn reload(column: Column, grid: &Grid) -> Loaded {
    let mut out = Loaded {
        labels: column.labels.clone(),
        drop_name: column.drop_name,
        computed: true,
        ..Loaded::default()
    };
    for i in column.present.ones() {
        if let Some(h) = column.histogram(i) {
            out.histogram_times.push(grid.time(i));
            out.histograms.push(without_hint(h));
        } else {
            out.times.push(grid.time(i));
            out.values.push(column.values[i]);
        }
    }
    out
}

/// Between steps, what a sample says about the one before it in the store means nothing.
fn without_hint(h: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match h.reset_hint {
        ResetHint::Gauge | ResetHint::Unknown => Arc::clone(h),
        ResetHint::Yes | ResetHint::No => {
            let mut out = FloatHistogram::clone(h);
            out.reset_hint = ResetHint::Unknown;
            Arc::new(out)
        }
    }
}

/// The series without its stale markers, copied only if it has any.
pub(super) fn without_stale(series: &Loaded) -> Cow<'_, Loaded> {
    let stale_floats = series.values.iter().any(|v| is_stale(*v));
    let stale_histograms = series.histograms.iter().any(|h| is_stale(h.sum));
    if !stale_floats && !stale_histograms {
        return Cow::Borrowed(series);
    }
    let mut out = Loaded {
        labels: series.labels.clone(),
        drop_name: series.drop_name,
        computed: series.computed,
        ..Loaded::default()
    };
    let floats = series.times.iter().zip(&series.values).enumerate();
    for (i, (t, v)) in floats.filter(|(_, (_, v))| !is_stale(**v)) {
        out.times.push(*t);
        out.values.push(*v);
        out.starts.extend(series.starts.get(i));
    }
    let histograms = series.histogram_times.iter().zip(&series.histograms).enumerate();
    for (i, (t, h)) in histograms.filter(|(_, (_, h))| !is_stale(h.sum)) {
        out.histogram_times.push(*t);
        out.histograms.push(Arc::clone(h));
        out.histogram_starts.extend(series.histogram_starts.get(i));
    }
    Cow::Owned(out)
}

/// The latest sample of each step. Indexes only move forward.
#[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
pub(crate) fn latest(
    series: &Loaded,
    grid: &Grid,
    reach: Reach,
    pick: Pick,
    ctx: &mut Context,
) -> Result<Column, VectorError> {
    let mut out = Column::absent(series.labels.clone(), grid.n);
    if pick == Pick::Sample && series.histogram_times.is_empty() && reach.at.is_none() {
        latest_floats(series, grid, reach, &mut out, ctx)?;
        return Ok(out);
    }
    let (mut f, mut h) = (0, 0);
    for i in 0..grid.n {
        if i % 4096 == 0 {
            ctx.check()?;
        }
        let end = reach.end(grid, i);
        let start = end.saturating_sub(reach.range_ms);
        f = advance(&series.times, f, end);
        h = advance(&series.histogram_times, h, end);
        let float = f.checked_sub(1).map(|k| (series.times[k], k));
        let histogram = h.checked_sub(1).map(|k| (series.histogram_times[k], k));
        let found = match (float, histogram) {
            (Some(a), Some(b)) if b.0 > a.0 => Some((b, true)),
            (Some(a), _) => Some((a, false)),
            (None, Some(b)) => Some((b, true)),
            (None, None) => None,
        };
        let Some(((time, k), is_histogram)) = found.filter(|((t, _), _)| *t > start) else {
            continue;
        };
        let stale = match is_histogram {
            true => is_stale(series.histograms[k].sum),
            false => is_stale(series.values[k]),
        };
        if !stale {
            let size = match (pick, is_histogram) {
                (Pick::Sample, true) => series.histograms[k].size_in_samples(),
                _ => 1,
            };
            ctx.seen.add(i, size, if reach.at.is_some() && i > 0 { 0 } else { size });
        }
        match (stale, pick, is_histogram) {
            (true, ..) => {}
            (_, Pick::Time, _) => out.set(i, time as f64 / 1000.0),
            (_, Pick::Start, _) => {
                let starts = if is_histogram { &series.histogram_starts } else { &series.starts };
                out.set(i, starts.get(k).map_or(0.0, |start| *start as f64 / 1000.0));
            }
            (_, Pick::Sample, true) => out.set_histogram(i, Arc::clone(&series.histograms[k])),
            (_, Pick::Sample, false) => out.set(i, series.values[k]),
        }
    }
    Ok(out)
}

/// As [`latest`], of a series of floats only.
fn latest_floats(
    series: &Loaded,
    grid: &Grid,
    reach: Reach,
    out: &mut Column,
    ctx: &mut Context,
) -> Result<(), VectorError> {
    let (mut at, mut hop, mut found) = (0, 0, 0);
    for i in 0..grid.n {
        if i % 1024 == 0 {
            ctx.check()?;
        }
        let end = reach.end(grid, i);
        let from = at;
        at = seek(&series.times, from, hop, end);
        hop = at - from;
        let Some(k) = at.checked_sub(1) else { continue };
        if series.times[k] > end.saturating_sub(reach.range_ms) && !is_stale(series.values[k]) {
            out.set(i, series.values[k]);
            found += 1;
            if ctx.seen.steps.is_some() {
                ctx.seen.add(i, 1, 1);
            }
        }
    }
    if ctx.seen.steps.is_none() {
        ctx.seen.add(0, found, found);
    }
    Ok(())
}

/// The number of times that are at most `end`, searched from `from` on.
#[inline]
pub(super) fn advance(times: &[i64], from: usize, end: i64) -> usize {
    let mut to = from;
    // Short hops are the rule; a long one is worth a binary search.
    for _ in 0..8 {
        match times.get(to) {
            Some(t) if *t <= end => to += 1,
            _ => return to,
        }
    }
    to + times[to..].partition_point(|t| *t <= end)
}
