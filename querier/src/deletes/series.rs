//! Requests to delete samples, applied to what is read: from the moment such a request is committed no
//! query, remote read, list of series or exemplar shows what it names, whatever blocks and heads still have.
//!
//! Names and values of labels may show for longer that there were series.

use std::sync::Arc;

use skald_catalog::{Signal, View, deleted_times};
use skald_model::{Labels, Matcher, Series, TimeRange};

use super::may_meet;
use crate::Error;

/// What must not be shown of a range of time. Times are in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesDeletes(Arc<[Deleted]>);

#[derive(Debug)]
struct Deleted {
    matchers: Vec<Matcher>,
    range: TimeRange,
}

// === impl SeriesDeletes ===

impl SeriesDeletes {
    /// The requests of `view` that concern series of `matchers` in `range`.
    ///
    /// A request that cannot be read is an error: showing what somebody deleted is worse.
    pub(crate) fn of(view: &View, range: TimeRange, matchers: &[Matcher]) -> Result<Self, Error> {
        let mut found = Vec::new();
        for request in view.open_deletes(Signal::Metrics) {
            let times = deleted_times(request);
            if range.intersect(times).is_empty() {
                continue;
            }
            let selector = skald_promql::syntax::parse_selector(&request.query).map_err(|e| {
                Error::Internal(format!("delete request {:?} cannot be read: {e}", request.id))
            })?;
            if may_meet(&selector.matchers, matchers) {
                found.push(Deleted { matchers: selector.matchers, range: times });
            }
        }
        Ok(Self(found.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to `names`, which are sorted, those of the labels that say what is deleted.
    pub(crate) fn widen(&self, names: &mut Vec<String>) {
        let matchers = self.0.iter().flat_map(|d| &d.matchers);
        names.extend(matchers.map(|m| m.name.clone()));
        names.sort_unstable();
        names.dedup();
    }

    /// The times of a series that are not shown: ascending and apart from each other.
    pub(crate) fn times(&self, labels: &Labels) -> Vec<TimeRange> {
        let meets = |d: &&Deleted| Matcher::all(&d.matchers, labels);
        let mut all: Vec<TimeRange> = self.0.iter().filter(meets).map(|d| d.range).collect();
        all.sort_unstable_by_key(|range| range.start);
        let mut times: Vec<TimeRange> = Vec::with_capacity(all.len());
        for range in all {
            match times.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => times.push(range),
            }
        }
        times
    }
}

/// Takes samples of `times` out of a series.
pub(crate) fn hide(series: &mut Series, times: &[TimeRange]) {
    for range in times {
        let floats = within(&series.timestamps, *range, |t| *t);
        series.timestamps.drain(floats.clone());
        series.values.drain(floats.clone());
        if !series.starts.is_empty() {
            series.starts.drain(floats);
        }
        let histograms = within(&series.histograms, *range, |(t, _)| *t);
        series.histograms.drain(histograms.clone());
        if !series.histogram_starts.is_empty() {
            series.histogram_starts.drain(histograms);
        }
    }
}

/// Where the items of a range stand among those that are sorted by time.
fn within<T>(items: &[T], range: TimeRange, at: impl Fn(&T) -> i64) -> std::ops::Range<usize> {
    let first = items.partition_point(|item| at(item) < range.start);
    let end = items.partition_point(|item| at(item) < range.end);
    first..end.max(first)
}

/// What of `range` is left without `times`, which ascend and are apart.
pub(crate) fn rest(range: TimeRange, times: &[TimeRange]) -> Vec<TimeRange> {
    let mut left = Vec::with_capacity(times.len() + 1);
    let mut start = range.start;
    for gone in times {
        left.push(TimeRange::new(start, gone.start.min(range.end)));
        start = start.max(gone.end);
    }
    left.push(TimeRange::new(start, range.end));
    left.retain(|part| !part.is_empty());
    left
}

#[cfg(test)]
mod tests {
    use skald_model::{BucketCounts, Histogram};

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start, end)
    }

    fn deletes(of: &[(&str, TimeRange)]) -> SeriesDeletes {
        let parse = |text: &str| skald_promql::syntax::parse_selector(text).unwrap().matchers;
        let one =
            |(text, range): &(&str, TimeRange)| Deleted { matchers: parse(text), range: *range };
        SeriesDeletes(of.iter().map(one).collect())
    }

    #[test]
    fn times_of_several_requests_are_united() {
        let deletes = deletes(&[
            (r#"m{a="x"}"#, range(10, 20)),
            ("m", range(15, 25)),
            ("m", range(40, 50)),
            (r#"{a=""}"#, range(0, 5)),
        ]);
        let of = |pairs: &[(&str, &str)]| deletes.times(&Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(of(&[("__name__", "m"), ("a", "x")]), [range(10, 25), range(40, 50)]);
        assert_eq!(of(&[("__name__", "m"), ("a", "y")]), [range(15, 25), range(40, 50)]);
        assert_eq!(of(&[("__name__", "n")]), [range(0, 5)]);
        assert_eq!(of(&[("__name__", "n"), ("a", "x")]), []);
        let mut names = vec!["b".to_owned()];
        deletes.widen(&mut names);
        assert_eq!(names, ["__name__", "a", "b"]);
    }

    #[test]
    fn samples_go_with_their_start_timestamps() {
        let native = |count| Histogram {
            schema: 0,
            reset_hint: skald_model::ResetHint::Unknown,
            zero_threshold: 0.0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts: BucketCounts::Integer {
                count,
                zero_count: count,
                positive: Vec::new(),
                negative: Vec::new(),
            },
        };
        let mut series = Series::default();
        for t in 0..10 {
            series.push(t, 0.5, t - 100);
            series.push_histogram(t + 20, native(1), t - 200);
        }
        hide(&mut series, &[range(-5, 2), range(4, 8), range(21, 22), range(29, 99)]);
        assert_eq!(series.timestamps, [2, 3, 8, 9]);
        assert_eq!((series.values.len(), &series.starts[..]), (4, &[-98, -97, -92, -91][..]));
        let times: Vec<i64> = series.histograms.iter().map(|(t, _)| *t).collect();
        assert_eq!(times, [20, 22, 23, 24, 25, 26, 27, 28]);
        assert_eq!((series.histogram_starts.len(), series.histogram_starts[1]), (8, -198));
    }

    #[test]
    fn what_is_left_of_a_range_lies_around_what_is_gone() {
        let all = range(10, 20);
        assert_eq!(rest(all, &[]), [all]);
        assert_eq!(rest(all, &[range(0, 30)]), []);
        assert_eq!(rest(all, &[range(0, 12), range(15, 16)]), [range(12, 15), range(16, 20)]);
        assert_eq!(rest(all, &[range(0, 5), range(18, 30), range(40, 50)]), [range(10, 18)]);
    }
}
