use std::collections::BTreeMap;

use proptest::prelude::*;
use skald_model::{
    BucketCounts, Exemplar, MatchOp, Matcher, ResetHint, Series, Span, TimeRange, stale_nan,
};

use super::*;
use crate::{Error, verify_block};

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

fn histogram(sum: f64) -> Histogram {
    Histogram {
        schema: 2,
        reset_hint: ResetHint::No,
        zero_threshold: 0.001,
        sum,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count: 3,
            zero_count: 0,
            positive: vec![1, 1],
            negative: Vec::new(),
        },
    }
}

#[tokio::test]
async fn series_of_every_kind_come_back() {
    let shelf = Shelf::new();
    let a = labels(&[("__name__", "a"), ("pod", "p1")]);
    let b = labels(&[("__name__", "b"), ("rest", "x")]);
    let exemplar =
        Exemplar { labels: labels(&[("trace_id", "t")]), timestamp_ms: T0 + 1, value: 0.5 };
    let block = metric_block(vec![
        SeriesRow {
            labels: b.clone(),
            histograms: vec![histogram_chunk(&[(T0, histogram(1.0)), (T0 + STEP, histogram(2.0))])],
            exemplars: vec![exemplar.clone()],
            ..SeriesRow::default()
        },
        floats(a.clone(), &[(T0, 1.0), (T0 + STEP, stale_nan())]),
        SeriesRow { labels: labels(&[("__name__", "nothing")]), ..SeriesRow::default() },
    ]);
    assert_eq!((block.meta.n_series, block.meta.n_rows), (2, 4));
    assert_eq!((block.meta.min_time, block.meta.max_time), (T0, T0 + STEP));
    let reader = shelf.metrics(&block).await;
    verify_block(&shelf.store, &shelf.tenant, &block.meta).await.unwrap();

    let all = reader.select(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(all.iter().map(|s| &s.labels).collect::<Vec<_>>(), [&a, &b]);
    assert_eq!(all[0].timestamps, [T0, T0 + STEP]);
    assert_eq!(all[0].values[1].to_bits(), stale_nan().to_bits());
    assert_eq!(all[1].histograms, [(T0, histogram(1.0)), (T0 + STEP, histogram(2.0))]);

    let early = reader.select(&[], TimeRange::new(T0, T0 + 1)).await.unwrap();
    assert_eq!(early.iter().map(Series::n_samples).collect::<Vec<_>>(), [1, 1]);
    assert!(reader.select(&[], TimeRange::new(0, T0)).await.unwrap().is_empty());

    let found = reader.exemplars(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(found, [(b.clone(), vec![exemplar])]);
    assert!(reader.exemplars(&[], TimeRange::new(0, T0 + 1)).await.unwrap().is_empty());
    let rest = reader.labels(&[matcher(MatchOp::Equal, "rest", "x")], TimeRange::ALL).await;
    assert_eq!(rest.unwrap(), [b]);
}

#[tokio::test]
async fn overlapping_chunks_of_one_series_are_joined_without_doubles() {
    let shelf = Shelf::new();
    let a = labels(&[("__name__", "a")]);
    let block = metric_block(vec![
        floats(a.clone(), &[(T0, 1.0), (T0 + 20, 2.0)]),
        floats(a.clone(), &[(T0 + 10, 3.0), (T0 + 20, 9.0), (T0 + 30, 4.0)]),
    ]);
    assert_eq!(block.meta.n_series, 1);
    let found = shelf.metrics(&block).await.select(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].timestamps, [T0, T0 + 10, T0 + 20, T0 + 30]);
    assert_eq!(found[0].values, [1.0, 3.0, 2.0, 4.0]);
}

#[tokio::test]
async fn an_empty_block_has_nothing() {
    let shelf = Shelf::new();
    let reader = shelf.metrics(&metric_block(Vec::new())).await;
    assert!(reader.select(&[], TimeRange::ALL).await.unwrap().is_empty());
    assert!(reader.rows().next().await.unwrap().is_none());
}

fn many(n: usize) -> Vec<SeriesRow> {
    let noise = |i: i64| (i.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 40) % 1000;
    let value = |c: i64, i: i64| (T0 + i * STEP, noise(c * 120 + i) as f64);
    let chunk = |c| float_chunk(&(0..120).map(|i| value(c, i)).collect::<Vec<_>>());
    let chunks: Vec<Bytes> = (0..300).map(chunk).collect();
    (0..n)
        .map(|i| SeriesRow {
            labels: labels(&[
                ("__name__", &format!("metric_{:03}", i % 200)),
                ("cluster", "eu"),
                ("namespace", &format!("ns-{}", i % 7)),
                ("pod", &format!("pod-{}", i / 200)),
                (&format!("rare_{}", i % 150), "yes"),
            ]),
            floats: vec![chunks[i / 7 % 300].clone()],
            ..SeriesRow::default()
        })
        .collect()
}

#[tokio::test]
async fn one_metric_of_100k_series_takes_three_gets_at_most() {
    let shelf = Shelf::new();
    let reader = shelf.metrics(&metric_block(many(100_000))).await;
    assert!(reader.read_stats().snapshot().gets <= 2, "a cold open");

    let reader = MetricReader::open(
        Arc::clone(&shelf.store),
        &shelf.tenant,
        reader.meta(),
        Arc::clone(&shelf.cache),
    )
    .await
    .unwrap();
    assert_eq!(reader.read_stats().snapshot().gets, 0, "the footer is cached");
    assert_eq!(reader.read_stats().snapshot().footer_hits, 1);
    let name = Matcher::equal("__name__", "metric_123");
    let found = reader.select(std::slice::from_ref(&name), TimeRange::ALL).await.unwrap();
    assert_eq!(found.len(), 500);
    assert!(found.iter().all(|s| s.labels.metric_name() == Some("metric_123")));
    assert!(found.iter().all(|s| s.timestamps.len() == 120 && s.labels.len() == 5));
    let cost = reader.read_stats().snapshot();
    // The label columns, then the pages of the 500 series.
    assert!(cost.gets <= 3, "{cost:?}");
    assert!(cost.bytes < reader.meta().size_bytes / 5, "{cost:?}");
    assert_eq!((cost.index_misses, cost.page_misses), (1, 3), "{cost:?}");

    let again = reader.select(std::slice::from_ref(&name), TimeRange::ALL).await.unwrap();
    assert_eq!(again, found);
    let other = Matcher::equal("__name__", "metric_007");
    assert_eq!(reader.select(&[other], TimeRange::ALL).await.unwrap().len(), 500);
    let warm = reader.read_stats().snapshot();
    assert!(warm.gets - cost.gets <= 1, "only the pages of the other metric: {warm:?}");
    assert_eq!((warm.index_misses, warm.page_hits), (1, 3), "{warm:?}");
    let held = shelf.cache.held();
    assert!(held.index > 0 && held.pages > 0 && held.index < 4 << 20, "{held:?}");

    let narrow = [name, matcher(MatchOp::Regex, "pod", "pod-1[0-9]")];
    assert_eq!(reader.labels(&narrow, TimeRange::ALL).await.unwrap().len(), 10);
    assert_eq!(reader.read_stats().snapshot().gets, warm.gets, "the index is cached");
    let absent = [Matcher::equal("__name__", "zzz")];
    let before = reader.read_stats().snapshot().gets;
    assert!(reader.select(&absent, TimeRange::ALL).await.unwrap().is_empty());
    assert_eq!(reader.read_stats().snapshot().gets, before, "the index says there is none");
}

#[tokio::test]
async fn page_bounds_of_long_values_are_cut_but_still_bounds() {
    let shelf = Shelf::new();
    let prefix = "ü".repeat(50);
    let name = |i: usize| format!("{prefix}{i:05}{}", char::from_u32(0x10_ffff).unwrap());
    let row = |i| floats(labels(&[("__name__", &name(i))]), &[(T0, i as f64)]);
    let reader = shelf.metrics(&metric_block((0..40_000).map(row).collect())).await;
    for i in [0, 16_383, 16_384, 20_000, 39_999] {
        let m = [Matcher::equal("__name__", &name(i))];
        let found = reader.select(&m, TimeRange::ALL).await.unwrap();
        assert_eq!(found.iter().map(|s| s.values[0]).collect::<Vec<_>>(), [i as f64]);
    }
}

#[tokio::test]
async fn rows_of_every_batch_and_page_are_found_where_they_are() {
    let shelf = Shelf::new();
    let name = |i: usize| format!("n{i:05}");
    let row = |i| floats(labels(&[("__name__", &name(i))]), &[(T0, i as f64), (T0 + 1, 0.0)]);
    let reader = shelf.metrics(&metric_block((0..40_000).map(row).collect())).await;
    // Only part of the block's time: bounds of each row are looked at, too.
    let range = TimeRange::new(T0, T0 + 1);
    for i in (0..40_000).step_by(4096).flat_map(|i| [i, i + 255]).filter(|i| *i < 40_000) {
        let m = [matcher(MatchOp::Regex, "__name__", &format!("{}.*", name(i)))];
        let found = reader.select(&m, range).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].labels.metric_name(), Some(name(i).as_str()));
        assert_eq!(found[0].values, [i as f64]);
    }
    let thousands = [matcher(MatchOp::Regex, "__name__", "n..000")];
    let found = reader.select(&thousands, range).await.unwrap();
    let values: Vec<f64> = found.iter().map(|s| s.values[0]).collect();
    assert_eq!(values, (0..40).map(|i| f64::from(i) * 1000.0).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_stream_every_series_with_its_chunks_untouched() {
    let shelf = Shelf::new();
    let rows = many(3000);
    let reader = shelf.metrics(&metric_block(rows.clone())).await;
    let mut stream = reader.rows();
    let mut got = Vec::new();
    while let Some(batch) = stream.next().await.unwrap() {
        got.extend(batch);
    }
    let sorted = |mut rows: Vec<SeriesRow>| {
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        rows
    };
    assert!(got.is_sorted_by_key(|r| r.labels.metric_name().map(str::to_owned)));
    assert_eq!(sorted(got), sorted(rows));
}

#[tokio::test]
async fn a_block_of_many_row_groups_reads_as_one() {
    let shelf = Shelf::new();
    let opts = WriterOptions { row_group_rows: 4096, ..options() };
    let mut writer = MetricBlockWriter::new(opts);
    many(10_000).into_iter().for_each(|row| writer.push(row).unwrap());
    let reader = shelf.metrics(&writer.finish().unwrap()).await;
    let m = [Matcher::equal("__name__", "metric_150")];
    assert_eq!(reader.select(&m, TimeRange::ALL).await.unwrap().len(), 50);
    assert_eq!(reader.labels(&[], TimeRange::ALL).await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn a_block_is_stored_once() {
    let shelf = Shelf::new();
    let block = metric_block(many(3));
    put_block(&shelf.store, &shelf.tenant, &block).await.unwrap();
    put_block(&shelf.store, &shelf.tenant, &block).await.unwrap();
    let other = metric_block(many(4));
    assert_eq!(other.meta.id, block.meta.id);
    let refused = put_block(&shelf.store, &shelf.tenant, &other).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
}

#[test]
fn refuses_chunks_of_the_wrong_kind() {
    let mut writer = MetricBlockWriter::new(options());
    let row = SeriesRow {
        labels: labels(&[("__name__", "a")]),
        histograms: vec![float_chunk(&[(1, 1.0)])],
        ..SeriesRow::default()
    };
    assert!(matches!(writer.push(row.clone()), Err(Error::Invalid(_))));
    let torn =
        SeriesRow { floats: vec![Bytes::from_static(b"\x01")], histograms: Vec::new(), ..row };
    assert!(matches!(writer.push(torn), Err(Error::Invalid(_))));
}

pub(super) type Model = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, u64>>;

pub(super) fn model() -> impl Strategy<Value = Model> {
    let set = prop::collection::btree_map("[ab]|rest|__name__|ü", "[xyz]{1,2}", 0..4);
    let samples = prop::collection::btree_map(-50i64..50, any::<u64>(), 1..20);
    prop::collection::btree_map(set, samples, 0..60)
}

pub(super) fn any_matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let values = prop::sample::select(vec!["", "x", "y", "xy", "x.*", "x|y", ".+", ".*"]);
    (op, "[abc]|rest|__name__|ü", values).prop_map(|(op, name, value)| matcher(op, &name, value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn select_agrees_with_a_scan_of_everything(
        model in model(),
        matchers in prop::collection::vec(any_matcher(), 0..3),
        bounds in (-60i64..60, -60i64..60),
    ) {
        let range = TimeRange::new(bounds.0, bounds.1);
        let rows = model.iter().map(|(set, samples)| {
            let samples: Vec<_> = samples.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect();
            floats(Labels::from_pairs(set), &samples)
        });
        let block = metric_block(rows.collect());
        let expected: BTreeMap<Vec<u8>, Vec<(i64, u64)>> = model
            .iter()
            .map(|(set, samples)| {
                let inside = samples.iter().filter(|(t, _)| range.contains(**t));
                (Labels::from_pairs(set), inside.map(|(t, v)| (*t, *v)).collect::<Vec<_>>())
            })
            .filter(|(labels, samples)| Matcher::all(&matchers, labels) && !samples.is_empty())
            .map(|(labels, samples)| (labels.as_bytes().to_vec(), samples))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(async {
            Shelf::new().metrics(&block).await.select(&matchers, range).await.unwrap()
        });
        let n = got.len();
        let got: BTreeMap<Vec<u8>, Vec<(i64, u64)>> = got
            .into_iter()
            .map(|s| {
                let values = s.values.iter().map(|v| v.to_bits());
                (s.labels.as_bytes().to_vec(), s.timestamps.iter().copied().zip(values).collect())
            })
            .collect();
        prop_assert_eq!(n, got.len());
        prop_assert_eq!(got, expected);
    }
}
