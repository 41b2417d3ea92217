//! Series as queries take them: labels in part, samples decoded later, caches of any size.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skald_model::{Matcher, Series, SeriesId, TimeRange};

use super::metric::{any_matcher, model};
use super::*;
use crate::{CacheSizes, LabelWant, MetricSet};

type Answer = BTreeSet<(Vec<u8>, SeriesId, Vec<(i64, u64)>)>;

fn answer(set: &MetricSet, range: TimeRange) -> Answer {
    let one = |i: usize| {
        let mut series = Series::default();
        set.decode(i, range, &mut series).unwrap();
        assert!(series.n_samples() <= set.n_samples(i));
        let values = series.values.iter().map(|v| v.to_bits());
        let samples: Vec<(i64, u64)> = series.timestamps.iter().copied().zip(values).collect();
        (set.labels(i).as_bytes().to_vec(), set.id(i), samples)
    };
    (0..set.len()).map(one).filter(|(_, _, samples)| !samples.is_empty()).collect()
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["a", "b", "c", "rest", "__name__", "ü"]);
    prop::collection::btree_set(name, 0..4)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

/// Rare labels, so that most have no column of their own.
fn rare() -> Vec<SeriesRow> {
    let row = |i: i64| {
        let rare = format!("rare_{:02}", i % 60);
        let set =
            labels(&[("__name__", "m"), ("n", &i.to_string()), (&rare, &(i % 7).to_string())]);
        floats(set, &[(T0 + i, 1.0)])
    };
    (0..200).map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn labels_asked_for_come_with_the_ids_of_the_whole(
        model in model(),
        matchers in prop::collection::vec(any_matcher(), 0..3),
        bounds in (-60i64..60, -60i64..60, 0i64..20),
        names in names(),
    ) {
        let range = TimeRange::new(bounds.0, bounds.1);
        let inner = TimeRange::new(bounds.0 + bounds.2, bounds.1);
        let rows = model.iter().map(|(set, samples)| {
            let samples: Vec<_> = samples.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect();
            floats(Labels::from_pairs(set), &samples)
        });
        let block = metric_block(rows.collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (got, plain, found_names, found_values, sets) = runtime.block_on(async {
            let reader = Shelf::new().metrics(&block).await;
            let want = LabelWant::OnlyWithIds(&names);
            let got = reader.encoded(&matchers, range, want).await.unwrap();
            let plain = reader.encoded(&matchers, range, LabelWant::Only(&names)).await.unwrap();
            let found_names = reader.label_names(&matchers, range).await.unwrap();
            let found_values = reader.label_values("a", &matchers, range).await.unwrap();
            let sets = reader.labels(&matchers, range).await.unwrap();
            (answer(&got, inner), plain, found_names, found_values, sets)
        });
        let whole = |set: &std::collections::BTreeMap<String, String>| Labels::from_pairs(set);
        let expected: Answer = model
            .iter()
            .filter(|(set, _)| Matcher::all(&matchers, &whole(set)))
            .map(|(set, samples)| {
                let inside = |t: &i64| range.contains(*t) && inner.contains(*t);
                let samples = samples.iter().filter(|(t, _)| inside(t)).map(|(t, v)| (*t, *v));
                let some = whole(set).filter(|n| names.iter().any(|name| name == n));
                (some.as_bytes().to_vec(), whole(set).id(), samples.collect::<Vec<_>>())
            })
            .filter(|(_, _, samples)| !samples.is_empty())
            .collect();
        for i in 0..plain.len() {
            let labels = plain.labels(i);
            prop_assert!(labels.iter().all(|(n, _)| names.iter().any(|name| name == n)));
        }
        prop_assert_eq!(got, expected);
        let pairs = || sets.iter().flat_map(Labels::iter);
        let sorted = |items: BTreeSet<String>| items.into_iter().collect::<Vec<_>>();
        let all_names = pairs().map(|(n, _)| n.to_owned()).collect();
        prop_assert_eq!(found_names, sorted(all_names));
        let values = pairs().filter(|(n, _)| *n == "a").map(|(_, v)| v.to_owned());
        prop_assert_eq!(found_values, sorted(values.collect()));
    }
}

#[tokio::test]
async fn labels_without_columns_of_their_own_are_projected_and_listed() {
    let reader = Shelf::new().metrics(&metric_block(rare())).await;
    let names = ["rare_03".to_owned(), "rare_55".to_owned()];
    let set = reader.encoded(&[], TimeRange::ALL, LabelWant::Only(&names)).await.unwrap();
    assert_eq!(set.len(), 200);
    let got: BTreeSet<String> = (0..200).map(|i| set.labels(i).to_string()).collect();
    let expected: BTreeSet<String> = rare()
        .iter()
        .map(|row| row.labels.filter(|n| names.iter().any(|name| name == n)).to_string())
        .collect();
    assert_eq!(got, expected);
    let values = reader.label_values("rare_03", &[], TimeRange::ALL).await.unwrap();
    assert_eq!(values, ["0", "1", "3", "4"]);
    assert_eq!(reader.label_names(&[], TimeRange::ALL).await.unwrap().len(), 62);
    let one = Matcher::equal("n", "63");
    let found = reader.label_names(&[one], TimeRange::ALL).await.unwrap();
    assert_eq!(found, ["__name__", "n", "rare_03"]);
}

#[tokio::test]
async fn what_only_the_last_row_has_is_listed_too() {
    let row = |i: i64| {
        let (name, last) = (format!("m_{i:04}"), if i == 999 { "z" } else { "a" });
        let mut pairs = vec![("__name__", name.as_str()), ("last", last)];
        pairs.extend((i == 999).then_some(("late", "1")));
        floats(labels(&pairs), &[(T0 + i, 1.0)])
    };
    let reader = Shelf::new().metrics(&metric_block((0..1000).map(row).collect())).await;
    let (all, early) = (TimeRange::ALL, TimeRange::new(T0, T0 + 999));
    assert_eq!(reader.label_values("last", &[], all).await.unwrap(), ["a", "z"]);
    assert_eq!(reader.label_values("last", &[], early).await.unwrap(), ["a"]);
    assert_eq!(reader.label_names(&[], all).await.unwrap(), ["__name__", "last", "late"]);
    assert_eq!(reader.label_names(&[], early).await.unwrap(), ["__name__", "last"]);
    let not_a = Matcher::new(skald_model::MatchOp::NotEqual, "last", "a").unwrap();
    assert_eq!(reader.label_values("last", &[not_a], all).await.unwrap(), ["z"]);
}

#[tokio::test]
async fn a_cache_that_holds_nothing_only_costs_time() {
    let mut shelf = Shelf::new();
    let reader = shelf.metrics(&metric_block(rare())).await;
    let expected = reader.select(&[], TimeRange::ALL).await.unwrap();
    let sizes = CacheSizes { footers: 0, index: 0, pages: 0 };
    shelf.cache = Arc::new(FooterCache::with_sizes(sizes));
    let reader = shelf.metrics(&metric_block(rare())).await;
    for misses in 1..3 {
        assert_eq!(reader.select(&[], TimeRange::ALL).await.unwrap(), expected);
        let stats = reader.read_stats().snapshot();
        assert_eq!((stats.index_misses, stats.page_misses), (misses, misses));
    }
    assert_eq!(shelf.cache.size_bytes(), 0);
}

#[tokio::test]
async fn queries_that_come_together_load_the_index_once() {
    let shelf = Shelf::new();
    let reader = shelf.metrics(&metric_block(rare())).await;
    let one = || reader.labels(&[], TimeRange::ALL);
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert_eq!((a.unwrap().len(), b.unwrap().len(), c.unwrap().len()), (200, 200, 200));
    let stats = reader.read_stats().snapshot();
    assert_eq!((stats.index_misses, stats.index_hits), (1, 2));
}
