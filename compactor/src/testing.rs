//! What the tests of this crate share: making blocks, and reading them back as plain sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use skald_blocks::{
    BlockId, BlockMeta, FooterCache, LogBlockWriter, LogReader, MetricBlockWriter, MetricReader,
    SeriesRow, WriterOptions, put_block,
};
use skald_codec::{chunk, histogram};
use skald_model::{
    BucketCounts, Exemplar, Histogram, Labels, LogEntry, ResetHint, Signal, Span, TenantId,
};

/// A sample as it can be compared: the bits of a float, or the bytes of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Float(u64),
    Histogram(Vec<u8>),
}

/// All samples of a set of blocks; a repeated one appears twice.
pub(crate) type Samples = BTreeMap<(Labels, i64), Vec<Value>>;
pub(crate) type Line = (Labels, LogEntry);

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

pub(crate) fn series(n: u64) -> Labels {
    let (name, pod) = (format!("m{}", n % 2), format!("p{n}"));
    Labels::from_pairs([("__name__", name.as_str()), ("pod", &pod), ("job", "j")])
}

pub(crate) fn native(n: u64) -> Histogram {
    Histogram {
        schema: 3,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.001,
        sum: 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count: n,
            zero_count: 0,
            positive: vec![1, i64::try_from(n).unwrap()],
            negative: Vec::new(),
        },
    }
}

pub(crate) fn float_chunk(samples: &[(i64, f64)]) -> Bytes {
    let (ts, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
    let mut out = Vec::new();
    chunk::encode_floats(&ts, &values, &mut out);
    out.into()
}

pub(crate) fn histogram_chunk(samples: &[(i64, Histogram)]) -> Bytes {
    let (ts, values): (Vec<i64>, Vec<Histogram>) = samples.iter().cloned().unzip();
    let mut out = Vec::new();
    chunk::encode_histograms(&ts, &values, &mut out);
    out.into()
}

pub(crate) fn floats(labels: Labels, samples: &[(i64, f64)]) -> SeriesRow {
    SeriesRow { labels, floats: vec![float_chunk(samples)], ..SeriesRow::default() }
}

/// Bits that nothing can compress, other ones for each number.
pub(crate) fn noise(n: u64) -> f64 {
    let bits = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from_bits((bits ^ bits >> 29) & !(0x7ff << 52) | 0x3ff << 52)
}

/// Rows of series that take eight bytes for each of `n` samples.
pub(crate) fn noisy(series_from: u64, lens: &[i64]) -> Vec<SeriesRow> {
    let row = |(s, n): (u64, &i64)| {
        let value = |t: i64| noise(s << 32 | t.cast_unsigned());
        floats(series(s), &(0..*n).map(|t| (t, value(t))).collect::<Vec<_>>())
    };
    (series_from..).zip(lens).map(row).collect()
}

/// Rows of series of `n` histograms that take about 800 bytes each.
pub(crate) fn noisy_histograms(series_from: u64, lens: &[i64]) -> Vec<SeriesRow> {
    let row = |(s, n): (u64, &i64)| {
        let of = |t: i64| {
            let number = |i: u64| noise(s << 32 | t.cast_unsigned() << 8 | i).to_bits() >> 16;
            let positive = (0..160).map(|i| number(i).cast_signed()).collect();
            let counts =
                BucketCounts::Integer { count: 1, zero_count: 0, positive, negative: Vec::new() };
            let positive_spans = vec![Span { offset: 0, length: 160 }];
            (t, Histogram { counts, positive_spans, ..native(1) })
        };
        let all: Vec<_> = (0..*n).map(of).collect();
        let histograms = all.chunks(100).map(histogram_chunk).collect();
        SeriesRow { labels: series(s), histograms, ..SeriesRow::default() }
    };
    (series_from..).zip(lens).map(row).collect()
}

fn options(n: u128, source: &str) -> WriterOptions {
    let mut options = WriterOptions::new(BlockId::new(1_000, n));
    options.sources = vec![source.to_owned()];
    options
}

pub(crate) async fn metric_block(
    store: &Arc<dyn ObjectStore>,
    n: u128,
    source: &str,
    rows: Vec<SeriesRow>,
) -> BlockMeta {
    metric_block_of(store, &tenant(), n, source, rows).await
}

pub(crate) async fn metric_block_of(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    n: u128,
    source: &str,
    rows: Vec<SeriesRow>,
) -> BlockMeta {
    let mut writer = MetricBlockWriter::new(options(n, source));
    rows.into_iter().for_each(|row| writer.push(row).unwrap());
    let encoded = writer.finish().unwrap();
    put_block(store, tenant, &encoded).await.unwrap();
    encoded.meta
}

pub(crate) async fn log_block(
    store: &Arc<dyn ObjectStore>,
    n: u128,
    source: &str,
    lines: Vec<Line>,
) -> BlockMeta {
    log_block_of(store, &tenant(), n, source, lines).await
}

pub(crate) async fn log_block_of(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    n: u128,
    source: &str,
    lines: Vec<Line>,
) -> BlockMeta {
    let mut writer = LogBlockWriter::new(options(n, source));
    lines.into_iter().for_each(|(labels, entry)| writer.push(labels, vec![entry]).unwrap());
    let encoded = writer.finish().unwrap();
    put_block(store, tenant, &encoded).await.unwrap();
    encoded.meta
}

pub(crate) fn samples_of(row: &SeriesRow, out: &mut Samples) {
    for bytes in &row.floats {
        let (mut ts, mut values) = (Vec::new(), Vec::new());
        chunk::decode_floats(bytes, &mut ts, &mut values).unwrap();
        for (ts, value) in ts.into_iter().zip(values) {
            let at = out.entry((row.labels.clone(), ts)).or_default();
            at.push(Value::Float(value.to_bits()));
        }
    }
    for bytes in &row.histograms {
        let mut decoded = Vec::new();
        chunk::decode_histograms(bytes, &mut decoded).unwrap();
        for (ts, h) in decoded {
            let mut bytes = Vec::new();
            histogram::encode(&h, &mut bytes);
            out.entry((row.labels.clone(), ts)).or_default().push(Value::Histogram(bytes));
        }
    }
}

/// Every row of the metric blocks among `blocks`.
pub(crate) async fn metric_rows(
    store: &Arc<dyn ObjectStore>,
    blocks: &[BlockMeta],
) -> Vec<SeriesRow> {
    metric_rows_of(store, &tenant(), blocks).await
}

pub(crate) async fn metric_rows_of(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    blocks: &[BlockMeta],
) -> Vec<SeriesRow> {
    let mut out = Vec::new();
    for meta in blocks.iter().filter(|b| b.signal == Signal::Metrics) {
        let cache = Arc::new(FooterCache::new(1 << 20));
        let reader = MetricReader::open(Arc::clone(store), tenant, meta, cache).await.unwrap();
        let mut rows = reader.rows();
        while let Some(batch) = rows.next().await.unwrap() {
            out.extend(batch);
        }
    }
    out
}

pub(crate) async fn all_samples(store: &Arc<dyn ObjectStore>, blocks: &[BlockMeta]) -> Samples {
    let mut out = Samples::new();
    metric_rows(store, blocks).await.iter().for_each(|row| samples_of(row, &mut out));
    out
}

/// Every line of the log blocks among `blocks`, sorted; a repeated one appears twice.
pub(crate) async fn all_lines(store: &Arc<dyn ObjectStore>, blocks: &[BlockMeta]) -> Vec<Line> {
    all_lines_of(store, &tenant(), blocks).await
}

pub(crate) async fn all_lines_of(
    store: &Arc<dyn ObjectStore>,
    tenant: &TenantId,
    blocks: &[BlockMeta],
) -> Vec<Line> {
    let mut out = Vec::new();
    for meta in blocks.iter().filter(|b| b.signal == Signal::Logs) {
        let cache = Arc::new(FooterCache::new(1 << 20));
        let reader = LogReader::open(Arc::clone(store), tenant, meta, cache).await.unwrap();
        let mut rows = reader.rows().await.unwrap();
        while let Some(batch) = rows.next().await.unwrap() {
            for piece in batch {
                out.extend(piece.entries.into_iter().map(|e| (piece.labels.clone(), e)));
            }
        }
    }
    out.sort();
    out
}

pub(crate) fn exemplar(ts: i64, value: f64) -> Exemplar {
    let labels = Labels::from_pairs([("trace_id", format!("{ts}"))]);
    Exemplar { labels, timestamp_ms: ts, value }
}

pub(crate) fn line(stream: u64, ns: i64, text: &str, metadata: &str) -> Line {
    let labels = Labels::from_pairs([("app", format!("a{stream}"))]);
    let metadata = Labels::from_pairs([("m", metadata)]);
    let line = Bytes::from(text.to_owned());
    (labels, LogEntry { timestamp_ns: ns, line, metadata })
}
