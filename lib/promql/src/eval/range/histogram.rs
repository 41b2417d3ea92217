//! Differences and sums of native histograms within a window.

use std::sync::Arc;

use skald_model::ResetHint;
use skald_vector::histogram::{HistogramSum, MergeNotes};
use skald_vector::{Context, FloatHistogram};

use super::Window;
use super::rate::warn_of_overlap;

pub(in crate::eval) fn warn_mixed_schemas(name: &str, ctx: &mut Context) {
    ctx.annotations.warn(&format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name:?}"
    ));
}

pub(super) fn warn_not_counter(name: &str, ctx: &mut Context) {
    ctx.annotations.warn(&format!("this native histogram metric is not a counter: {name:?}"));
}

pub(super) fn warn_not_gauge(name: &str, ctx: &mut Context) {
    ctx.annotations.warn(&format!("this native histogram metric is not a gauge: {name:?}"));
}

pub(super) fn annotate(notes: MergeNotes, operation: &str, ctx: &mut Context) {
    if notes.reset_collision {
        ctx.annotations.warn(&format!("conflicting counter resets during histogram {operation}"));
    }
    if notes.bounds_reconciled {
        ctx.annotations
            .info(&format!("mismatched custom buckets were reconciled during {operation}"));
    }
}

/// As [`annotate`], where what is known about resets does not matter.
pub(super) fn annotate_reconciled(notes: MergeNotes, operation: &str, ctx: &mut Context) {
    annotate(MergeNotes { reset_collision: false, ..notes }, operation, ctx);
}

/// Last minus first of at least two, plus what resets hid when it is a counter.
pub(super) fn increase(
    w: &Window<'_>,
    is_counter: bool,
    ctx: &mut Context,
) -> Option<FloatHistogram> {
    let (histograms, name) = (w.histograms(), w.name());
    let stamps = w.histogram_stamps();
    let begins = |k: usize, now: &FloatHistogram, before: &FloatHistogram| {
        stamps.is_reset(w.histogram_lo + k) || now.is_reset_after(before)
    };
    let (first, last) = (histograms.first()?, histograms.last()?);
    // After a reset right behind it, the first one says nothing.
    let skip_first = is_counter && begins(1, histograms.get(1)?, first);
    let relevant = &histograms[usize::from(skip_first)..];
    let inner = histograms.get(1..histograms.len() - 1)?;
    let is_gauge = |h: &Arc<FloatHistogram>| h.reset_hint == ResetHint::Gauge;
    let ends_are = [first, last].map(is_gauge);
    let custom = relevant.first()?.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        if is_counter && ends_are.contains(&true) {
            warn_not_counter(name, ctx);
        }
        warn_mixed_schemas(name, ctx);
        return None;
    }
    // What lies between the ends of a gauge does not matter.
    if is_counter && inner.iter().any(|h| h.uses_custom_buckets() != custom) {
        warn_mixed_schemas(name, ctx);
        return None;
    }
    let schema = if is_counter {
        if histograms.iter().any(is_gauge) {
            warn_not_counter(name, ctx);
        }
        // The lowest resolution decides, before anything is subtracted.
        relevant.iter().map(|h| h.schema).min()?
    } else {
        if ends_are.contains(&false) {
            warn_not_gauge(name, ctx);
        }
        first.schema.min(last.schema)
    };
    let mut out = plain(last);
    out.reduce_schema(schema);
    if !skip_first {
        subtract(&mut out, first, ctx);
    }
    if is_counter {
        if (w.histogram_lo + 1..w.histogram_hi).any(|i| stamps.overlaps(i)) {
            warn_of_overlap(name, ctx);
        }
        for (k, pair) in relevant.windows(2).enumerate() {
            if begins(k + 1 + usize::from(skip_first), &pair[1], &pair[0]) {
                let notes = out.add(&plain(&pair[0])).ok()?;
                annotate(MergeNotes { reset_collision: false, ..notes }, "addition", ctx);
            }
        }
    }
    out.reset_hint = ResetHint::Gauge;
    out.compact();
    Some(out)
}

/// Adds what was counted before the window's first pair; false when they do not fit.
pub(super) fn add(
    to: &mut FloatHistogram,
    h: &FloatHistogram,
    name: &str,
    ctx: &mut Context,
) -> bool {
    match to.add(&plain(h)) {
        Ok(notes) => annotate_reconciled(notes, "addition", ctx),
        Err(_) => {
            warn_mixed_schemas(name, ctx);
            return false;
        }
    }
    true
}

/// The same without its hint, which has no place in differences.
fn plain(h: &FloatHistogram) -> FloatHistogram {
    let mut out = h.clone();
    out.reset_hint = ResetHint::Unknown;
    out
}

fn subtract(from: &mut FloatHistogram, h: &FloatHistogram, ctx: &mut Context) {
    if let Ok(notes) = from.sub(&plain(h)) {
        annotate(notes, "subtraction", ctx);
    }
}

/// `b − a`, or `b` when a counter was reset in between.
pub(super) fn instant_change(
    a: &FloatHistogram,
    b: &FloatHistogram,
    (is_rate, began): (bool, bool),
    name: &str,
    ctx: &mut Context,
) -> Option<FloatHistogram> {
    let gauge = [a, b].map(|h| h.reset_hint == ResetHint::Gauge);
    if is_rate && gauge.contains(&true) {
        warn_not_counter(name, ctx);
    }
    if !is_rate && gauge.contains(&false) {
        warn_not_gauge(name, ctx);
    }
    let mut out = plain(b);
    if !began {
        if a.uses_custom_buckets() != b.uses_custom_buckets() {
            warn_mixed_schemas(name, ctx);
            return None;
        }
        subtract(&mut out, a, ctx);
    }
    out.reset_hint = ResetHint::Gauge;
    out.compact();
    Some(out)
}

/// The sum or mean of at least one.
pub(super) fn total(
    histograms: &[Arc<FloatHistogram>],
    mean: bool,
    name: &str,
    ctx: &mut Context,
) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut total = HistogramSum::new(first);
    for h in rest {
        let added = if mean { total.add_to_mean(h) } else { total.add(h) };
        match added {
            Ok(notes) => annotate_reconciled(notes, "aggregation", ctx),
            Err(_) => {
                warn_mixed_schemas(name, ctx);
                return None;
            }
        }
    }
    if total.resets_collide() {
        ctx.annotations.warn("conflicting counter resets during histogram aggregation");
    }
    let mut out = if mean { total.mean() } else { total.sum() };
    out.compact();
    Some(out)
}
