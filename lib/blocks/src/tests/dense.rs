//! Blocks whose chunks are predicted from those of other rows: read as if none was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use skald_codec::chunk::{decode_floats, encode_started_floats};
use skald_model::{Matcher, Series, TimeRange, stale_nan};

use super::grids::{Bits, bits, expected, mixed};
use super::*;
use crate::LabelWant;

const N: i64 = 200;
const LES: [&str; 9] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

fn next(state: &mut u64) -> i64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40).cast_signed()
}

/// Buckets and sums of `n` pods with three handlers each: counters that are reset, markers of staleness, a row that
/// lacks a sample, one with start timestamps, one in chunks of other lengths.
pub(super) fn histograms(n: i64) -> Vec<SeriesRow> {
    let mut rows = Vec::new();
    for pod in 0..n {
        let late = |i: i64| (i * i * (pod + 3) + pod * 7919) % 4;
        let times: Vec<i64> = (0..2 * N).map(|i| T0 + i * STEP + pod * 97 + late(i)).collect();
        for handler in ["/a", "/b", "/c"] {
            let mut rng = (pod * 31 + handler.len() as i64 + 7).unsigned_abs();
            let mut columns = vec![Vec::new(); LES.len() + 1];
            let mut at = vec![0.0; LES.len() + 1];
            for i in 0..2 * N {
                let mut seen = 0;
                for (le, v) in at.iter_mut().enumerate().take(LES.len()) {
                    seen += next(&mut rng) % (12 - le as i64);
                    *v += seen as f64;
                }
                at[LES.len()] += seen as f64 * 0.07 * (1.0 + next(&mut rng) as f64 / 16_777_217.0);
                if i % 97 == 50 {
                    at.fill(0.0);
                }
                let stale = i % 61 == 60;
                for (column, v) in columns.iter_mut().zip(&at) {
                    column.push(if stale { stale_nan() } else { *v });
                }
            }
            for (i, values) in columns.iter().enumerate() {
                let name = if i == LES.len() { "h_sum" } else { "h_bucket" };
                let mut pairs = vec![("__name__", name.to_owned()), ("pod", format!("p{pod:03}"))];
                pairs.push(("handler", handler.to_owned()));
                pairs.extend(LES.get(i).map(|le| ("le", (*le).to_owned())));
                let borders =
                    if (pod + i as i64) % 13 == 5 { vec![0, 77, 400] } else { vec![0, 200, 400] };
                let skip = if (pod + i as i64) % 11 == 3 { 60 } else { usize::MAX };
                let starts = if (pod + i as i64) % 17 == 8 { times.clone() } else { Vec::new() };
                let chunk = |w: &[usize]| {
                    let kept = |all: &[i64]| -> Vec<i64> {
                        (w[0]..w[1])
                            .filter(|i| *i != skip)
                            .filter_map(|i| all.get(i).copied())
                            .collect()
                    };
                    let values: Vec<f64> =
                        (w[0]..w[1]).filter(|i| *i != skip).map(|i| values[i]).collect();
                    let mut out = Vec::new();
                    encode_started_floats(&kept(&times), &values, &kept(&starts), &mut out);
                    Bytes::from(out)
                };
                let floats = borders.windows(2).map(chunk).collect();
                rows.push(SeriesRow {
                    labels: Labels::from_pairs(pairs),
                    floats,
                    ..SeriesRow::default()
                });
            }
        }
    }
    rows
}

fn by_labels(all: &[Series]) -> BTreeMap<String, Bits> {
    all.iter().map(|s| (s.labels.to_string(), bits(s))).collect()
}

#[tokio::test]
async fn predicted_chunks_read_as_they_were_written() {
    let shelf = Shelf::new();
    // Several pages, whose borders lie in the middle of histograms.
    let mut rows = histograms(31);
    rows.extend(mixed());
    let block = dense_block(rows.clone());
    assert_eq!(block.meta.format_version, 3);
    assert!(block.bytes.len() * 10 < metric_block(rows.clone()).bytes.len() * 9);
    let reader = shelf.metrics(&block).await;
    for range in [
        TimeRange::ALL,
        TimeRange::new(T0 + 70 * STEP, T0 + 80 * STEP),
        TimeRange::new(T0 + 190 * STEP, T0 + 203 * STEP),
        TimeRange::new(T0 + 399 * STEP, i64::MAX),
    ] {
        let expected = expected(&rows, range);
        // The second time from the cache.
        for _ in 0..2 {
            assert_eq!(by_labels(&reader.select(&[], range).await.unwrap()), expected, "{range:?}");
        }
        for (name, value) in [("le", "0.1"), ("le", "+Inf"), ("pod", "p008"), ("__name__", "h_sum")]
        {
            let got = reader.select(&[Matcher::equal(name, value)], range).await.unwrap();
            let mut wanted = expected.clone();
            let row = |row: &&SeriesRow| row.labels.get(name) == Some(value);
            let kept: Vec<String> = rows.iter().filter(row).map(|r| r.labels.to_string()).collect();
            wanted.retain(|labels, _| kept.contains(labels));
            assert_eq!(by_labels(&got), wanted, "{name}={value} {range:?}");
        }
    }
}

#[tokio::test]
async fn series_are_decoded_in_any_order_and_range() {
    let shelf = Shelf::new();
    let rows = histograms(4);
    let reader = shelf.metrics(&dense_block(rows.clone())).await;
    let set = reader.encoded(&[], TimeRange::ALL, LabelWant::All).await.unwrap();
    let n = set.len();
    for (i, at) in (0..3 * n).map(|i| (i, i * 7919 % n)) {
        let from = T0 + (i as i64 * 37 % 390) * STEP;
        let range = TimeRange::new(from, from + 30 * STEP);
        let mut series = Series::default();
        set.decode(at, range, &mut series).unwrap();
        let labels = set.labels(at).to_string();
        let expected = expected(&rows, range).remove(&labels).unwrap_or_default();
        assert_eq!(bits(&series), expected, "{labels}");
    }
}

#[tokio::test]
async fn compaction_reads_whole_chunks_and_writes_the_same_again() {
    let shelf = Shelf::new();
    let rows = histograms(20);
    let block = dense_block(rows.clone());
    let mut stream = shelf.metrics(&block).await.rows();
    let mut got = Vec::new();
    while let Some(batch) = stream.next().await.unwrap() {
        got.extend(batch);
    }
    assert_eq!(got.len(), rows.len());
    assert_eq!(expected(&got, TimeRange::ALL), expected(&rows, TimeRange::ALL));
    assert_eq!(dense_block(got).bytes, block.bytes);
}

fn strange() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0i32..100).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(stale_nan()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_values_of_buckets_come_back(
        columns in prop::collection::vec(prop::collection::vec(strange(), 90), 2..6),
        sums in prop::collection::vec(any::<u64>(), 90),
        chunk in 1usize..90,
    ) {
        let times: Vec<i64> = (0..90).map(|i| T0 + i * STEP + i % 3).collect();
        let row = |le: String, values: &[f64]| {
            let samples: Vec<(i64, f64)> =
                times.iter().copied().zip(values.iter().copied()).collect();
            SeriesRow {
                labels: labels(&[("__name__", "b"), ("le", &le)]),
                floats: samples.chunks(chunk).map(float_chunk).collect(),
                ..SeriesRow::default()
            }
        };
        let mut total = vec![0.0; 90];
        let mut rows = Vec::new();
        for (i, column) in columns.iter().enumerate() {
            total.iter_mut().zip(column).for_each(|(sum, v)| *sum += v);
            rows.push(row(i.to_string(), &total));
            rows.push(row(format!("own {i}"), column));
        }
        let sums: Vec<f64> = sums.into_iter().map(f64::from_bits).collect();
        rows.push(row("sum".to_owned(), &sums));
        rows.push(row("sum again".to_owned(), &sums));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let shelf = Shelf::new();
            let reader = shelf.metrics(&dense_block(rows.clone())).await;
            let got = reader.select(&[], TimeRange::ALL).await.unwrap();
            assert_eq!(by_labels(&got), expected(&rows, TimeRange::ALL));
        });
    }
}

#[test]
fn a_dense_block_says_so_also_without_grids() {
    let alone = floats(labels(&[("__name__", "alone")]), &[(T0, 1.5), (T0 + 7, f64::MIN)]);
    assert_eq!(metric_block(vec![alone.clone()]).meta.format_version, 1);
    assert_eq!(dense_block(vec![alone]).meta.format_version, 3);
}

#[test]
fn long_fractions_take_less_than_as_xor() {
    let rows: Vec<SeriesRow> =
        histograms(6).into_iter().filter(|r| r.labels.get("le").is_none()).collect();
    let (mut times, mut values) = (Vec::new(), Vec::new());
    decode_floats(&rows[0].floats[0], &mut times, &mut values).unwrap();
    assert!(values.iter().any(|v| v.fract() != 0.0));
    let (plain, dense) = (metric_block(rows.clone()), dense_block(rows));
    let (dense, plain) = (dense.bytes.len(), plain.bytes.len());
    assert!(dense * 20 < plain * 19, "{dense} {plain}");
}

#[tokio::test]
async fn the_first_chunk_of_a_row_on_a_grid_is_meant_whatever_it_is() {
    let times: Vec<i64> = (0..N).map(|i| T0 + i * STEP).collect();
    let chunk = |starts: &[i64], value: &dyn Fn(i64) -> f64| {
        let values: Vec<f64> = (0..N).map(value).collect();
        let mut out = Vec::new();
        encode_started_floats(&times, &values, starts, &mut out);
        Bytes::from(out)
    };
    let wave = |i: i64| (i * i % 7919 * 1000) as f64;
    let row = |le: &str, floats: Vec<Bytes>| SeriesRow {
        labels: Labels::from_pairs([("__name__", "h_bucket"), ("le", le)]),
        floats,
        ..SeriesRow::default()
    };
    // The same times twice in one row: with start timestamps, then without.
    let rows = || {
        let twice = vec![chunk(&times, &|i| i as f64), chunk(&[], &wave)];
        vec![row("+Inf", twice), row("1", vec![chunk(&[], &|i| wave(i) - 1.0)])]
    };
    let shelf = Shelf::new();
    let block = dense_block(rows());
    let got = shelf.metrics(&block).await.select(&[], TimeRange::ALL).await.unwrap();
    let one = got.iter().find(|s| s.labels.get("le") == Some("1")).unwrap();
    let expected: Vec<f64> = (0..N).map(|i| wave(i) - 1.0).collect();
    assert_eq!(one.values, expected);
}
