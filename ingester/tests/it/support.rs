//! A machine that can crash: one WAL directory, one object store, and an ingester on them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use skald_blocks::{BlockId, FooterCache, LogReader, LogSelect, MetricReader};
use skald_catalog::{Author, Catalog, View};
use skald_codec::batch::{LogsBuilder, MetricsBuilder};
use skald_ingester::{Config, Dependencies, Ingester};
use skald_limits::{Limits, Overrides};
use skald_model::{Histogram, Labels, Series, Signal, TenantId, TimeRange};
use skald_ring::{Partition, PartitionState, Replica, ReplicaId, StaticCoordinator};
use skald_rpc::ingester::{PushOutcome, PushRequest, SelectEntries};
use skald_rpc::{IngesterApi, RpcError};
use skald_runtime::{ByteSize, HumanDuration, ManualClock, Rng, SharedClock};
use skald_wal::{MemFs, Replay};

/// What a crash leaves behind, and how the next ingester is to be started.
pub(crate) struct Machine {
    pub(crate) fs: MemFs,
    pub(crate) store: Arc<CrashStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) n_partitions: u32,
    pub(crate) epoch: u64,
}

/// A running ingester with its own view of the catalog.
pub(crate) struct Node {
    pub(crate) ingester: Ingester,
    pub(crate) catalog: Catalog,
    reader: Catalog,
    store: Arc<dyn ObjectStore>,
}

/// (series, time) → value bits.
pub(crate) type Floats = BTreeMap<(Labels, i64), u64>;
/// Lines with their stream and time.
pub(crate) type Lines = Vec<(Labels, i64, String)>;

/// Partitions of one replica each; that of number 0 is the ingester's.
fn partitions(n: u32) -> StaticCoordinator {
    let partition = |id: u32| Partition {
        id,
        state: PartitionState::Active,
        replicas: vec![Replica {
            id: ReplicaId(format!("ingester-{id}")),
            addr: String::new(),
            zone: String::new(),
            epoch: 0,
            rebuilding: false,
        }],
    };
    StaticCoordinator::new((0..n).map(partition).collect()).unwrap()
}

// === impl Machine ===

impl Machine {
    pub(crate) fn new() -> Self {
        let mut config = Config {
            flush_max_backoff: HumanDuration(std::time::Duration::from_millis(1)),
            memory_limit: ByteSize(256 << 20),
            ..Config::default()
        };
        config.wal.segment_size = ByteSize(1 << 10);
        Self {
            fs: MemFs::new(),
            store: Arc::new(CrashStore::default()),
            clock: ManualClock::at_ms(1_700_000_000_000),
            config,
            limits: Limits::default(),
            n_partitions: 1,
            epoch: 0,
        }
    }

    pub(crate) async fn start(&mut self) -> Node {
        let (node, replay) = self.begin().await;
        node.ingester.replay(replay).await.unwrap();
        node
    }

    /// As [`Self::start`], but nothing of the log is read yet.
    pub(crate) async fn begin(&mut self) -> (Node, Replay) {
        self.epoch += 1;
        self.clock.advance_ms(1);
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        let clock: SharedClock = Arc::clone(&self.clock) as SharedClock;
        let rng = Rng::seeded(self.epoch);
        let catalog = |replica: &str| {
            let config =
                skald_catalog::Config { commit_attempts: 2, ..skald_catalog::Config::default() };
            let author = Author { replica: replica.to_owned(), epoch: self.epoch };
            Catalog::new(Arc::clone(&store), Arc::clone(&clock), rng.clone(), author, config)
        };
        let (catalog, reader) = (catalog("ingester-0"), catalog("reader"));
        let deps = Dependencies {
            store: Arc::clone(&store),
            catalog: catalog.clone(),
            limits: Overrides::fixed(self.limits.clone()),
            clock: Arc::clone(&clock),
            rng: rng.clone(),
            fs: Arc::new(self.fs.clone()),
            wal_dir: PathBuf::from("/wal"),
            replica: "ingester-0".to_owned(),
            partition: Some(0),
            coordinator: Arc::new(partitions(self.n_partitions)),
        };
        let begun = Ingester::begin(self.config.clone(), deps, &mut Registry::default()).await;
        let (ingester, replay) = begun.unwrap();
        (Node { ingester, catalog, reader, store }, replay)
    }

    /// Kills the process: nothing is shut down, and the store works again.
    pub(crate) fn kill(&mut self, node: Node) {
        self.fs = self.fs.after_kill();
        drop(node);
        self.store.heal();
    }

    /// Takes the power away: what was not synced is lost.
    pub(crate) fn cut_power(&mut self, node: Node) {
        self.fs = self.fs.after_power_loss(skald_wal::fs::mem::Tear::Lose);
        drop(node);
        self.store.heal();
    }
}

// === impl Node ===

impl Node {
    pub(crate) async fn push(&self, batch: Bytes) -> Result<PushOutcome, RpcError> {
        self.push_as(&TenantId::single(), batch).await
    }

    pub(crate) async fn push_as(
        &self,
        tenant: &TenantId,
        batch: Bytes,
    ) -> std::result::Result<PushOutcome, RpcError> {
        let request = PushRequest { tenant: tenant.clone(), partition: 0, view_version: 1, batch };
        self.ingester.push(request).await
    }

    /// Series of the head only.
    pub(crate) async fn head(&self) -> Vec<Series> {
        let tenant = TenantId::single();
        self.ingester.select_series(&tenant, &[], TimeRange::ALL).await.unwrap().data
    }

    /// What a querier elsewhere would use: a cached view unless it is told of a newer commit.
    async fn view(&self, tenant: &TenantId, at_least: u64) -> Arc<View> {
        let view = self.reader.view_at_least(tenant, at_least).await.unwrap();
        assert!(view.number >= at_least, "{} < {at_least}", view.number);
        view
    }

    async fn metric_blocks(&self, tenant: &TenantId, view: &View) -> Vec<MetricReader> {
        let mut out = Vec::new();
        for meta in metas(view, Signal::Metrics) {
            let cache = Arc::new(FooterCache::new(1 << 20));
            let store = Arc::clone(&self.store);
            out.push(MetricReader::open(store, tenant, &meta, cache).await.unwrap());
        }
        out
    }

    async fn blocks(&self, tenant: &TenantId, view: &View) -> Vec<Series> {
        let mut out = Vec::new();
        for reader in self.metric_blocks(tenant, view).await {
            out.extend(reader.select(&[], TimeRange::ALL).await.unwrap());
        }
        out
    }

    /// All floats a query would see: heads first, then blocks at least as new; merged by key.
    pub(crate) async fn floats(&self) -> Floats {
        let tenant = TenantId::single();
        let head = self.ingester.select_series(&tenant, &[], TimeRange::ALL).await.unwrap();
        let view = self.view(&tenant, head.manifest_version).await;
        let mut out = Floats::new();
        add(&mut out, &head.data, Repeats::Equal);
        add(&mut out, &self.blocks(&tenant, &view).await, Repeats::Equal);
        out
    }

    /// As [`Self::floats`], when nothing else runs: no sample may be in two places.
    pub(crate) async fn floats_once(&self) -> Floats {
        let tenant = TenantId::single();
        let head = self.ingester.select_series(&tenant, &[], TimeRange::ALL).await.unwrap();
        let view = self.view(&tenant, head.manifest_version).await;
        let mut out = Floats::new();
        add(&mut out, &head.data, Repeats::Never);
        add(&mut out, &self.blocks(&tenant, &view).await, Repeats::Never);
        out
    }

    /// All histograms with their series' name, head and blocks.
    pub(crate) async fn histograms(&self) -> Vec<(i64, Histogram)> {
        let tenant = TenantId::single();
        let head = self.ingester.select_series(&tenant, &[], TimeRange::ALL).await.unwrap();
        let view = self.view(&tenant, head.manifest_version).await;
        let mut out: Vec<_> = head.data.into_iter().flat_map(|s| s.histograms).collect();
        out.extend(self.blocks(&tenant, &view).await.into_iter().flat_map(|s| s.histograms));
        out.sort_by_key(|(t, _)| *t);
        out
    }

    /// Exemplars of head and blocks.
    pub(crate) async fn exemplar_times(&self) -> Vec<i64> {
        let tenant = TenantId::single();
        let head = self.ingester.exemplars(&tenant, &[], TimeRange::ALL).await.unwrap();
        let view = self.view(&tenant, head.manifest_version).await;
        let mut all = head.data;
        for reader in self.metric_blocks(&tenant, &view).await {
            all.extend(reader.exemplars(&[], TimeRange::ALL).await.unwrap());
        }
        let mut times: Vec<i64> =
            all.into_iter().flat_map(|(_, e)| e).map(|e| e.timestamp_ms).collect();
        times.sort_unstable();
        times
    }

    /// All lines of head and blocks; nothing is merged.
    pub(crate) async fn lines(&self) -> Lines {
        let tenant = TenantId::single();
        let head = self.ingester.select_entries(&tenant, &everything()).await.unwrap();
        let view = self.view(&tenant, head.manifest_version).await;
        let mut all = head.data;
        for meta in metas(&view, Signal::Logs) {
            let cache = Arc::new(FooterCache::new(1 << 20));
            let store = Arc::clone(&self.store);
            let reader = LogReader::open(store, &tenant, &meta, cache).await.unwrap();
            let select = LogSelect::default();
            all.extend(reader.select(&[], TimeRange::ALL, &[], select).await.unwrap());
        }
        let mut out: Lines = Vec::new();
        for stream in all {
            for e in &stream.entries {
                out.push((stream.labels.clone(), e.timestamp_ns, e.text().to_owned()));
            }
        }
        out.sort();
        out
    }
}

enum Repeats {
    Never,
    Equal,
}

fn add(out: &mut Floats, series: &[Series], repeats: Repeats) {
    for s in series {
        for (t, v) in s.timestamps.iter().zip(&s.values) {
            let old = out.insert((s.labels.clone(), *t), v.to_bits());
            match repeats {
                Repeats::Never => assert_eq!(old, None, "{} at {t} is there twice", s.labels),
                Repeats::Equal => assert!(old.is_none_or(|old| old == v.to_bits())),
            }
        }
    }
}

fn metas(view: &View, signal: Signal) -> Vec<skald_blocks::BlockMeta> {
    let wanted = match signal {
        Signal::Metrics => skald_catalog::Signal::Metrics,
        Signal::Logs => skald_catalog::Signal::Logs,
    };
    let of = |m: &skald_catalog::BlockMeta| skald_blocks::BlockMeta {
        id: BlockId::parse(&m.id).unwrap(),
        signal,
        min_time: m.min_time,
        max_time: m.max_time,
        n_series: m.n_series,
        n_rows: m.n_rows,
        size_bytes: m.size_bytes,
        crc32c: m.crc32c,
        level: m.level,
        format_version: m.format_version,
        sources: m.sources.clone(),
    };
    view.blocks.iter().filter(|m| m.signal() == wanted).map(|m| of(m)).collect()
}

pub(crate) fn everything() -> SelectEntries {
    SelectEntries {
        matchers: vec![],
        range: TimeRange::ALL,
        needles: vec![],
        limit: 0,
        backward: false,
    }
}

pub(crate) fn labels(n: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("instance", format!("i{n}").as_str())])
}

/// Whether labels are sent along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Send {
    Labels,
    Ids,
}

/// One sample for each series.
pub(crate) fn samples(series: impl IntoIterator<Item = usize>, t: i64, send: Send) -> Bytes {
    let mut b = MetricsBuilder::new(t);
    for n in series {
        let labels = labels(n);
        let value = value(n, t);
        let sent = (send == Send::Labels).then_some(&labels);
        b.series(labels.id(), sent, &[(t, value)], &[], &[]);
    }
    b.finish()
}

/// The value that belongs to a series and time.
pub(crate) fn value(n: usize, t: i64) -> f64 {
    n as f64 * 1000.0 + t as f64
}

/// One sample with a value of its own.
pub(crate) fn one(n: usize, t: i64, value: f64) -> Bytes {
    let labels = labels(n);
    let mut b = MetricsBuilder::new(t);
    b.series(labels.id(), Some(&labels), &[(t, value)], &[], &[]);
    b.finish()
}

/// Lines of some streams.
pub(crate) fn lines(streams: impl IntoIterator<Item = usize>, t: i64, send: Send) -> Bytes {
    let mut b = LogsBuilder::new(t);
    for n in streams {
        let labels = labels(n);
        b.stream(labels.id(), (send == Send::Labels).then_some(&labels));
        b.entry(t, line(n, t).as_bytes(), &Labels::from_pairs([("trace", "abc")]));
    }
    b.finish()
}

pub(crate) fn line(n: usize, t: i64) -> String {
    format!("stream {n} at {t}")
}

/// Floats as [`samples`] makes them.
pub(crate) fn floats(series: impl IntoIterator<Item = usize>, times: &[i64]) -> Floats {
    let mut out = Floats::new();
    for n in series {
        for &t in times {
            out.insert((labels(n), t), value(n, t).to_bits());
        }
    }
    out
}

// === impl CrashStore ===

/// Memory that can be told to stop at a certain put.
#[derive(Debug, Default)]
pub(crate) struct CrashStore {
    inner: InMemory,
    trap: Mutex<Option<Trap>>,
    down: Mutex<bool>,
    refused: Mutex<Option<&'static str>>,
}

/// Everything fails from the first put on whose path contains `path`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trap {
    pub(crate) path: &'static str,
    /// Whether that put lands.
    pub(crate) lands: bool,
}

impl CrashStore {
    pub(crate) fn set(&self, trap: Trap) {
        *self.trap.lock() = Some(trap);
    }

    pub(crate) fn fail(&self) {
        *self.down.lock() = true;
    }

    /// Refuses puts whose path contains `path`; all else works.
    pub(crate) fn refuse(&self, path: &'static str) {
        *self.refused.lock() = Some(path);
    }

    pub(crate) fn heal(&self) {
        *self.refused.lock() = None;
        *self.down.lock() = false;
        *self.trap.lock() = None;
    }

    pub(crate) fn is_down(&self) -> bool {
        *self.down.lock()
    }

    fn check(&self) -> Result<()> {
        if *self.down.lock() {
            return Err(object_store::Error::Generic { store: "crash", source: "down".into() });
        }
        Ok(())
    }
}

impl fmt::Display for CrashStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashStore")
    }
}

#[async_trait]
impl ObjectStore for CrashStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.check()?;
        if self.refused.lock().is_some_and(|p| location.as_ref().contains(p)) {
            return Err(object_store::Error::Generic { store: "crash", source: "refused".into() });
        }
        let struck = self.trap.lock().filter(|t| location.as_ref().contains(t.path));
        let Some(trap) = struck else {
            return self.inner.put_opts(location, payload, opts).await;
        };
        if trap.lands {
            self.inner.put_opts(location, payload, opts).await?;
        }
        self.fail();
        Err(self.check().unwrap_err())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => Box::pin(futures_util::stream::once(async { Err(e) })),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check()?;
        self.inner.copy_opts(from, to, options).await
    }
}
