//! Blocks whose chunks share timestamps: read as if each had its own.

use std::collections::BTreeMap;

use skald_codec::chunk::{decode_into, encode_started_floats, encode_started_histograms};
use skald_model::{BucketCounts, Exemplar, Matcher, ResetHint, Series, TimeRange};

use super::*;
use crate::metric::grids_at;

const N: i64 = 240;

/// The times at which a pod was scraped: late by a little, as nobody else is.
fn times(pod: i64, part: i64) -> Vec<i64> {
    let late = |i: i64| (i * i * (pod + 3) + pod * 7919) % 4;
    (part * N..(part + 1) * N).map(|i| T0 + i * STEP + pod * 97 + late(i)).collect()
}

fn chunk(ts: &[i64], seed: i64, starts: &[i64]) -> Bytes {
    let values: Vec<f64> =
        ts.iter().enumerate().map(|(i, _)| (i as i64 * seed % 31) as f64 / 4.0).collect();
    let mut out = Vec::new();
    encode_started_floats(ts, &values, starts, &mut out);
    out.into()
}

fn histograms(ts: &[i64], starts: &[i64]) -> Bytes {
    let one = |i: usize| Histogram {
        schema: 2,
        reset_hint: ResetHint::No,
        zero_threshold: 0.5,
        sum: i as f64,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count: i as u64,
            zero_count: i as u64,
            positive: Vec::new(),
            negative: Vec::new(),
        },
    };
    let all: Vec<Histogram> = (0..ts.len()).map(one).collect();
    let mut out = Vec::new();
    encode_started_histograms(ts, &all, starts, &mut out);
    out.into()
}

/// Series of five pods: of each most share their times, one lacks a sample, one has start timestamps, one has
/// histograms and exemplars, one has a chunk before its first and one that overlaps; and one alone.
pub(super) fn mixed() -> Vec<SeriesRow> {
    let mut rows = Vec::new();
    for pod in 0..5 {
        let set = |name: &str| labels(&[("__name__", name), ("pod", &format!("p{pod}"))]);
        let (a, b) = (times(pod, 0), times(pod, 1));
        let short: Vec<i64> = a.iter().copied().filter(|t| *t != a[100]).collect();
        let (b_starts, a_starts) =
            (vec![a[3]; b.len()], short.iter().map(|t| t - 9).collect::<Vec<_>>());
        for m in 0..6 {
            let floats = vec![chunk(&a, m, &[]), chunk(&b, m + 1, &[])];
            rows.push(SeriesRow { labels: set(&format!("m{m}")), floats, ..SeriesRow::default() });
        }
        let floats = vec![chunk(&short, 5, &a_starts), chunk(&b, 6, &b_starts)];
        rows.push(SeriesRow { labels: set("started"), floats, ..SeriesRow::default() });
        let histograms = vec![histograms(&a, &[]), histograms(&b, &b_starts)];
        let exemplars =
            vec![Exemplar { labels: Labels::empty(), timestamp_ms: a[7], value: pod as f64 }];
        rows.push(SeriesRow { labels: set("h"), histograms, exemplars, ..SeriesRow::default() });
        let floats = vec![chunk(&b, 9, &[]), chunk(&a, 2, &[]), chunk(&b[100..], 4, &[])];
        rows.push(SeriesRow { labels: set("unordered"), floats, ..SeriesRow::default() });
    }
    rows.push(floats(labels(&[("__name__", "alone")]), &[(T0 + 1, 1.0), (T0 + 3, f64::NAN)]));
    rows
}

pub(super) type Bits = (Vec<(i64, u64)>, Vec<i64>, Vec<(i64, Histogram)>, Vec<i64>);

pub(super) fn bits(s: &Series) -> Bits {
    let floats = s.timestamps.iter().zip(&s.values).map(|(t, v)| (*t, v.to_bits()));
    (floats.collect(), s.starts.clone(), s.histograms.clone(), s.histogram_starts.clone())
}

/// What the rows hold in `range`, decoded chunk by chunk.
pub(super) fn expected(rows: &[SeriesRow], range: TimeRange) -> BTreeMap<String, Bits> {
    let decoded = |row: &SeriesRow| {
        let mut series = Series::default();
        for chunk in row.floats.iter().chain(&row.histograms) {
            decode_into(chunk, range, &mut series).unwrap();
        }
        series.sort();
        (row.labels.to_string(), series)
    };
    let all = rows.iter().map(decoded).filter(|(_, s)| !s.is_empty());
    all.map(|(labels, s)| (labels, bits(&s))).collect()
}

#[tokio::test]
async fn series_that_share_times_wholly_partly_or_not_read_as_they_were_written() {
    let shelf = Shelf::new();
    let rows = mixed();
    let block = metric_block(rows.clone());
    assert_eq!(block.meta.format_version, 2);
    let reader = shelf.metrics(&block).await;
    let at = |part: i64, i: usize| times(2, part)[i];
    for range in [
        TimeRange::ALL,
        TimeRange::new(at(0, 99), at(0, 103)),
        TimeRange::new(at(0, 200), at(1, 70)),
        TimeRange::new(at(1, 239), i64::MAX),
        TimeRange::new(i64::MIN, T0 + 3),
    ] {
        // The second time from the cache.
        for _ in 0..2 {
            let got = reader.select(&[], range).await.unwrap();
            let got: BTreeMap<String, Bits> =
                got.iter().map(|s| (s.labels.to_string(), bits(s))).collect();
            assert_eq!(got, expected(&rows, range), "{range:?}");
        }
        let one = [Matcher::equal("__name__", "m3"), Matcher::equal("pod", "p4")];
        let got = reader.select(&one, range).await.unwrap();
        let some: Vec<SeriesRow> =
            rows.iter().filter(|r| Matcher::all(&one, &r.labels)).cloned().collect();
        let got: BTreeMap<String, Bits> =
            got.iter().map(|s| (s.labels.to_string(), bits(s))).collect();
        assert_eq!(got, expected(&some, range), "{range:?}");
    }
    assert_eq!(reader.exemplars(&[], TimeRange::ALL).await.unwrap().len(), 5);
}

#[tokio::test]
async fn compaction_gets_the_chunks_that_were_written() {
    let shelf = Shelf::new();
    let mut rows = mixed();
    let reader = shelf.metrics(&metric_block(rows.clone())).await;
    let mut stream = reader.rows();
    let mut got = Vec::new();
    while let Some(batch) = stream.next().await.unwrap() {
        got.extend(batch);
    }
    for rows in [&mut rows, &mut got] {
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    assert_eq!(got, rows);
}

#[tokio::test]
async fn times_are_stored_once_and_found_without_another_get() {
    let shelf = Shelf::new();
    let row = |i: i64| {
        let set = labels(&[("__name__", &format!("m{i:03}")), ("pod", "p")]);
        SeriesRow { labels: set, floats: vec![chunk(&times(1, 0), 1, &[])], ..SeriesRow::default() }
    };
    let (one, many) = (metric_block(vec![row(0)]), metric_block((0..200).map(row).collect()));
    assert_eq!((one.meta.format_version, many.meta.format_version), (1, 2));
    let lone = chunk(&times(1, 0), 1, &[]).len();
    assert!(many.bytes.len() < lone * 200 / 3, "{} for 200 of {lone}", many.bytes.len());
    let reader = shelf.metrics(&many).await;
    assert_eq!(reader.read_stats().snapshot().gets, 1);
    let found = reader.select(&[], TimeRange::ALL).await.unwrap();
    assert!(found.iter().all(|s| s.timestamps == times(1, 0)));
    assert_eq!(reader.read_stats().snapshot().gets, 3, "label columns, pages, no table");
}

#[tokio::test]
async fn a_table_far_from_the_footer_is_read_when_it_is_needed() {
    let mut shelf = Shelf::new();
    let row = |i: i64| {
        let set = labels(&[("__name__", &format!("m{}", i % 2)), ("pod", &format!("{i:05}"))]);
        let floats = vec![chunk(&times(i / 2, 0), 1, &[])];
        SeriesRow { labels: set, floats, ..SeriesRow::default() }
    };
    let block = metric_block((0..6000).map(row).collect());
    for cache in [FooterCache::new(64 << 20), FooterCache::new(0)] {
        shelf.cache = Arc::new(cache);
        let reader = shelf.metrics(&block).await;
        let one = [Matcher::equal("pod", "04321")];
        for _ in 0..2 {
            let found = reader.select(&one, TimeRange::ALL).await.unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].timestamps, times(2160, 0));
        }
        let all = reader.select(&[], TimeRange::new(T0, T0 + 1_000_000)).await.unwrap();
        assert_eq!(all.len(), 6000);
        let gets = reader.read_stats().snapshot().gets;
        assert!(shelf.cache.held().footers == 0 || gets <= 6, "{gets}");
    }
}

#[tokio::test]
async fn a_table_that_ends_early_or_lacks_a_grid_is_an_error() {
    let block = metric_block(mixed());
    let shelf = Shelf::new();
    let reader = shelf.metrics(&block).await;
    let at = grids_at(&reader.footer()).unwrap();
    let (from, to) = (usize::try_from(at.start).unwrap(), usize::try_from(at.end).unwrap());
    let table = block.bytes.slice(from..to);
    assert!(crate::metric::Grids::parse(table.clone()).is_ok());
    for cut in 0..table.len() {
        assert!(crate::metric::Grids::parse(table.slice(..cut)).is_err(), "{cut}");
    }
    let longer = [&table[..], &[0]].concat();
    assert!(crate::metric::Grids::parse(longer.into()).is_err());
    let many = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0, 1, 0]);
    assert!(crate::metric::Grids::parse(many).is_err(), "more grids than bytes");
}
