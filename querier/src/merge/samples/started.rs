//! The same for series with start timestamps, which move along with their samples.
//!
//! Such series are the exception, so this sorts where the other way merges in place.

use std::cmp::Ordering;
use std::iter::repeat;

use skald_model::{Histogram, Series};

use super::{rank, winner};

/// As [`super::unite`].
pub(super) fn unite(parts: Vec<Series>) -> Series {
    let mut labels = None;
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for part in parts {
        labels.get_or_insert(part.labels);
        let samples = part.timestamps.into_iter().zip(part.values);
        floats.extend(samples.zip(part.starts.into_iter().chain(repeat(0))));
        histograms.extend(
            part.histograms.into_iter().zip(part.histogram_starts.into_iter().chain(repeat(0))),
        );
    }
    floats
        .sort_by(|((a, x), s), ((b, y), r)| a.cmp(b).then_with(|| best_float((*x, *s), (*y, *r))));
    floats.dedup_by_key(|((t, _), _)| *t);
    histograms.sort_by(|((a, x), s), ((b, y), r)| {
        a.cmp(b).then_with(|| best_histogram((x, *s), (y, *r)))
    });
    histograms.dedup_by_key(|((t, _), _)| *t);
    let mut out = Series::new(labels.unwrap_or_default());
    for ((t, v), start) in floats {
        if histograms.binary_search_by_key(&t, |((t, _), _)| *t).is_err() {
            out.push(t, v, start);
        }
    }
    for ((t, h), start) in histograms {
        out.push_histogram(t, h, start);
    }
    out
}

/// The one that is kept first.
fn best_float((x, s): (f64, i64), (y, r): (f64, i64)) -> Ordering {
    if x.to_bits() == y.to_bits() {
        return r.cmp(&s);
    }
    if winner(x, y).to_bits() == x.to_bits() { Ordering::Less } else { Ordering::Greater }
}

/// The one that is kept first.
fn best_histogram((x, s): (&Histogram, i64), (y, r): (&Histogram, i64)) -> Ordering {
    rank(y, x).then(r.cmp(&s))
}
