//! Samples of one series from several sources: one per timestamp.
//!
//! Where sources disagree on a timestamp the winner does not depend on their order: a histogram
//! before a float, a sample before a staleness marker, then the larger value, then the later start timestamp.

mod started;

use std::cmp::Ordering;

use skald_model::{BucketCounts, Histogram, Series, is_stale};

/// Merges parts with equal labels. Each part is sorted and has no timestamp twice.
pub(crate) fn unite(mut parts: Vec<Series>) -> Series {
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    parts.sort_by_key(first_time);
    if parts.iter().any(|p| !p.starts.is_empty() || !p.histogram_starts.is_empty()) {
        return started::unite(parts);
    }
    let mut parts = parts.into_iter();
    let mut out = parts.next().unwrap_or_default();
    for part in parts {
        floats(&mut out, &part);
        histograms(&mut out.histograms, part.histograms);
    }
    if !out.histograms.is_empty() && !out.timestamps.is_empty() {
        drop_shadowed_floats(&mut out);
    }
    out
}

fn first_time(s: &Series) -> i64 {
    let float = s.timestamps.first().copied();
    let histogram = s.histograms.first().map(|(t, _)| *t);
    float.into_iter().chain(histogram).min().unwrap_or(i64::MAX)
}

fn floats(out: &mut Series, part: &Series) {
    let Some(&first) = part.timestamps.first() else { return };
    let from = out.timestamps.partition_point(|t| *t < first);
    if from == out.timestamps.len() {
        out.timestamps.extend_from_slice(&part.timestamps);
        out.values.extend_from_slice(&part.values);
        return;
    }
    if repeats(&out.timestamps[from..], &out.values[from..], part) {
        return;
    }
    let old_times = out.timestamps.split_off(from);
    let old_values = out.values.split_off(from);
    let most = old_times.len() + part.timestamps.len();
    out.timestamps.reserve(most);
    out.values.reserve(most);
    let (mut i, mut j) = (0, 0);
    while i < old_times.len() && j < part.timestamps.len() {
        let (a, b) = (old_times[i], part.timestamps[j]);
        let (t, v) = match a.cmp(&b) {
            Ordering::Less => (a, old_values[i]),
            Ordering::Greater => (b, part.values[j]),
            Ordering::Equal => (a, winner(old_values[i], part.values[j])),
        };
        i += usize::from(a <= b);
        j += usize::from(b <= a);
        out.timestamps.push(t);
        out.values.push(v);
    }
    out.timestamps.extend_from_slice(&old_times[i..]);
    out.values.extend_from_slice(&old_values[i..]);
    out.timestamps.extend_from_slice(&part.timestamps[j..]);
    out.values.extend_from_slice(&part.values[j..]);
}

/// Whether `part` is a replica's copy of the beginning of what is there, bit for bit.
fn repeats(times: &[i64], values: &[f64], part: &Series) -> bool {
    let n = part.timestamps.len();
    times.get(..n) == Some(&part.timestamps[..])
        && values[..n].iter().zip(&part.values).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn winner(a: f64, b: f64) -> f64 {
    match (is_stale(a), is_stale(b)) {
        (true, false) => b,
        (false, true) => a,
        _ if a.total_cmp(&b) == Ordering::Less => b,
        _ => a,
    }
}

fn histograms(out: &mut Vec<(i64, Histogram)>, part: Vec<(i64, Histogram)>) {
    let Some((first, _)) = part.first() else { return };
    let from = out.partition_point(|(t, _)| t < first);
    if from == out.len() {
        out.extend(part);
        return;
    }
    let mut old = out.split_off(from).into_iter().peekable();
    let mut new = part.into_iter().peekable();
    out.reserve(old.len() + new.len());
    while let (Some((a, _)), Some((b, _))) = (old.peek(), new.peek()) {
        match a.cmp(b) {
            Ordering::Less => out.extend(old.next()),
            Ordering::Greater => out.extend(new.next()),
            Ordering::Equal => {
                if let (Some(a), Some(b)) = (old.next(), new.next()) {
                    out.push(if rank(&a.1, &b.1) == Ordering::Less { b } else { a });
                }
            }
        }
    }
    out.extend(old);
    out.extend(new);
}

fn rank(a: &Histogram, b: &Histogram) -> Ordering {
    let count = |h: &Histogram| match &h.counts {
        #[expect(clippy::cast_precision_loss, reason = "only an order is wanted")]
        BucketCounts::Integer { count, .. } => *count as f64,
        BucketCounts::Float { count, .. } => *count,
    };
    let stale = b.is_stale().cmp(&a.is_stale());
    stale
        .then_with(|| count(a).total_cmp(&count(b)))
        .then_with(|| a.sum.total_cmp(&b.sum))
        .then_with(|| a.schema.cmp(&b.schema))
}

fn drop_shadowed_floats(s: &mut Series) {
    let mut h = s.histograms.iter().map(|(t, _)| *t).peekable();
    let mut kept = 0;
    for i in 0..s.timestamps.len() {
        let t = s.timestamps[i];
        while h.next_if(|x| *x < t).is_some() {}
        if h.peek() == Some(&t) {
            continue;
        }
        s.timestamps[kept] = t;
        s.values[kept] = s.values[i];
        kept += 1;
    }
    s.timestamps.truncate(kept);
    s.values.truncate(kept);
}
