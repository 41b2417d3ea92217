//! A distributor over ingesters that live in memory and can be told to misbehave.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use skald_codec::batch::{Batch, Samples};
use skald_limits::{Limits, Overrides};
use skald_model::{
    ErrorKind, Exemplar, Histogram, Labels, Matcher, MetricMetadata, Series, SeriesId, Signal,
    StreamEntries, TenantId, TimeRange,
};
use skald_ring::{
    Coordinator, Partition, PartitionState, Replica, ReplicaId, StaticCoordinator, View,
};
use skald_rpc::ingester::{
    Head, PushOutcome, PushRequest, Rejection, SelectEntries, StreamStats, TenantUsage,
};
use skald_rpc::{IngesterApi, RpcError};
use skald_runtime::ManualClock;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

use crate::cache::SeriesCache;
use crate::remote_write::Context;
use crate::{Config, Distributor, IngesterDirectory};

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW_MS: i64 = 1_767_225_600_000;
pub(crate) const NOW_NS: i64 = NOW_MS * 1_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) enum Mode {
    #[default]
    Normal,
    Fail(ErrorKind),
    /// Pushes made for older views of the cluster are a conflict.
    From(u64),
    Hang,
    /// Asks for labels for ever.
    Forgetful,
    /// Stores everything but says it refused this.
    Refusing(Vec<Rejection>),
    /// Asks for an item that was not sent.
    Confused,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) ts: i64,
    pub(crate) line: String,
    pub(crate) metadata: String,
}

#[derive(Debug, Default)]
pub(crate) struct Data {
    known: HashMap<(String, SeriesId), Labels>,
    pub(crate) floats: BTreeMap<String, Vec<(i64, f64)>>,
    pub(crate) histograms: BTreeMap<String, Vec<(i64, Histogram)>>,
    /// Start timestamps of floats and of histograms, where some are known.
    pub(crate) starts: BTreeMap<String, Vec<i64>>,
    pub(crate) exemplars: BTreeMap<String, Vec<Exemplar>>,
    pub(crate) metadata: Vec<MetricMetadata>,
    pub(crate) lines: BTreeMap<String, Vec<Line>>,
    pub(crate) n_pushes: usize,
    pub(crate) n_items_with_labels: usize,
    pub(crate) n_items: usize,
}

#[derive(Debug, Default)]
pub(crate) struct FakeIngester {
    pub(crate) mode: Mutex<Mode>,
    pub(crate) data: Mutex<Data>,
}

// === impl FakeIngester ===

impl FakeIngester {
    /// As after a restart without its series.
    pub(crate) fn forget(&self) {
        self.data.lock().known.clear();
    }
}

// === impl Data ===

impl Data {
    fn store(&mut self, request: &PushRequest, forget: bool) -> PushOutcome {
        let mut outcome = PushOutcome::default();
        self.n_pushes += 1;
        let tenant = request.tenant.as_str().to_owned();
        let mut batch = Batch::parse(&request.batch).unwrap();
        let mut position = 0;
        let mut samples = Samples::default();
        while let Some(series) = batch.next_series().unwrap() {
            series.decode(&mut samples).unwrap();
            match self.learn(&tenant, series.id, series.labels, forget) {
                None => outcome.unknown_series.push(position),
                Some(labels) => {
                    let name = labels.to_string();
                    outcome.samples += samples.floats.len() as u64;
                    outcome.histograms += samples.histograms.len() as u64;
                    outcome.exemplars += samples.exemplars.len() as u64;
                    for starts in [&mut samples.starts, &mut samples.histogram_starts] {
                        if !starts.is_empty() {
                            self.starts.entry(name.clone()).or_default().append(starts);
                        }
                    }
                    self.floats.entry(name.clone()).or_default().append(&mut samples.floats);
                    self.histograms
                        .entry(name.clone())
                        .or_default()
                        .append(&mut samples.histograms);
                    self.exemplars.entry(name).or_default().append(&mut samples.exemplars);
                }
            }
            position += 1;
        }
        while let Some(mut stream) = batch.next_stream().unwrap() {
            match self.learn(&tenant, stream.id, stream.labels, forget) {
                None => outcome.unknown_series.push(position),
                Some(labels) => {
                    while let Some(e) = stream.next_entry().unwrap() {
                        let metadata = Labels::from_bytes(Bytes::copy_from_slice(e.metadata));
                        outcome.entries += 1;
                        self.lines.entry(labels.to_string()).or_default().push(Line {
                            ts: e.timestamp_ns,
                            line: String::from_utf8(e.line.to_vec()).unwrap(),
                            metadata: metadata.unwrap().to_string(),
                        });
                    }
                }
            }
            position += 1;
        }
        self.metadata.append(&mut batch.metadata().unwrap());
        outcome
    }

    fn learn(
        &mut self,
        tenant: &str,
        id: SeriesId,
        labels: Option<&[u8]>,
        forget: bool,
    ) -> Option<Labels> {
        self.n_items += 1;
        if forget {
            return None;
        }
        let key = (tenant.to_owned(), id);
        if let Some(bytes) = labels {
            self.n_items_with_labels += 1;
            let labels = Labels::from_bytes(Bytes::copy_from_slice(bytes)).unwrap();
            assert_eq!(labels.id(), id, "the id is that of the labels");
            self.known.insert(key.clone(), labels);
        }
        self.known.get(&key).cloned()
    }
}

/// A distributor only pushes; a call of anything else shows as this error.
fn not_asked() -> RpcError {
    RpcError::new(ErrorKind::Internal, "a distributor asks for nothing but pushes")
}

#[async_trait]
impl IngesterApi for FakeIngester {
    async fn push(&self, request: PushRequest) -> Result<PushOutcome, RpcError> {
        let mode = self.mode.lock().clone();
        match mode {
            Mode::Normal => Ok(self.data.lock().store(&request, false)),
            Mode::From(view) if request.view_version < view => {
                Err(RpcError::new(ErrorKind::Conflict, "err-skald-stale-view: told to refuse"))
            }
            Mode::From(_) => Ok(self.data.lock().store(&request, false)),
            Mode::Fail(kind) => Err(RpcError::new(kind, "told to fail")),
            Mode::Hang => std::future::pending().await,
            Mode::Forgetful => Ok(self.data.lock().store(&request, true)),
            Mode::Refusing(rejections) => {
                Ok(PushOutcome { rejections, ..self.data.lock().store(&request, false) })
            }
            Mode::Confused => {
                Ok(PushOutcome { unknown_series: vec![999], ..PushOutcome::default() })
            }
        }
    }

    async fn select_series(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        Err(not_asked())
    }

    async fn select_entries(
        &self,
        _: &TenantId,
        _: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        Err(not_asked())
    }

    async fn labels(
        &self,
        _: &TenantId,
        _: Signal,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        Err(not_asked())
    }

    async fn metadata(&self, _: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        Err(not_asked())
    }

    async fn exemplars(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        Err(not_asked())
    }

    async fn usage(&self, _: &TenantId) -> Result<TenantUsage, RpcError> {
        Err(not_asked())
    }

    async fn stats(
        &self,
        _: &TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        Err(not_asked())
    }

    async fn tail(
        &self,
        _: &TenantId,
        _: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        Err(not_asked())
    }

    async fn flush(&self, _: u64) -> Result<(), RpcError> {
        Err(not_asked())
    }
}

#[derive(Debug, Default)]
struct Directory(HashMap<ReplicaId, Arc<FakeIngester>>);

impl IngesterDirectory for Directory {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        Arc::clone(&self.0[&replica.id]) as Arc<dyn IngesterApi>
    }
}

/// Knows of a newer view only once it looks.
#[derive(Debug)]
pub(crate) struct Changing {
    view: Mutex<Arc<View>>,
    pub(crate) next: Mutex<Option<View>>,
    pub(crate) looks: AtomicUsize,
}

#[async_trait]
impl Coordinator for Changing {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    async fn refresh(&self) {
        tokio::task::yield_now().await;
        self.looks.fetch_add(1, Ordering::SeqCst);
        if let Some(next) = self.next.lock().take() {
            *self.view.lock() = Arc::new(next);
        }
    }
}

/// A distributor and its ingesters, partition by partition.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) distributor: Distributor,
    pub(crate) ingesters: Vec<Arc<FakeIngester>>,
    pub(crate) coordinator: Arc<Changing>,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<ManualClock>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// Of bytes that are text.
    pub(crate) text: String,
}

// === impl Cluster ===

impl Cluster {
    /// One partition of one ingester.
    pub(crate) fn one(limits: Limits) -> Self {
        Self::new(1, 1, limits, Config::default())
    }

    pub(crate) fn new(n_partitions: u32, rf: u32, limits: Limits, config: Config) -> Self {
        let replica = |p: u32, r: u32| Replica {
            id: ReplicaId(format!("ingester-{p}-{r}")),
            addr: format!("ingester-{p}-{r}:1"),
            zone: format!("zone-{r}"),
            epoch: 0,
            rebuilding: false,
        };
        let partition = |p| Partition {
            id: p + 10,
            state: PartitionState::Active,
            replicas: (0..rf).map(|r| replica(p, r)).collect(),
        };
        let partitions: Vec<Partition> = (0..n_partitions).map(partition).collect();
        let mut directory = Directory::default();
        let mut ingesters = Vec::new();
        for r in partitions.iter().flat_map(|p| &p.replicas) {
            let ingester = Arc::new(FakeIngester::default());
            directory.0.insert(r.id.clone(), Arc::clone(&ingester));
            ingesters.push(ingester);
        }
        let clock = ManualClock::at_ms(NOW_MS);
        let coordinator = Arc::new(Changing {
            view: Mutex::new(Arc::new(View::new(1, partitions).unwrap())),
            next: Mutex::default(),
            looks: AtomicUsize::default(),
        });
        let mut registry = Registry::default();
        let distributor = Distributor::new(
            config,
            Arc::<Changing>::clone(&coordinator),
            Arc::new(directory),
            Overrides::fixed(limits),
            Arc::<ManualClock>::clone(&clock),
            &mut registry,
        );
        Self { distributor, ingesters, coordinator, registry, clock }
    }

    /// What will be seen of the cluster after a look: the first view's partitions in these states.
    pub(crate) fn will_be(&self, version: u64, states: &[PartitionState]) {
        let partitions = self.coordinator.view().partitions.clone();
        let changed = partitions.iter().zip(states);
        let changed = changed.map(|(p, s)| Partition { state: *s, ..Partition::clone(p) });
        *self.coordinator.next.lock() = Some(View::new(version, changed.collect()).unwrap());
    }

    /// What is seen of the cluster from now on.
    pub(crate) fn is_now(&self, version: u64, change: impl Fn(&mut Partition)) {
        let mut partitions: Vec<Partition> =
            self.coordinator.view().partitions.iter().map(|p| Partition::clone(p)).collect();
        partitions.iter_mut().for_each(change);
        *self.coordinator.view.lock() = Arc::new(View::new(version, partitions).unwrap());
    }

    /// A push of tenant `t`.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.post_as("t", path, headers, body).await
    }

    pub(crate) async fn post_as(
        &self,
        tenant: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::post(path).extension(TenantId::parse(tenant).unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.distributor.router().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer { status: head.status, headers: head.headers, bytes: body, text }
    }

    /// What the first ingester has.
    pub(crate) fn data(&self) -> parking_lot::MutexGuard<'_, Data> {
        self.ingesters[0].data.lock()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// `samples/histograms/exemplars` of the written headers.
    pub(crate) fn written(&self) -> String {
        ["samples", "histograms", "exemplars"]
            .map(|n| {
                let name = format!("x-prometheus-remote-write-{n}-written");
                self.header(&name).unwrap_or("-").to_owned()
            })
            .join("/")
    }
}

/// What decoding needs, without a distributor.
pub(crate) fn context(limits: Limits) -> Context {
    let replica = Replica {
        id: ReplicaId("a".into()),
        addr: String::new(),
        zone: String::new(),
        epoch: 0,
        rebuilding: false,
    };
    let partition = Partition { id: 0, state: PartitionState::Active, replicas: vec![replica] };
    Context {
        tenant: TenantId::single(),
        limits: Arc::new(limits),
        view: StaticCoordinator::new(vec![partition]).unwrap().view(),
        cache: Arc::new(SeriesCache::new(1 << 16, 7)),
        buffers: Arc::default(),
        now_ns: NOW_NS,
        ha: None,
    }
}

pub(crate) fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}
