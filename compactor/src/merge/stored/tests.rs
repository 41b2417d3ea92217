//! Blocks read as one, against plain sets.

use object_store::memory::InMemory;
use proptest::prelude::*;
use skald_catalog::{Author, Catalog, Change, DeleteRequest, Signal};
use skald_model::Labels;
use skald_runtime::{ManualClock, Rng};

use super::*;
use crate::meta;
use crate::testing::*;

/// Some blocks, and the view that has them and these requests.
async fn view(store: &Arc<dyn ObjectStore>, deletes: Vec<DeleteRequest>) -> Arc<View> {
    let author = Author { replica: "a".to_owned(), epoch: 1 };
    let (clock, config) = (ManualClock::at_ms(1), skald_catalog::Config::default());
    let catalog = Catalog::new(Arc::clone(store), clock, Rng::seeded(1), author, config);
    let change = Change { deletes, ..Change::default() };
    catalog.commit(&tenant(), change).await.unwrap();
    catalog.refresh(&tenant()).await.unwrap()
}

fn stored(store: &Arc<dyn ObjectStore>) -> Stored {
    Stored { store: Arc::clone(store), tenant: tenant(), cpu: CpuPool::new(1) }
}

fn delete(id: usize, query: &str, range: TimeRange, signal: Signal) -> DeleteRequest {
    let scale = if signal == Signal::Metrics { 1_000_000 } else { 1 };
    DeleteRequest {
        id: format!("{id}"),
        query: query.to_owned(),
        start_ns: range.start * scale,
        end_ns: (range.end - 1) * scale,
        signal: signal.into(),
        ..DeleteRequest::default()
    }
}

type Plain = Vec<(Labels, i64)>;

async fn samples(
    store: &Arc<dyn ObjectStore>,
    view: &View,
    blocks: &[BlockMeta],
    selector: &str,
    range: TimeRange,
) -> Plain {
    let matchers = skald_promql::syntax::parse_selector(selector).unwrap().matchers;
    let mut reading = stored(store).samples(view, blocks, matchers, range).await.unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reading.next().await.unwrap() {
        for s in batch {
            assert!(s.timestamps.is_sorted() && s.histograms.is_sorted_by_key(|(t, _)| *t));
            let times = s.timestamps.iter().chain(s.histograms.iter().map(|(t, _)| t));
            all.extend(times.map(|t| (s.labels.clone(), *t)));
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn samples_of_blocks_are_read_once_and_without_what_is_deleted(
        blocks in prop::collection::vec(
            prop::collection::vec((1u64..5, 0i64..60, 1i64..20), 1..6), 1..4),
        (start, len) in (0i64..60, 1i64..60),
        deleted in prop::collection::vec((0usize..2, 0i64..60, 1i64..30), 0..3),
        selector in prop::sample::select(vec!["m1", "{}", r#"{pod=~"p[24]"}"#]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let range = TimeRange::new(start, start + len);
            let queries = ["m1", r#"{pod="p2"}"#];
            let requests: Vec<(&str, TimeRange)> = deleted
                .iter()
                .map(|(q, from, n)| (queries[*q], TimeRange::new(*from, from + n)))
                .collect();
            let deletes = requests.iter().enumerate();
            let deletes = deletes.map(|(i, (q, r))| delete(i, q, *r, Signal::Metrics)).collect();
            let view = view(&store, deletes).await;
            let (mut inputs, mut wanted) = (Vec::new(), Vec::new());
            for (n, runs) in (0..).zip(&blocks) {
                let mut rows = std::collections::BTreeMap::new();
                for (s, from, n) in runs {
                    // Once of each series; of odd ones floats, of even ones histograms.
                    let times = *from..from + n;
                    let row = match s % 2 {
                        1 => floats(series(*s), &times.map(|t| (t, 1.0)).collect::<Vec<_>>()),
                        _ => SeriesRow {
                            labels: series(*s),
                            histograms: vec![histogram_chunk(&times.map(|t| (t, native(2))).collect::<Vec<_>>())],
                            ..SeriesRow::default()
                        },
                    };
                    rows.entry(*s).or_insert((row, *from..from + n));
                }
                wanted.extend(rows.iter().flat_map(|(s, (_, times))| times.clone().map(|t| (series(*s), t))));
                let rows = rows.into_values().map(|(row, _)| row).collect();
                inputs.push(metric_block(&store, n, "a", rows).await);
            }
            let matchers = |q: &str| skald_promql::syntax::parse_selector(q).unwrap().matchers;
            wanted.retain(|(labels, t): &(Labels, i64)| {
                let gone = |(q, r): &(&str, TimeRange)| r.contains(*t) && Matcher::all(&matchers(q), labels);
                range.contains(*t) && Matcher::all(&matchers(selector), labels) && !requests.iter().any(gone)
            });
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(samples(&store, &view, &inputs, selector, range).await, wanted);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn lines_of_blocks_are_read_once_and_without_what_is_deleted() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let all = TimeRange::new(0, 100);
    let deletes = vec![
        delete(1, r#"{app="a1"} |= "x3""#, all, Signal::Logs),
        delete(2, r#"{app="a2"}"#, TimeRange::new(0, 2), Signal::Logs),
    ];
    let view = view(&store, deletes).await;
    let of = |from: i64, to: i64| {
        let lines =
            (1..=3).flat_map(|app| (from..to).map(move |i| line(app, i, &format!("x{i}"), "m")));
        lines.collect::<Vec<_>>()
    };
    // Copies, and lines of one time that differ.
    let mut other = of(3, 9);
    other.push(line(1, 4, "other", ""));
    other.sort();
    let inputs =
        [log_block(&store, 1, "a", of(0, 6)).await, log_block(&store, 2, "b", other).await];
    let read = async |query: Option<&str>, range| {
        let selection = query.map(|q| Selection::parse(q).unwrap());
        let mut reading = stored(&store).lines(&view, &inputs, selection, range).await.unwrap();
        let mut all = Vec::new();
        while let Some(batch) = reading.next().await.unwrap() {
            for s in batch {
                let app = s.labels.get("app").unwrap_or("").to_owned();
                all.extend(s.entries.iter().map(|e| format!("{app} {}", e.text())));
            }
        }
        all
    };
    let a1 = ["a1 x0", "a1 x1", "a1 x2", "a1 x4", "a1 other", "a1 x5", "a1 x6", "a1 x7", "a1 x8"];
    assert_eq!(read(Some(r#"{app="a1"}"#), all).await, a1);
    let found = read(None, TimeRange::new(0, 4)).await;
    let want = ["a1 x0", "a1 x1", "a1 x2", "a2 x2", "a2 x3", "a3 x0", "a3 x1", "a3 x2", "a3 x3"];
    assert_eq!(found, want);
    assert_eq!(read(Some(r#"{app=~".+"} |= "x8""#), all).await, ["a1 x8", "a2 x8", "a3 x8"]);
    assert_eq!(read(Some(r#"{app="none"}"#), all).await, [""; 0]);
    let gone = skald_blocks::path(&tenant(), inputs[0].id);
    object_store::ObjectStoreExt::delete(&store, &gone).await.unwrap();
    let failed = stored(&store).lines(&view, &inputs, None, all).await.err().unwrap();
    assert!(failed.is_gone());
    assert!(meta::from_catalog(&meta::to_catalog(&inputs[0])).is_ok());
}
