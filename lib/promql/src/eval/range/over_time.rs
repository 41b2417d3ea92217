//! `*_over_time`, `deriv`, `predict_linear` and `double_exponential_smoothing`.

use std::sync::Arc;

use skald_vector::function::format_g;
use skald_vector::stat::{self, Variance};
use skald_vector::{Context, VectorError};

use super::rate::{Point, Sample, points};
use super::sliding::{Max, Min, Sliding, Sum};
use super::{Out, Window, histogram, plain, regression};
use crate::expr::RangeFunction;

/// Evaluates one of these functions over one series.
pub(super) struct OverTime {
    f: RangeFunction,
    sum: Sliding<Sum>,
    min: Sliding<Min>,
    max: Sliding<Max>,
    /// For functions that need the values in another order; reused between steps.
    scratch: Vec<f64>,
}

impl OverTime {
    pub(super) fn new(f: RangeFunction) -> Self {
        Self {
            f,
            sum: Sliding::new(),
            min: Sliding::new(),
            max: Sliding::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn step(
        &mut self,
        w: &Window<'_>,
        params: &[f64; 2],
        ctx: &mut Context,
    ) -> Result<Out, VectorError> {
        use RangeFunction as R;
        Ok(match self.f {
            R::CountOverTime => Out::Float(count(w)),
            R::PresentOverTime => Out::Float(1.0),
            R::FirstOverTime => first(w),
            R::LastOverTime => last(w),
            R::TsOfFirst => time_of(points(w).next().map(|s| s.stamp.time)),
            R::TsOfLast => time_of(w.times().last().max(w.histogram_times().last()).copied()),
            R::SumOverTime | R::AvgOverTime => self.total(w, ctx),
            _ => {
                if self.f == R::DoubleExponentialSmoothing {
                    check_factor(params[0], "smoothing")?;
                    check_factor(params[1], "trend")?;
                }
                w.ignore_histograms(ctx);
                if w.lo == w.hi { Out::Nothing } else { self.floats(w, params, ctx)? }
            }
        })
    }

    fn total(&mut self, w: &Window<'_>, ctx: &mut Context) -> Out {
        if w.is_mixed(ctx) {
            return Out::Nothing;
        }
        let avg = self.f == RangeFunction::AvgOverTime;
        if w.lo == w.hi {
            let total = histogram::total(w.histograms(), avg, w.name(), ctx);
            return total.map_or(Out::Nothing, |h| Out::Histogram(Arc::new(h)));
        }
        let Some(sum) = self.sum.window(&w.series.values, w.lo, w.hi) else {
            return Out::Nothing;
        };
        Out::Float(if avg { plain::mean(sum, w.values()) } else { sum.0.value() })
    }

    /// Functions of floats; there is at least one.
    fn floats(
        &mut self,
        w: &Window<'_>,
        params: &[f64; 2],
        ctx: &mut Context,
    ) -> Result<Out, VectorError> {
        use RangeFunction as R;
        let (times, values) = (w.times(), w.values());
        let whole = &w.series.values;
        let out = match self.f {
            R::MinOverTime => self.min.window(whole, w.lo, w.hi).map(|m| m.0),
            R::MaxOverTime => self.max.window(whole, w.lo, w.hi).map(|m| m.0),
            R::StddevOverTime | R::StdvarOverTime => {
                let mut acc = Variance::default();
                values.iter().for_each(|v| acc.add(*v));
                Some(if self.f == R::StddevOverTime { acc.stddev() } else { acc.variance() })
            }
            R::QuantileOverTime => Some(self.quantile(params[0], values, ctx)),
            R::MadOverTime => Some(self.median_absolute_deviation(values)),
            R::TsOfMin => return Ok(time_of(extreme(times, values, |v, best| v <= best))),
            R::TsOfMax => return Ok(time_of(extreme(times, values, |v, best| v >= best))),
            R::Deriv if values.len() > 1 => Some(regression::line(times, values, times[0]).0),
            R::PredictLinear if values.len() > 1 => {
                let (slope, now) = regression::line(times, values, w.now_ms);
                Some(slope * params[0] + now)
            }
            R::DoubleExponentialSmoothing => regression::smooth(values, params[0], params[1]),
            _ => None,
        };
        Ok(out.map_or(Out::Nothing, Out::Float))
    }

    fn quantile(&mut self, phi: f64, values: &[f64], ctx: &mut Context) -> f64 {
        if !(0.0..=1.0).contains(&phi) {
            ctx.annotations
                .warn(&format!("quantile value should be between 0 and 1, got {}", format_g(phi)));
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(values);
        stat::quantile(phi, &mut self.scratch)
    }

    fn median_absolute_deviation(&mut self, values: &[f64]) -> f64 {
        if values.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(values);
        let median = stat::quantile(0.5, &mut self.scratch);
        self.scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
        stat::quantile(0.5, &mut self.scratch)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn count(w: &Window<'_>) -> f64 {
    (w.values().len() + w.histograms().len()) as f64
}

fn out(sample: Option<Sample<'_>>) -> Out {
    match sample.map(|s| s.point) {
        None => Out::Nothing,
        Some(Point::Float(v)) => Out::Float(v),
        Some(Point::Histogram(h)) => Out::Histogram(Arc::clone(h)),
    }
}

fn first(w: &Window<'_>) -> Out {
    out(points(w).next())
}

fn last(w: &Window<'_>) -> Out {
    let tail = Window {
        lo: w.lo.max(w.hi.saturating_sub(1)),
        histogram_lo: w.histogram_lo.max(w.histogram_hi.saturating_sub(1)),
        ..*w
    };
    out(points(&tail).last())
}

#[expect(clippy::cast_precision_loss, reason = "times in seconds are floats in the language")]
fn time_of(ms: Option<i64>) -> Out {
    ms.map_or(Out::Nothing, |ms| Out::Float(ms as f64 / 1000.0))
}

/// The time of the last value that is the best; NaN loses to anything.
fn extreme(times: &[i64], values: &[f64], better: impl Fn(f64, f64) -> bool) -> Option<i64> {
    let mut best: Option<(i64, f64)> = None;
    for (t, v) in times.iter().zip(values) {
        if best.is_none_or(|(_, b)| b.is_nan() || better(*v, b)) {
            best = Some((*t, *v));
        }
    }
    best.map(|(t, _)| t)
}

fn check_factor(v: f64, name: &str) -> Result<(), VectorError> {
    // NaN passes.
    if !(v <= 0.0 || v >= 1.0) {
        return Ok(());
    }
    let letter = &name[..1];
    Err(VectorError::Parameter(format!(
        "invalid {name} factor. Expected: 0 < {letter}f < 1, got: {v:.6}"
    )))
}
