//! Whether a result is what a test expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use skald_model::{Labels, is_stale};
use skald_promql::{FloatHistogram, MatrixSeries, SampleValue, VectorSample};

use crate::dsl::{Item, SeriesLine};

pub(crate) fn floats_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < 1e-6
}

fn histograms_equal(want: &FloatHistogram, got: &FloatHistogram, hinted: bool) -> bool {
    let buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0 && floats_equal(x.1, y.1))
    };
    want.schema == got.schema
        && (!hinted || want.reset_hint == got.reset_hint)
        && (want.uses_custom_buckets() || want.zero_threshold == got.zero_threshold)
        && want.custom_values == got.custom_values
        && floats_equal(want.count, got.count)
        && floats_equal(want.sum, got.sum)
        && floats_equal(want.zero_count, got.zero_count)
        && buckets(&want.positive, &got.positive)
        && buckets(&want.negative, &got.negative)
}

fn item_matches(item: &Item, got: Option<&SampleValue>) -> bool {
    match (item, got) {
        (Item::Gap, None) => true,
        (Item::Float(a), Some(SampleValue::Float(b))) => floats_equal(*a, *b),
        (Item::Histogram(a, hinted), Some(SampleValue::Histogram(b))) => {
            histograms_equal(&FloatHistogram::from(&**a), b, *hinted)
        }
        _ => false,
    }
}

fn show(v: Option<&SampleValue>) -> String {
    match v {
        None => "_".to_owned(),
        Some(SampleValue::Float(v)) => v.to_string(),
        Some(SampleValue::Histogram(h)) => {
            format!("{h} (schema {}, {:?}, {:?})", h.schema, h.reset_hint, h.custom_values)
        }
    }
}

/// An instant vector; `ordered` also compares the order.
pub(crate) fn vector(
    want: &[SeriesLine],
    got: &[VectorSample],
    ordered: bool,
) -> Result<(), String> {
    if want.len() != got.len() {
        let got: Vec<String> =
            got.iter().map(|g| format!("{} {}", g.labels, show(Some(&g.value)))).collect();
        return Err(format!("want {} samples, got {}: {got:?}", want.len(), got.len()));
    }
    for (i, line) in want.iter().enumerate() {
        let found = got.iter().position(|g| g.labels == line.labels);
        let Some(at) = found else {
            let all: Vec<String> = got.iter().map(|g| g.labels.to_string()).collect();
            return Err(format!("missing {}, got {all:?}", line.labels));
        };
        if ordered && at != i {
            return Err(format!("{} is at {at}, not {i}", line.labels));
        }
        if !line.items.first().is_some_and(|item| item_matches(item, Some(&got[at].value))) {
            return Err(format!(
                "{}: want {:?}, got {}",
                line.labels,
                line.items,
                show(Some(&got[at].value))
            ));
        }
    }
    Ok(())
}

/// A range result; item `i` stands for the time `start + i·step`.
pub(crate) fn matrix(
    want: &[SeriesLine],
    got: &[MatrixSeries],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    let want: Vec<&SeriesLine> =
        want.iter().filter(|l| l.items.iter().any(|i| !matches!(i, Item::Gap))).collect();
    if want.len() != got.len() {
        let got: Vec<String> = got.iter().map(|g| format!("{} {:?}", g.labels, g.points)).collect();
        return Err(format!("want {} series, got {}: {got:?}", want.len(), got.len()));
    }
    for line in want {
        let Some(series) = got.iter().find(|g| g.labels == line.labels) else {
            let all: Vec<String> = got.iter().map(|g| g.labels.to_string()).collect();
            return Err(format!("missing {}, got {all:?}", line.labels));
        };
        let mut points = by_time(series);
        for (i, item) in line.items.iter().enumerate() {
            let t = start_ms + step_ms * i64::try_from(i).unwrap();
            let point = points.remove(&t);
            if !item_matches(item, point.as_ref()) {
                return Err(format!(
                    "{} at {t}: want {item:?}, got {}",
                    line.labels,
                    show(point.as_ref())
                ));
            }
        }
        if let Some((t, v)) = points.pop_first() {
            return Err(format!("{}: unexpected {} at {t}", line.labels, show(Some(&v))));
        }
    }
    Ok(())
}

pub(crate) fn by_time(series: &MatrixSeries) -> BTreeMap<i64, SampleValue> {
    let floats = series.points.iter().map(|(t, v)| (*t, SampleValue::Float(*v)));
    let histograms =
        series.histograms.iter().map(|(t, h)| (*t, SampleValue::Histogram(Arc::clone(h))));
    floats.chain(histograms).collect()
}

pub(crate) fn sorted_by_labels(got: &[MatrixSeries]) -> bool {
    let labels: Vec<&Labels> = got.iter().map(|s| &s.labels).collect();
    labels.is_sorted()
}
