use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use skald_codec::encoded::EncodedSeries;
use skald_model::{Exemplar, Labels, LogEntry, Series, StreamEntries, TimeRange, stale_nan};

use super::*;
use crate::source::found::{Found, Source};

/// What blocks with these series give.
fn series(sources: Vec<Vec<Series>>) -> Vec<Series> {
    let head = |series: Vec<Series>| Source::Head(EncodedSeries::of(&series));
    let sources = sources.into_iter().map(head).collect();
    Found::unite(sources, TimeRange::ALL).decode().unwrap()
}

fn set(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

fn one(points: &[(i64, f64)]) -> Series {
    let (timestamps, values) = points.iter().copied().unzip();
    Series { labels: set("a"), timestamps, values, ..Series::default() }
}

fn points(s: &Series) -> Vec<(i64, f64)> {
    s.timestamps.iter().copied().zip(s.values.iter().copied()).collect()
}

fn lines(items: &[(i64, &str)]) -> StreamEntries {
    let entry = |(t, l): &(i64, &str)| LogEntry {
        timestamp_ns: *t,
        line: Bytes::copy_from_slice(l.as_bytes()),
        metadata: Labels::empty(),
    };
    StreamEntries { labels: set("a"), entries: items.iter().map(entry).collect() }
}

#[test]
fn replicas_and_neighbours_give_each_sample_once() {
    let head = one(&[(30, 3.0), (40, 4.0), (50, 5.0)]);
    let behind = one(&[(30, 3.0), (40, 4.0)]);
    let block = one(&[(10, 1.0), (20, 2.0), (30, 3.0)]);
    let got = series(vec![vec![head.clone()], vec![behind], vec![head], vec![block]]);
    let want = vec![(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0), (50, 5.0)];
    assert_eq!(got.iter().map(points).collect::<Vec<_>>(), vec![want]);
}

#[test]
fn start_timestamps_follow_the_sample_that_wins() {
    let mut a = one(&[(1, 1.0), (3, 3.0)]);
    let mut b = one(&[]);
    for (t, v, start) in [(1, 1.0, 5), (2, 2.0, 6), (3, 9.0, 7)] {
        b.push(t, v, start);
    }
    a.push(4, 4.0, 8);
    a.push(5, stale_nan(), 9);
    b.push(5, 5.0, 0);
    for sources in [vec![vec![a.clone()], vec![b.clone()]], vec![vec![b], vec![a]]] {
        let got = series(sources);
        let want = vec![(1, 1.0), (2, 2.0), (3, 9.0), (4, 4.0), (5, 5.0)];
        assert_eq!((points(&got[0]), &got[0].starts[..]), (want, &[5, 6, 7, 8, 0][..]));
    }
}

#[test]
fn interleaved_sources_are_sorted() {
    let got = series(vec![
        vec![one(&[(1, 1.0), (5, 5.0), (9, 9.0)])],
        vec![one(&[(2, 2.0), (5, 5.0), (10, 10.0)])],
        vec![one(&[(0, 0.0), (11, 11.0)])],
    ]);
    let times: Vec<i64> = got[0].timestamps.clone();
    assert_eq!(times, [0, 1, 2, 5, 9, 10, 11]);
}

#[test]
fn disagreeing_sources_have_one_winner_whatever_their_order() {
    let a = one(&[(1, 1.0), (2, stale_nan())]);
    let b = one(&[(1, 2.0), (2, 7.0)]);
    for sources in [vec![vec![a.clone()], vec![b.clone()]], vec![vec![b], vec![a]]] {
        assert_eq!(points(&series(sources)[0]), [(1, 2.0), (2, 7.0)]);
    }
}

#[test]
fn staleness_markers_survive() {
    let got = series(vec![vec![one(&[(1, stale_nan())])], vec![one(&[(1, stale_nan())])]]);
    assert_eq!(got[0].values[0].to_bits(), stale_nan().to_bits());
    assert_eq!(got[0].n_samples(), 1);
}

#[test]
fn series_of_different_sources_stay_apart() {
    let mut other = one(&[(1, 1.0)]);
    other.labels = set("b");
    let got = series(vec![vec![one(&[(1, 1.0)])], vec![other, one(&[(2, 2.0)])]]);
    assert_eq!(got.len(), 2);
    assert_eq!(points(&got[0]), [(1, 1.0), (2, 2.0)]);
}

#[test]
fn lines_are_told_apart_by_time_text_and_metadata() {
    let a = lines(&[(1, "x"), (1, "y"), (2, "x")]);
    let b = lines(&[(1, "y"), (1, "z"), (3, "x")]);
    let mut c = lines(&[(1, "x")]);
    c.entries[0].metadata = Labels::from_pairs([("trace", "1")]);
    let got = streams(vec![vec![a], vec![b], vec![c]]);
    let text: Vec<_> = got[0].entries.iter().map(|e| (e.timestamp_ns, e.text())).collect();
    assert_eq!(text, [(1, "x"), (1, "y"), (1, "z"), (1, "x"), (2, "x"), (3, "x")]);
}

#[test]
fn bursts_with_one_timestamp_are_merged_by_hash() {
    let names: Vec<String> = (0..500).map(|i| i.to_string()).collect();
    let all: Vec<(i64, &str)> = names.iter().map(|n| (7, n.as_str())).collect();
    let got = streams(vec![vec![lines(&all[..300])], vec![lines(&all[200..])]]);
    assert_eq!(got[0].entries.len(), 500);
}

#[test]
fn exemplars_are_united_and_sorted() {
    let e = |t, v| Exemplar { labels: set("t"), timestamp_ms: t, value: v };
    let got = exemplars(vec![
        vec![(set("b"), vec![e(2, 1.0)]), (set("a"), vec![e(2, 2.0), e(1, 1.0)])],
        vec![(set("a"), vec![e(1, 1.0), e(3, 3.0)])],
    ]);
    assert_eq!(got[0].0, set("a"));
    assert_eq!(got[0].1.iter().map(|e| e.timestamp_ms).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(got[1].1.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sources, in any order, give what a map of timestamps gives.
    #[test]
    fn samples_are_those_of_a_map(
        sources in prop::collection::vec(prop::collection::btree_map(0i64..40, 0u8..3, 0..20), 0..6),
    ) {
        let mut model: BTreeMap<i64, u8> = BTreeMap::new();
        for (t, v) in sources.iter().flatten() {
            let known = model.entry(*t).or_insert(*v);
            *known = (*known).max(*v);
        }
        let parts = sources.iter().map(|s| {
            let points: Vec<_> = s.iter().map(|(t, v)| (*t, f64::from(*v))).collect();
            vec![one(&points)]
        });
        let got = series(parts.collect());
        let want: Vec<_> = model.into_iter().map(|(t, v)| (t, f64::from(v))).collect();
        prop_assert_eq!(got.first().map(points).unwrap_or_default(), want);
    }

    /// Any sources give each entry once, in time order.
    #[test]
    fn entries_are_those_of_a_set(
        sources in prop::collection::vec(prop::collection::btree_set((0i64..6, 0u8..40), 0..60), 0..5),
    ) {
        let all: BTreeSet<(i64, String)> =
            sources.iter().flatten().map(|(t, l)| (*t, l.to_string())).collect();
        let parts = sources.iter().map(|s| {
            let texts: Vec<_> = s.iter().map(|(t, l)| (*t, l.to_string())).collect();
            let items: Vec<_> = texts.iter().map(|(t, l)| (*t, l.as_str())).collect();
            vec![lines(&items)]
        });
        let got = streams(parts.collect());
        let entries = got.into_iter().flat_map(|s| s.entries);
        let got: Vec<_> = entries.map(|e| (e.timestamp_ns, e.text().to_owned())).collect();
        prop_assert!(got.is_sorted_by_key(|(t, _)| *t));
        prop_assert_eq!(got.len(), all.len());
        prop_assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), all);
    }
}
