//! Blocks written by the first release, kept for ever: every later release reads them.
//!
//! `SKALD_WRITE_GOLDEN=1 cargo test -p skald-blocks golden` writes the files of a *new* version;
//! those of an old version never change.

use std::path::PathBuf;

use skald_model::{
    BucketCounts, Exemplar, ResetHint, Series, Span, StreamEntries, TimeRange, stale_nan,
};

use super::*;
use crate::{LogSelect, meta::BlockMeta};

fn histogram(sum: f64) -> Histogram {
    Histogram {
        schema: Histogram::CUSTOM_BUCKETS,
        reset_hint: ResetHint::Gauge,
        zero_threshold: 0.0,
        sum,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        negative_spans: Vec::new(),
        custom_values: vec![0.1, 1.0],
        counts: BucketCounts::Float {
            count: 4.5,
            zero_count: 0.0,
            positive: vec![1.5, 2.0, 1.0],
            negative: Vec::new(),
        },
    }
}

fn set(i: usize) -> Labels {
    labels(&[
        ("__name__", &format!("golden_{}", i % 4)),
        ("job", "golden"),
        ("pod", &format!("pod-{i:02}")),
        (&format!("rare_{i}"), "ü"),
    ])
}

fn samples(i: usize) -> Vec<(i64, f64)> {
    let value = |s: i64| match i % 5 {
        0 => 7.0,
        1 => (s * s) as f64,
        2 => s as f64 / 10.0,
        3 => (s as f64).sqrt(),
        _ if s == 9 => stale_nan(),
        _ => -0.0,
    };
    (0..10).map(|s| (T0 + s * STEP + (s * i as i64) % 7, value(s))).collect()
}

fn exemplar(i: usize) -> Exemplar {
    Exemplar { labels: labels(&[("trace_id", &i.to_string())]), timestamp_ms: T0 + 5, value: 0.25 }
}

fn metric_rows() -> Vec<SeriesRow> {
    (0..60)
        .map(|i| {
            let all = samples(i);
            let (head, tail) = all.split_at(6);
            let histograms = [(T0, histogram(i as f64)), (T0 + STEP, histogram(1.5))];
            SeriesRow {
                labels: set(i),
                floats: vec![float_chunk(head), float_chunk(tail)],
                histograms: if i % 6 == 0 {
                    vec![histogram_chunk(&histograms)]
                } else {
                    Vec::new()
                },
                exemplars: if i % 9 == 0 { vec![exemplar(i)] } else { Vec::new() },
            }
        })
        .collect()
}

fn log_streams() -> Vec<(Labels, Vec<LogEntry>)> {
    (0..6)
        .map(|s| {
            let line = |i: i64| format!("stream {s} line {i} äöü level=info");
            let metadata = |i: i64| match i % 3 {
                0 => vec![],
                1 => vec![("trace_id", "abc")],
                _ => vec![("rest", "r"), ("trace_id", "def")],
            };
            let entries = (0..20).map(|i| entry(T0 * 1_000_000 + i * 333, &line(i), &metadata(i)));
            let app = format!("app-{s}");
            (labels(&[("app", &app), ("rest", "of it")]), entries.collect())
        })
        .collect()
}

fn plain() -> WriterOptions {
    WriterOptions { lines: crate::LineForm::Plain, ..options() }
}

fn golden(name: &str, make: impl Fn() -> Encoded) -> Encoded {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let file = dir.join(name);
    if std::env::var_os("SKALD_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &make().bytes).unwrap();
    }
    let bytes = Bytes::from(std::fs::read(&file).unwrap());
    let meta =
        BlockMeta { size_bytes: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes), ..make().meta };
    Encoded { bytes, meta }
}

#[tokio::test]
async fn metric_block_of_version_1_reads_as_it_was_written() {
    let shelf = Shelf::new();
    let mut block = golden("metric-block-v1.parquet", || metric_block(metric_rows()));
    block.meta.format_version = 1;
    assert_eq!(block.meta.crc32c, CRC_METRICS, "the golden file was changed");
    assert_metrics(&shelf, &block).await;
}

#[tokio::test]
async fn metric_block_of_version_2_reads_as_it_was_written() {
    let shelf = Shelf::new();
    let block = golden("metric-block-v2.parquet", || metric_block(metric_rows()));
    assert_eq!(block.meta.format_version, 2);
    assert_eq!(block.meta.crc32c, CRC_GRIDS, "the golden file was changed");
    assert_metrics(&shelf, &block).await;
}

#[tokio::test]
async fn metric_block_of_version_3_reads_as_it_was_written() {
    let shelf = Shelf::new();
    let rows = || dense::histograms(2);
    let block = golden("metric-block-v3.parquet", || dense_block(rows()));
    assert_eq!(block.meta.format_version, 3);
    assert_eq!(block.meta.crc32c, CRC_DENSE, "the golden file was changed");
    let got = shelf.metrics(&block).await.select(&[], TimeRange::ALL).await.unwrap();
    let got: std::collections::BTreeMap<_, _> =
        got.iter().map(|s| (s.labels.to_string(), grids::bits(s))).collect();
    assert_eq!(got, grids::expected(&rows(), TimeRange::ALL));
}

/// Counters that seldom move, scraped together: the integers of their blocks are mostly zeros.
fn sparse_rows() -> Vec<SeriesRow> {
    let row = |i: i64| {
        let mut value = 0.0;
        let mut sample = |s: i64| {
            if s % (5 + i % 4) == 0 {
                value += ((s * 7919 + i * 31) % 1000) as f64;
            }
            (T0 + s * STEP + s * s % 7, value)
        };
        let samples: Vec<(i64, f64)> = (0..300).map(&mut sample).collect();
        let labels = labels(&[("__name__", "golden_rare_total"), ("pod", &format!("pod-{i:02}"))]);
        floats(labels, &samples)
    };
    (0..40).map(row).collect()
}

#[tokio::test]
async fn sparse_rows_of_version_3_read_as_they_were_written() {
    // What is there: chunks on grids with blocks of the head that says so.
    let row = &sparse_rows()[0].floats[0];
    let (grid, off) = skald_codec::chunk::grid::split(row).unwrap().unwrap();
    let mut dense = Vec::new();
    off.put_dense(&grid, 0, &mut dense).unwrap();
    assert!(dense.contains(&193));

    let shelf = Shelf::new();
    let block = golden("metric-block-v3-sparse.parquet", || dense_block(sparse_rows()));
    assert_eq!(block.meta.format_version, 3);
    assert_eq!(block.meta.crc32c, CRC_SPARSE, "the golden file was changed");
    let got = shelf.metrics(&block).await.select(&[], TimeRange::ALL).await.unwrap();
    let got: std::collections::BTreeMap<_, _> =
        got.iter().map(|s| (s.labels.to_string(), grids::bits(s))).collect();
    assert_eq!(got, grids::expected(&sparse_rows(), TimeRange::ALL));
}

async fn assert_metrics(shelf: &Shelf, block: &Encoded) {
    let reader = shelf.metrics(block).await;
    let got = reader.select(&[], TimeRange::ALL).await.unwrap();
    let mut expected: Vec<usize> = (0..60).collect();
    expected.sort_by_key(|i| (i % 4, format!("pod-{i:02}")));
    assert_eq!(got.len(), expected.len());
    for (series, i) in got.iter().zip(&expected) {
        assert_series(series, *i);
    }
    let mut exemplars = reader.exemplars(&[], TimeRange::ALL).await.unwrap();
    exemplars.sort_by_key(|(_, e)| e[0].labels.get("trace_id").unwrap().parse::<usize>().unwrap());
    let with: Vec<_> = (0..60).step_by(9).map(|i| (set(i), vec![exemplar(i)])).collect();
    assert_eq!(exemplars, with);
}

fn assert_series(series: &Series, i: usize) {
    assert_eq!(series.labels, set(i));
    let bits = |v: f64| v.to_bits();
    let got = series.timestamps.iter().zip(&series.values).map(|(t, v)| (*t, bits(*v)));
    let expected = samples(i).into_iter().map(|(t, v)| (t, bits(v)));
    assert_eq!(got.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{i}");
    let histograms = [(T0, histogram(i as f64)), (T0 + STEP, histogram(1.5))];
    assert_eq!(
        series.histograms,
        if i.is_multiple_of(6) { histograms.to_vec() } else { Vec::new() }
    );
}

#[tokio::test]
async fn log_block_of_version_1_reads_as_it_was_written() {
    let shelf = Shelf::new();
    let block = golden("log-block-v1.parquet", || log_block(log_streams(), plain()));
    assert_eq!(block.meta.crc32c, CRC_LOGS, "the golden file was changed");
    let reader = shelf.logs(&block).await;
    let got = reader.select(&[], TimeRange::ALL, &[], LogSelect::default()).await.unwrap();
    let expected: Vec<StreamEntries> = log_streams()
        .into_iter()
        .map(|(labels, entries)| StreamEntries { labels, entries })
        .collect();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn log_block_with_gram_filters_is_searched_as_it_was_written() {
    let shelf = Shelf::new();
    let block = golden("log-block-v1-grams.parquet", || log_block(log_streams(), plain()));
    assert_eq!(block.meta.crc32c, CRC_GRAMS, "the golden file was changed");
    let reader = shelf.logs(&block).await;
    for (needle, n_found, n_rows) in [
        ("stream 3 line 7 ", 1, 120),
        ("äöü level=info", 120, 120),
        ("absent from all lines", 0, 0),
    ] {
        let needles = [Bytes::from_static(needle.as_bytes())];
        let before = reader.read_stats().snapshot().rows;
        let got = reader.select(&[], TimeRange::ALL, &needles, LogSelect::default()).await.unwrap();
        assert_eq!(got.iter().map(|s| s.entries.len()).sum::<usize>(), n_found, "{needle}");
        assert_eq!(reader.read_stats().snapshot().rows - before, n_rows, "{needle}");
    }
}

#[tokio::test]
async fn log_block_of_version_2_reads_as_it_was_written() {
    let shelf = Shelf::new();
    let block = golden("log-block-v2.parquet", || log_block(log_streams(), options()));
    assert_eq!(block.meta.crc32c, CRC_PACKED, "the golden file was changed");
    let reader = shelf.logs(&block).await;
    let got = reader.select(&[], TimeRange::ALL, &[], LogSelect::default()).await.unwrap();
    let streams = log_streams().into_iter();
    let expected: Vec<_> =
        streams.map(|(labels, entries)| StreamEntries { labels, entries }).collect();
    assert_eq!(got, expected);
}

const CRC_SPARSE: u32 = 32_514_887;
const CRC_PACKED: u32 = 3_923_479_595;
const CRC_METRICS: u32 = 941_094_627;
const CRC_LOGS: u32 = 3_605_636_149;
const CRC_GRAMS: u32 = 2_124_287_161;
const CRC_DENSE: u32 = 143_584_555;
const CRC_GRIDS: u32 = 3_342_043_483;
