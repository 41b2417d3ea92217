//! Whole rounds over a real catalog: merging, retention, conflicts, damage, crashes at every put.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use skald_blocks::{BlockMeta, SeriesRow};
use skald_catalog::{Author, Change};
use skald_limits::Limits;
use skald_model::TenantId;
use skald_runtime::{HumanDuration, ManualClock};
use skald_store::faulty::{Fault, FaultyStore, Op};
use tower::ServiceExt;

use super::*;
use crate::meta;
use crate::testing::*;

mod model;

const START_MS: i64 = 100 * 86_400_000;

/// A process: its own catalog cache and compactor over a store that may be shared.
struct Process {
    store: Arc<dyn ObjectStore>,
    catalog: Catalog,
    compactor: Compactor,
    clock: Arc<ManualClock>,
    registry: Registry,
}

impl Process {
    fn new(store: Arc<dyn ObjectStore>, config: Config, limits: Limits, seed: u64) -> Self {
        let clock = ManualClock::at_ms(START_MS);
        Self::at(store, config, limits, seed, &clock, skald_catalog::Config::default())
    }

    fn at(
        store: Arc<dyn ObjectStore>,
        config: Config,
        limits: Limits,
        seed: u64,
        clock: &Arc<ManualClock>,
        settings: skald_catalog::Config,
    ) -> Self {
        let clock = Arc::clone(clock);
        let rng = Rng::seeded(seed);
        let author = Author { replica: format!("compactor-{seed}"), epoch: 1 };
        let shared: SharedClock = Arc::clone(&clock) as SharedClock;
        let catalog =
            Catalog::new(Arc::clone(&store), Arc::clone(&shared), rng.clone(), author, settings);
        let parts = Parts {
            store: Arc::clone(&store),
            catalog: catalog.clone(),
            overrides: Overrides::fixed(limits),
            clock: shared,
            rng,
            cpu: CpuPool::new(2),
            share: None,
            auto_deletion_delay: Duration::ZERO,
        };
        let mut registry = Registry::default();
        let compactor = Compactor::new(config, parts, &mut registry).unwrap();
        Self { store, catalog, compactor, clock, registry }
    }

    fn simple(store: Arc<dyn ObjectStore>, seed: u64) -> Self {
        Self::new(store, Config::default(), Limits::default(), seed)
    }

    async fn commit(&self, blocks: &[BlockMeta]) {
        let adds = blocks.iter().map(meta::to_catalog).collect();
        self.catalog.commit(&tenant(), Change { adds, ..Change::default() }).await.unwrap();
    }

    async fn blocks(&self) -> Vec<BlockMeta> {
        let view = self.catalog.refresh(&tenant()).await.unwrap();
        view.blocks.iter().map(|b| meta::from_catalog(b).unwrap()).collect()
    }

    async fn contents(&self) -> (Samples, Vec<Line>) {
        let blocks = self.blocks().await;
        let samples = all_samples(&self.store, &blocks).await;
        (samples, all_lines(&self.store, &blocks).await)
    }

    fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().any(|l| l == line)
    }

    /// Names of the objects that hold blocks.
    async fn objects(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        let prefix = object_store::path::Path::from("t/t/b");
        let listed = self.store.list(Some(&prefix)).map_ok(|m| m.location.to_string());
        let mut listed: Vec<String> = listed.try_collect().await.unwrap();
        listed.sort();
        listed
    }
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Blocks of one replica that follow each other, metrics and logs; each hour has ten samples and lines.
async fn hours(store: &Arc<dyn ObjectStore>, hours: std::ops::Range<i64>) -> Vec<BlockMeta> {
    let mut blocks = Vec::new();
    for hour in hours {
        let at = START_MS + hour * 3_600_000;
        let samples: Vec<(i64, f64)> =
            (0i32..10).map(|i| (at + i64::from(i), f64::from(i))).collect();
        let n = u128::try_from(hour).unwrap();
        let rows = vec![floats(series(1), &samples), floats(series(2), &samples)];
        blocks.push(metric_block(store, 2 * n, "a", rows).await);
        let lines = samples.iter().map(|(ts, v)| line(1, ts * 1_000_000, &format!("{v}"), ""));
        blocks.push(log_block(store, 2 * n + 1, "a", lines.collect()).await);
    }
    blocks
}

#[tokio::test]
async fn everything_of_a_day_becomes_one_block_per_signal_and_the_old_objects_go() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..5).await).await;
    let before = process.contents().await;
    let report = process.compactor.compact_all().await.unwrap();
    let wanted = Report {
        tenants: 1,
        merges: 2,
        blocks_merged: 10,
        blocks_written: 2,
        blocks_deleted: 10,
        ..Report::default()
    };
    assert_eq!(report, wanted);
    assert_eq!(process.contents().await, before);
    assert_eq!((process.blocks().await.len(), process.objects().await.len()), (2, 2));
    assert!(process.metric(r#"blocks_merged_total{signal="metrics"} 5"#));
    let again = process.compactor.compact_all().await.unwrap();
    assert_eq!(again, Report { tenants: 1, ..Report::default() });
}

#[tokio::test]
async fn replica_copies_become_one_copy() {
    let process = Process::simple(memory(), 1);
    let mut lines = Vec::new();
    for (n, source) in (0..).zip(["a", "b", "c"]) {
        let rows = vec![floats(series(1), &[(START_MS, 1.0), (START_MS + 1 + n, 2.0)])];
        let n = u128::try_from(n).unwrap();
        let metrics = metric_block(&process.store, n, source, rows).await;
        lines =
            vec![line(1, START_MS * 1_000_000, "x", ""), line(1, START_MS * 1_000_000, "y", "")];
        let logs = log_block(&process.store, 10 + n, source, lines.clone()).await;
        process.commit(&[metrics, logs]).await;
    }
    process.compactor.round(Effort::Routine).await.unwrap();
    let (samples, got) = process.contents().await;
    assert_eq!((samples.len(), got), (4, lines));
    assert!(samples.values().all(|copies| copies.len() == 1));
}

#[tokio::test]
async fn no_block_becomes_larger_than_it_may_whatever_comes_together() {
    for seed in 0..4 {
        let max_block_size = skald_runtime::ByteSize(1 << 20);
        let config = Config { max_block_size, ..Config::default() };
        let process = Process::new(memory(), config, Limits::default(), seed);
        let rng = Rng::seeded(seed);
        let below = |n: u64| i64::try_from(rng.below(n)).unwrap();
        // Up to three replicas with copies of up to 4 MB, in one to three blocks each.
        let lens: Vec<i64> = (0..20 + below(30)).map(|_| 1 + below(200)).collect();
        for (source, n) in ["a", "b", "c"].into_iter().zip(0..=rng.below(3)) {
            let part = lens.len().div_ceil(1 + usize::try_from(rng.below(3)).unwrap());
            for (i, lens) in lens.chunks(part).enumerate() {
                let id = u128::from(n) * 10 + i as u128;
                let rows = noisy_histograms((i * part) as u64, lens);
                process.commit(&[metric_block(&process.store, id, source, rows).await]).await;
            }
        }
        let mut wanted = Samples::new();
        noisy_histograms(0, &lens).iter().for_each(|row| samples_of(row, &mut wanted));
        for effort in [Effort::Routine, Effort::Full] {
            process.compactor.round(effort).await.unwrap();
            assert!(process.contents().await.0 == wanted, "seed {seed}");
            assert_eq!(process.compactor.round(effort).await.unwrap().merges, 0, "seed {seed}");
        }
        let sizes: Vec<_> = process.blocks().await.iter().map(|b| b.size_bytes).collect();
        assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 1 << 20), "{seed}: {sizes:?}");
    }
}

/// The gauges of what waits: hours, blocks, bytes.
fn backlog(process: &Process) -> [f64; 3] {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &process.registry).unwrap();
    ["hours", "blocks", "bytes"].map(|unit| {
        let name = format!("backlog_{unit} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&name)).unwrap();
        value.parse().unwrap()
    })
}

#[tokio::test(start_paused = true)]
#[expect(clippy::float_cmp, reason = "the same numbers, computed alike")]
async fn what_waits_is_told_until_it_is_done() {
    let faulty = FaultyStore::new(memory(), 1);
    let process = Process::simple(Arc::clone(&faulty) as _, 1);
    let blocks = hours(&faulty.inner(), 0..5).await;
    process.commit(&blocks).await;
    process.clock.advance_ms(5 * 3_600_000);
    assert_eq!(backlog(&process), [0.0; 3]);
    // Nothing can be written: all of it waits, since an hour with ten milliseconds of data in it ended.
    faulty.always(Op::Put, Fault::ErrorBefore);
    process.compactor.round(Effort::Routine).await.unwrap_err();
    let bytes = blocks.iter().map(|b| b.size_bytes).sum::<u64>() as f64;
    let hours = |ms: i32| f64::from(ms) / 3_600_000.0;
    assert_eq!(backlog(&process), [hours(5 * 3_600_000 - 9), 10.0, bytes]);
    process.clock.advance_ms(3_600_000);
    process.compactor.round(Effort::Routine).await.unwrap_err();
    assert_eq!(backlog(&process), [hours(6 * 3_600_000 - 9), 10.0, bytes]);
    faulty.clear();
    process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!(backlog(&process), [0.0; 3]);
    assert_eq!(process.blocks().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_seen_of_tenants_whose_turn_is_long_in_coming() {
    let faulty = FaultyStore::new(memory(), 1);
    let process = Process::simple(Arc::clone(&faulty) as _, 1);
    process.commit(&hours(&faulty.inner(), 0..5).await).await;
    let first = TenantId::parse("a").unwrap();
    let delete = skald_catalog::DeleteRequest {
        id: "a".to_owned(),
        query: r#"{app="none"}"#.to_owned(),
        created_ms: START_MS - 30 * 86_400_000,
        ..Default::default()
    };
    let change = Change { deletes: vec![delete], ..Change::default() };
    process.catalog.commit(&first, change).await.unwrap();
    process.clock.advance_ms(7 * 3_600_000);
    // The first tenant's turn lasts for two days.
    faulty.always(Op::Put, Fault::Latency(Duration::from_secs(2 * 86_400)));
    let round = process.compactor.round(Effort::Routine);
    let waits = async {
        while backlog(&process)[1] == 0.0 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        backlog(&process)[0]
    };
    tokio::select! {
        report = round => panic!("{report:?} before it was seen"),
        hours = waits => assert!((6.9..7.1).contains(&hours), "{hours}"),
    }
}

/// The share of a compactor that has all tenants for a while.
#[derive(Debug, Default)]
struct Until(std::sync::atomic::AtomicBool);

impl Share for Until {
    fn is_mine(&self, _: &TenantId) -> bool {
        !self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::float_cmp, reason = "the same numbers, computed alike")]
async fn what_waits_of_a_tenant_is_told_by_whoever_has_it() {
    let faulty = FaultyStore::new(memory(), 1);
    let process = Process::simple(Arc::clone(&faulty) as _, 1);
    process.commit(&hours(&faulty.inner(), 0..5).await).await;
    let share = Arc::new(Until::default());
    let parts = process.compactor.inner.parts.clone();
    let parts = Parts { share: Some(Arc::clone(&share) as _), ..parts };
    let mut registry = Registry::default();
    let compactor = Compactor::new(Config::default(), parts, &mut registry).unwrap();
    let process = Process { compactor, registry, ..process };
    faulty.always(Op::Put, Fault::ErrorBefore);
    process.compactor.round(Effort::Routine).await.unwrap_err();
    assert!(backlog(&process)[1] > 0.0);
    share.0.store(true, std::sync::atomic::Ordering::Relaxed);
    process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!(backlog(&process), [0.0; 3]);
}

/// The share of a compactor: one tenant.
#[derive(Debug)]
struct Only(&'static str);

impl Share for Only {
    fn is_mine(&self, tenant: &TenantId) -> bool {
        tenant.as_str() == self.0
    }
}

#[tokio::test]
async fn routine_work_is_done_for_the_tenants_of_ones_own_share_only() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..5).await).await;
    let other = TenantId::parse("other").unwrap();
    let delete = skald_catalog::DeleteRequest {
        id: "a".to_owned(),
        query: r#"{app="none"}"#.to_owned(),
        start_ns: 0,
        end_ns: 1,
        created_ms: START_MS,
        finished_ms: 0,
        signal: 0,
    };
    let change = Change { deletes: vec![delete], ..Change::default() };
    process.catalog.commit(&other, change).await.unwrap();
    let sharing = |only| {
        let parts = process.compactor.inner.parts.clone();
        let parts = Parts { share: Some(Arc::new(Only(only))), ..parts };
        Compactor::new(Config::default(), parts, &mut Registry::default()).unwrap()
    };
    let (theirs, ours) = (sharing("other"), sharing("t"));
    // Old enough for routine work.
    process.clock.advance_ms(2 * 86_400_000);
    let idle = theirs.round(Effort::Routine).await.unwrap();
    assert_eq!(idle, Report { tenants: 1, ..Report::default() });
    assert_eq!(process.blocks().await.len(), 10);
    let busy = ours.round(Effort::Routine).await.unwrap();
    assert_eq!((busy.tenants, busy.merges, process.blocks().await.len()), (1, 2, 2));
    // On demand, whoever is asked does all.
    assert_eq!(theirs.compact_all().await.unwrap().tenants, 2);
}

#[tokio::test]
async fn a_held_view_keeps_its_blocks_and_a_delay_keeps_all() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..2).await).await;
    let held = process.catalog.refresh(&tenant()).await.unwrap();
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_deleted, 0);
    for block in &held.blocks {
        let block = meta::from_catalog(block).unwrap();
        process.store.head(&skald_blocks::path(&tenant(), block.id)).await.unwrap();
    }
    drop(held);
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_deleted, 4);

    let hour = HumanDuration::from_secs(3600);
    let config = Config { deletion_delay: crate::DeletionDelay::After(hour), ..Config::default() };
    let process = Process::new(memory(), config, Limits::default(), 1);
    process.commit(&hours(&process.store, 0..2).await).await;
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_deleted, 0);
    process.clock.advance_ms(3_600_000);
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_deleted, 4);
}

#[tokio::test]
async fn retention_drops_blocks_and_rows_by_the_limit_of_each_signal() {
    let limits = Limits {
        compactor_blocks_retention_period: HumanDuration::from_secs(2 * 3600),
        ..Limits::default()
    };
    let process = Process::new(memory(), Config::default(), limits, 1);
    process.commit(&hours(&process.store, 0..4).await).await;
    // Five samples into the third hour: two blocks are past, and half of the third.
    process.clock.advance_ms(4 * 3_600_000 + 5);
    let report = process.compactor.compact_all().await.unwrap();
    assert_eq!((report.blocks_expired, report.merges), (2, 2));
    let (samples, lines) = process.contents().await;
    let oldest = samples.keys().map(|(_, ts)| *ts).min();
    assert_eq!((samples.len(), oldest), (2 * 15, Some(START_MS + 2 * 3_600_000 + 5)));
    assert_eq!(lines.len(), 40);
}

#[tokio::test]
async fn the_oldest_blocks_go_while_a_tenant_has_more_bytes_than_it_may() {
    // No merges: each hour is a day of its own, and none of these is over.
    let days = |store: Arc<dyn ObjectStore>| async move {
        let mut all = Vec::new();
        for day in 0..4 {
            all.extend(hours(&store, day * 24..day * 24 + 1).await);
        }
        all
    };
    let store = memory();
    let blocks = days(Arc::clone(&store)).await;
    let sizes = |signal| {
        let of: Vec<u64> =
            blocks.iter().filter(|b| b.signal == signal).map(|b| b.size_bytes).collect();
        of
    };
    let (metrics, logs) = (sizes(skald_model::Signal::Metrics), sizes(skald_model::Signal::Logs));
    let limits = Limits {
        // Two fit exactly; and not even one.
        compactor_blocks_retention_bytes: skald_runtime::ByteSize(metrics[2] + metrics[3]),
        retention_bytes: skald_runtime::ByteSize(1),
        ..Limits::default()
    };
    let process = Process::new(store, Config::default(), limits, 1);
    process.commit(&blocks).await;
    let report = process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!((report.blocks_expired, report.blocks_deleted, report.merges), (5, 5, 0));
    let (samples, lines) = process.contents().await;
    let oldest = samples.keys().map(|(_, ts)| *ts).min();
    assert_eq!((samples.len(), oldest), (40, Some(START_MS + 48 * 3_600_000)));
    assert_eq!(
        (lines.len(), lines[0].1.timestamp_ns),
        (10, (START_MS + 72 * 3_600_000) * 1_000_000)
    );
    assert!(process.metric(r#"blocks_expired_total{reason="bytes"} 5"#));
    let bytes = metrics[0] + metrics[1] + logs[..3].iter().sum::<u64>();
    assert!(process.metric(&format!(r#"expired_bytes_total{{reason="bytes"}} {bytes}"#)));
    assert!(process.metric(r#"blocks_expired_total{reason="period"} 0"#));
    let again = process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!(again, Report { tenants: 1, ..Report::default() });
}

#[tokio::test]
async fn a_flushed_metric_block_that_is_alone_is_written_anew_once_and_a_log_block_is_not() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..1).await).await;
    let before = process.contents().await;
    let dense = async || {
        let blocks = process.blocks().await;
        let of =
            |b: &BlockMeta| ((b.signal == skald_model::Signal::Metrics, b.level), b.format_version);
        blocks.iter().map(of).collect::<BTreeMap<_, _>>()
    };
    // Others of its day may come.
    process.clock.advance_ms(86_400_000 - 1);
    assert_eq!(process.compactor.round(Effort::Routine).await.unwrap().merges, 0);
    process.clock.advance_ms(1);
    let report = process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!((report.merges, report.blocks_merged, report.blocks_written), (1, 1, 1));
    assert_eq!(dense().await, [((false, 0), 2), ((true, 1), 3)].into());
    assert_eq!(process.contents().await, before);
    for effort in [Effort::Routine, Effort::Full] {
        assert_eq!(process.compactor.round(effort).await.unwrap().merges, 0);
    }
}

#[tokio::test]
async fn what_retention_would_remove_is_told_and_stays() {
    let hour = HumanDuration::from_secs(3600);
    let store = memory();
    let blocks = hours(&store, 0..6).await;
    let sizes: Vec<u64> = blocks.iter().step_by(2).map(|b| b.size_bytes).collect();
    let limits = Limits {
        compactor_blocks_retention_period: HumanDuration::from_secs(4 * 3600),
        compactor_blocks_retention_bytes: skald_runtime::ByteSize(sizes[4] + sizes[5]),
        retention_stream: vec![skald_limits::StreamRetention {
            selector: r#"{app="a1"}"#.to_owned(),
            priority: 0,
            period: hour,
        }],
        ..Limits::default()
    };
    let process = Process::new(store, Config::default(), limits, 1);
    process.commit(&blocks).await;
    let deletes = vec![delete_samples("a", "m1", 0, 5)];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    // One block is past, and half of the next.
    process.clock.advance_ms(5 * 3_600_000 + 5);
    let ask = async |uri: &str| {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let answer = process.compactor.router().oneshot(request).await.unwrap();
        let status = answer.status();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    };
    let (status, body) = ask("/compactor/retention?tenant=t").await;
    assert_eq!(status, StatusCode::OK);
    let got: Retention = serde_json::from_slice(&body).unwrap();
    let amount = |sizes: &[u64]| Amount {
        blocks: sizes.len() as u64,
        bytes: sizes.iter().sum(),
        rows: 20 * sizes.len() as u64,
    };
    let metrics = OfSignal {
        period: "4h".to_owned(),
        cutoff: Some(START_MS + 3_600_000 + 5),
        max_bytes: sizes[4] + sizes[5],
        stored: amount(&sizes),
        past_period: amount(&sizes[..1]),
        over_bytes: amount(&sizes[1..4]),
        partly_past_period: 1,
    };
    assert_eq!(got.metrics, metrics);
    assert_eq!((got.logs.period.as_str(), got.logs.cutoff, got.logs.stored.rows), ("0s", None, 60));
    assert_eq!((got.streams.len(), got.blocks_past_a_stream_rule, got.due_deletes), (1, 4, 0));
    assert_eq!(process.blocks().await.len(), 12);
    assert_eq!(ask("/compactor/retention").await.0, StatusCode::BAD_REQUEST);
    let (_, nobody) = ask("/compactor/retention?tenant=nobody").await;
    let nobody: Retention = serde_json::from_slice(&nobody).unwrap();
    assert_eq!(nobody.metrics.stored, Amount::default());
}

#[tokio::test]
async fn copies_of_replicas_count_once_against_the_bytes() {
    let store = memory();
    let day = |n: i64| START_MS + n * 86_400_000;
    let of = |n: i64| {
        let samples: Vec<(i64, f64)> = (0..500).map(|i| (day(n) + i * 7, (i * i) as f64)).collect();
        vec![floats(series(1), &samples)]
    };
    let old = metric_block(&store, 1, "a", of(0)).await;
    let mut copies = Vec::new();
    for (n, source) in (2..).zip(["a", "b", "c"]) {
        copies.push(metric_block(&store, n, source, of(1)).await);
    }
    let limits = Limits {
        compactor_blocks_retention_bytes: skald_runtime::ByteSize(3 * old.size_bytes),
        ..Limits::default()
    };
    let process = Process::new(store, Config::default(), limits, 1);
    process.commit(&[old]).await;
    process.commit(&copies).await;
    let report = process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!((report.merges, report.blocks_expired), (1, 0));
    assert_eq!(process.contents().await.0.len(), 1000);
}

/// Ten lines each of three streams, in one block.
async fn three_streams(store: &Arc<dyn ObjectStore>, n: u128) -> BlockMeta {
    let at = START_MS * 1_000_000;
    let lines =
        (1..=3).flat_map(|app| (0..10).map(move |i| line(app, at + i, &format!("x{i}"), "")));
    log_block(store, n, "a", lines.collect()).await
}

fn of_app(lines: &[Line], app: &str) -> Vec<String> {
    let mine = lines.iter().filter(|(labels, _)| labels.get("app") == Some(app));
    mine.map(|(_, e)| e.text().to_owned()).collect()
}

#[tokio::test]
async fn requests_to_delete_are_carried_out_when_they_are_due_and_then_finished() {
    let process = Process::simple(memory(), 1);
    process.commit(&[three_streams(&process.store, 1).await]).await;
    let delete = |id: &str, query: &str, from: i64, to: i64| skald_catalog::DeleteRequest {
        id: id.to_owned(),
        query: query.to_owned(),
        start_ns: START_MS * 1_000_000 + from,
        end_ns: START_MS * 1_000_000 + to,
        created_ms: START_MS,
        finished_ms: 0,
        signal: 0,
    };
    let deletes = vec![
        delete("a", r#"{app="a1"}"#, 2, 4),
        delete("b", r#"{app="a2"} |= "x7""#, 0, 9),
        delete("c", r#"{app="none"}"#, 0, 9),
    ];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    let open = || async {
        let view = process.catalog.refresh(&tenant()).await.unwrap();
        view.deletes.values().filter(|d| d.finished_ms == 0).count()
    };
    process.clock.advance_ms(26 * 3_600_000 - 1);
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_written, 0);
    assert_eq!((process.contents().await.1.len(), open().await), (30, 3));
    process.clock.advance_ms(1);
    let report = process.compactor.compact_all().await.unwrap();
    assert_eq!((report.blocks_written, open().await), (1, 0));
    let lines = process.contents().await.1;
    assert_eq!(of_app(&lines, "a1"), ["x0", "x1", "x5", "x6", "x7", "x8", "x9"]);
    let a2 = of_app(&lines, "a2");
    assert_eq!((a2.len(), a2.contains(&"x7".to_owned())), (9, false));
    assert_eq!(of_app(&lines, "a3").len(), 10);
    assert_eq!(process.compactor.compact_all().await.unwrap().blocks_written, 0);
    // Due before the block was written, had the limits been then what they are now.
    let deletes = vec![delete("d", r#"{app="a3"}"#, 0, 0)];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    process.clock.advance_ms(1);
    let report = process.compactor.compact_all().await.unwrap();
    assert_eq!((report.blocks_written, open().await), (1, 0));
    assert_eq!(of_app(&process.contents().await.1, "a3").len(), 9);
    // Finished requests are forgotten in the end.
    process.clock.advance_ms(31 * 86_400_000);
    process.compactor.compact_all().await.unwrap();
    assert!(process.catalog.refresh(&tenant()).await.unwrap().deletes.is_empty());
}

#[tokio::test]
async fn what_was_merged_while_lines_were_only_hidden_is_written_anew() {
    let store = memory();
    let limits =
        Limits { deletion_mode: skald_limits::DeletionMode::FilterOnly, ..Limits::default() };
    let hiding = Process::new(Arc::clone(&store), Config::default(), limits, 1);
    hiding.commit(&[three_streams(&store, 1).await, three_streams(&store, 2).await]).await;
    let delete = skald_catalog::DeleteRequest {
        id: "a".to_owned(),
        query: r#"{app="a1"} |= "x7""#.to_owned(),
        start_ns: START_MS * 1_000_000,
        end_ns: START_MS * 1_000_000 + 9,
        created_ms: START_MS,
        finished_ms: 0,
        signal: 0,
    };
    let change = Change { deletes: vec![delete], ..Change::default() };
    hiding.catalog.commit(&tenant(), change).await.unwrap();
    // Its clock is ahead.
    hiding.clock.advance_ms(29 * 3_600_000);
    assert_eq!(hiding.compactor.compact_all().await.unwrap().blocks_written, 1);
    assert_eq!(hiding.contents().await.1.len(), 30);
    let deleting = Process::simple(store, 2);
    deleting.clock.advance_ms(28 * 3_600_000);
    assert_eq!(deleting.compactor.compact_all().await.unwrap().blocks_written, 1);
    let left = of_app(&deleting.contents().await.1, "a1");
    assert_eq!((left.len(), left.contains(&"x7".to_owned())), (9, false));
    let view = deleting.catalog.refresh(&tenant()).await.unwrap();
    assert!(view.deletes.values().all(|d| d.finished_ms != 0));
}

fn delete_samples(id: &str, query: &str, from_ms: i64, to_ms: i64) -> skald_catalog::DeleteRequest {
    skald_catalog::DeleteRequest {
        id: id.to_owned(),
        query: query.to_owned(),
        start_ns: (START_MS + from_ms) * 1_000_000,
        end_ns: (START_MS + to_ms) * 1_000_000,
        created_ms: START_MS,
        finished_ms: 0,
        signal: skald_catalog::Signal::Metrics.into(),
    }
}

/// Series of floats, of histograms and of both, with exemplars, and one that is far from the others.
async fn samples_of_all_kinds(store: &Arc<dyn ObjectStore>) -> Vec<BlockMeta> {
    let times = || (0..10).map(|i| START_MS + i);
    let row = SeriesRow {
        exemplars: times().map(|t| exemplar(t, 1.0)).collect(),
        ..floats(series(1), &times().map(|t| (t, 1.0)).collect::<Vec<_>>())
    };
    let histograms: Vec<_> = times().map(|t| (t, native(3))).collect();
    let of = |n, histograms: &[(i64, skald_model::Histogram)]| SeriesRow {
        labels: series(n),
        histograms: vec![histogram_chunk(histograms)],
        ..SeriesRow::default()
    };
    let mixed = SeriesRow {
        floats: vec![float_chunk(&[(START_MS, 1.0), (START_MS + 9, 1.0)])],
        ..of(5, &histograms[3..6])
    };
    let first = metric_block(store, 1, "a", vec![row, of(3, &histograms), mixed]).await;
    let gap = floats(series(2), &[(START_MS, 1.0), (START_MS + 100, 2.0)]);
    vec![first, metric_block(store, 2, "a", vec![gap]).await]
}

#[tokio::test]
async fn samples_are_deleted_when_requests_are_due_and_then_these_are_finished() {
    let process = Process::simple(memory(), 1);
    process.commit(&samples_of_all_kinds(&process.store).await).await;
    let before = process.contents().await.0;
    let deletes = vec![
        delete_samples("a", "m1", 2, 4),
        delete_samples("b", r#"{pod="p5"}"#, 0, 200),
        // Between the samples of a series.
        delete_samples("c", "m0", 1, 99),
        delete_samples("d", "none", 0, 200),
    ];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    let open = || async {
        let view = process.catalog.refresh(&tenant()).await.unwrap();
        view.deletes.values().filter(|d| d.finished_ms == 0).count()
    };
    process.clock.advance_ms(26 * 3_600_000 - 1);
    process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!((process.contents().await.0, open().await), (before.clone(), 4));
    process.clock.advance_ms(1);
    let report = process.compactor.round(Effort::Routine).await.unwrap();
    // The block with the gap is not written anew.
    assert_eq!((report.blocks_written, report.blocks_merged, open().await), (1, 1, 0));
    let mut wanted = before;
    wanted.retain(|(labels, t), _| {
        let in_range = (START_MS + 2..=START_MS + 4).contains(t);
        labels.get("pod") != Some("p5") && !(labels.get("__name__") == Some("m1") && in_range)
    });
    assert_eq!(wanted.len(), 7 + 7 + 2);
    assert_eq!(process.contents().await.0, wanted);
    let rows = metric_rows(&process.store, &process.blocks().await).await;
    let row = rows.iter().find(|row| row.labels == series(1)).unwrap();
    let times: Vec<i64> = row.exemplars.iter().map(|e| e.timestamp_ms - START_MS).collect();
    assert_eq!(times, [0, 1, 5, 6, 7, 8, 9]);
    assert_eq!(process.compactor.round(Effort::Routine).await.unwrap().blocks_written, 0);
    // All of a block; and an exemplar where there is no sample.
    let deletes = vec![delete_samples("e", "{}", -5, 50)];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    process.compactor.round(Effort::Routine).await.unwrap();
    assert_eq!((process.contents().await.0.len(), open().await), (1, 0));
    assert_eq!(process.blocks().await.len(), 1);
}

#[tokio::test]
async fn requests_for_samples_are_not_taken_for_such_for_lines() {
    let process = Process::simple(memory(), 1);
    process.commit(&[three_streams(&process.store, 1).await]).await;
    let only = SeriesRow {
        exemplars: vec![exemplar(START_MS + 1, 1.0)],
        ..floats(series(1), &[(START_MS + 9, 1.0)])
    };
    process.commit(&[metric_block(&process.store, 2, "a", vec![only]).await]).await;
    let deletes = vec![delete_samples("a", r#"{app="a1"}"#, 0, 9), delete_samples("b", "m1", 0, 5)];
    process.catalog.commit(&tenant(), Change { deletes, ..Change::default() }).await.unwrap();
    process.clock.advance_ms(26 * 3_600_000);
    process.compactor.compact_all().await.unwrap();
    let (samples, lines) = process.contents().await;
    assert_eq!((samples.len(), lines.len()), (1, 30));
    let rows = metric_rows(&process.store, &process.blocks().await).await;
    assert!(rows[0].exemplars.is_empty());
    let view = process.catalog.refresh(&tenant()).await.unwrap();
    assert!(view.deletes.values().all(|d| d.finished_ms != 0));
}

#[tokio::test]
async fn streams_have_a_retention_of_their_own_by_priority() {
    let rule = |selector: &str, priority, hours: u64| skald_limits::StreamRetention {
        selector: selector.to_owned(),
        priority,
        period: HumanDuration::from_secs(hours * 3600),
    };
    let limits = Limits {
        retention_period: HumanDuration::from_secs(10 * 3600),
        retention_stream: vec![
            rule(r#"{app=~"a1|a2"}"#, 1, 24),
            rule(r#"{app="a1"}"#, 2, 2),
            rule("{", 9, 1),
        ],
        ..Limits::default()
    };
    let process = Process::new(memory(), Config::default(), limits, 1);
    process.commit(&[three_streams(&process.store, 1).await]).await;
    let mut left = Vec::new();
    // Nothing is past; a1; a3 by the general rule; a2, with the block.
    for hours in [1, 2, 9, 13] {
        process.clock.advance_ms(hours * 3_600_000);
        process.compactor.compact_all().await.unwrap();
        let lines = process.contents().await.1;
        left.push(["a1", "a2", "a3"].map(|app| of_app(&lines, app).len()));
    }
    assert_eq!(left, [[10, 10, 10], [0, 10, 10], [0, 10, 0], [0, 0, 0]]);
}

#[tokio::test]
async fn a_damaged_block_is_left_alone_and_the_rest_is_merged() {
    let process = Process::simple(memory(), 1);
    let blocks = hours(&process.store, 0..4).await;
    process.commit(&blocks).await;
    let bad = skald_blocks::path(&tenant(), blocks[2].id);
    let bytes = process.store.get(&bad).await.unwrap().bytes().await.unwrap();
    process.store.put(&bad, bytes.slice(..bytes.len() - 1).into()).await.unwrap();
    let report = process.compactor.compact_all().await.unwrap();
    assert_eq!((report.merges, report.blocks_quarantined, report.blocks_merged), (2, 1, 7));
    let left: Vec<_> = process.blocks().await.iter().map(|b| b.id).collect();
    assert!(left.contains(&blocks[2].id) && left.len() == 3);
    assert!(process.store.head(&bad).await.is_ok());
    assert!(process.metric("quarantined_blocks_total 1"));
    // It is not tried again.
    let again = process.compactor.compact_all().await.unwrap();
    assert_eq!(again, Report { tenants: 1, ..Report::default() });
}

#[tokio::test]
async fn when_another_compactor_was_faster_the_output_is_thrown_away() {
    let store = memory();
    let (slow, fast) = (Process::simple(Arc::clone(&store), 1), Process::simple(store, 2));
    slow.commit(&hours(&slow.store, 0..4).await).await;
    let before = slow.contents().await;
    // What the slow one planned before the fast one committed.
    let view = slow.catalog.refresh(&tenant()).await.unwrap();
    let rules = slow.compactor.inner.rules(&tenant(), Effort::Full, &view);
    let stale = crate::plan(&view.blocks, &std::collections::BTreeSet::new(), &rules);
    // Old objects stay as long as this process' readers might need them.
    let other = Change {
        removes: stale.merges[0].inputs.iter().map(|b| b.id.clone()).collect(),
        adds: {
            let mut written = Vec::new();
            let inputs: Vec<_> =
                stale.merges[0].inputs.iter().map(|b| meta::from_catalog(b).unwrap()).collect();
            let job = crate::merge::Job {
                store: Arc::clone(&fast.store),
                tenant: tenant(),
                cpu: CpuPool::new(1),
                clock: Arc::clone(&fast.clock) as SharedClock,
                rng: Rng::seeded(9),
                cutoff: None,
                rules: Arc::default(),
                samples: Arc::default(),
                memory: usize::MAX,
                max_block: u64::MAX,
                lines: skald_blocks::LineForm::Packed,
            };
            job.run(&inputs, &mut written).await.unwrap();
            written.iter().map(meta::to_catalog).collect()
        },
        ..Change::default()
    };
    fast.catalog.commit(&tenant(), other).await.unwrap();
    let objects = slow.objects().await;
    let mut report = Report::default();
    let merge = stale.merges[0].clone();
    slow.compactor.inner.merge(&tenant(), merge, &rules, &mut report).await.unwrap();
    assert_eq!((report.conflicts, report.merges), (1, 0));
    assert_eq!(slow.objects().await, objects);
    // And when the inputs are gone already, that is no damage.
    drop(view);
    fast.compactor.compact_all().await.unwrap();
    let merge = stale.merges[1].clone();
    slow.compactor.inner.merge(&tenant(), merge, &rules, &mut report).await.unwrap();
    assert_eq!((report.conflicts, report.blocks_quarantined), (2, 0));
    slow.compactor.compact_all().await.unwrap();
    assert_eq!(slow.contents().await, before);
}

/// Runs a compaction that breaks at the `n`-th put, then another process; answers whether it broke.
async fn survives(n: u64, fault: Fault) -> bool {
    let faulty = FaultyStore::new(memory(), n);
    let broken = Process::simple(Arc::clone(&faulty) as _, 1);
    broken.commit(&hours(&faulty.inner(), 0..4).await).await;
    let before = broken.contents().await;
    faulty.on_nth(Op::Put, n, fault);
    let first = broken.compactor.compact_all().await;
    let struck = !faulty.injected().is_empty();
    faulty.clear();
    // Whatever state that left, readers see all of it, once.
    let next = Process::simple(faulty.inner(), 2);
    assert_eq!(next.contents().await, before, "after {fault:?} at put {n}: {first:?}");
    next.compactor.compact_all().await.unwrap();
    assert_eq!(next.contents().await, before, "healed after {fault:?} at put {n}");
    assert_eq!(next.blocks().await.len(), 2, "healed after {fault:?} at put {n}");
    struck
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_put_loses_nothing_and_duplicates_nothing() {
    for fault in [Fault::Halt, Fault::ErrorBefore, Fault::ErrorAfter, Fault::OwnConflict] {
        let mut n = 1;
        while survives(n, fault).await {
            n += 1;
        }
        // Two outputs and their commits at the least.
        assert!(n > 4, "{fault:?} struck {} puts only", n - 1);
    }
}

#[tokio::test]
async fn one_tenant_that_fails_does_not_stop_the_others() {
    let faulty = FaultyStore::new(memory(), 1);
    let process = Process::simple(Arc::clone(&faulty) as _, 1);
    process.commit(&hours(&faulty.inner(), 0..3).await).await;
    let broken = TenantId::parse("a").unwrap();
    let key = object_store::path::Path::from("t/a/m/00000000000000000001.pb");
    faulty.inner().put(&key, "not a commit".into()).await.unwrap();
    assert!(process.catalog.tenants().await.unwrap().contains(&broken));
    let err = process.compactor.compact_all().await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Corrupt);
    assert_eq!(process.blocks().await.len(), 2);
    assert!(process.metric(r#"runs_total{outcome="server_error"} 1"#));
}

#[tokio::test]
async fn post_compact_answers_what_was_done() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..3).await).await;
    let router = process.compactor.router();
    let request = |method| Request::builder().method(method).uri("/compact").body(Body::empty());
    let answer = router.clone().oneshot(request("POST").unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let report: Report = serde_json::from_slice(&body).unwrap();
    assert_eq!((report.merges, report.blocks_merged), (2, 6));
    let answer = router.oneshot(request("GET").unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn it_runs_by_itself_until_shutdown() {
    let process = Process::simple(memory(), 1);
    process.commit(&hours(&process.store, 0..5).await).await;
    let shutdown = Shutdown::new();
    let running =
        skald_runtime::spawn("compactor", process.compactor.clone().run(shutdown.clone()));
    while process.blocks().await.len() > 2 {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    shutdown.trigger();
    running.await.unwrap();
}
