//! An ingester in memory that does what the test says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_querier::IngesterDirectory;
use skald_ring::{Coordinator, Replica, View};
use skald_rpc::ingester::{
    Head, PushOutcome, PushRequest, SelectEntries, StreamStats, TenantUsage,
};
use skald_rpc::{IngesterApi, Readable, RpcError};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;

type Tail = (TenantId, Vec<Matcher>, mpsc::Sender<Vec<StreamEntries>>);

/// What one tenant has in a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    pub(crate) series: Vec<Series>,
    pub(crate) streams: Vec<StreamEntries>,
    pub(crate) exemplars: Vec<(Labels, Vec<Exemplar>)>,
    pub(crate) metadata: Vec<MetricMetadata>,
    pub(crate) usage: TenantUsage,
}

#[derive(Debug, Default)]
pub(crate) struct FakeIngester {
    pub(crate) recent: Mutex<HashMap<TenantId, Recent>>,
    pub(crate) manifest_version: Mutex<u64>,
    /// What it says there is to ask.
    pub(crate) readable: Mutex<Readable>,
    pub(crate) dead: Mutex<bool>,
    /// Answers that calls are meant for another incarnation.
    pub(crate) replaced: Mutex<bool>,
    /// While set, reads wait for its notification.
    pub(crate) gate: Mutex<Option<Arc<Notify>>>,
    pub(crate) tails: Mutex<Vec<Tail>>,
}

impl FakeIngester {
    pub(crate) fn put(&self, tenant: &TenantId, change: impl FnOnce(&mut Recent)) {
        change(self.recent.lock().entry(tenant.clone()).or_default());
    }

    /// What a flush does last: the data is in a block of commit `version` and leaves the head.
    pub(crate) fn forget(&self, tenant: &TenantId, version: u64) {
        self.recent.lock().remove(tenant);
        *self.manifest_version.lock() = version;
    }

    /// Sends to open tails whose matchers accept the streams.
    pub(crate) fn arrive(&self, tenant: &TenantId, streams: &[StreamEntries]) {
        for (owner, matchers, tail) in self.tails.lock().iter() {
            let matching: Vec<_> =
                streams.iter().filter(|s| Matcher::all(matchers, &s.labels)).cloned().collect();
            if owner == tenant && !matching.is_empty() {
                let _ = tail.try_send(matching);
            }
        }
    }

    async fn read(&self, tenant: &TenantId) -> Result<Recent, RpcError> {
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        if *self.dead.lock() {
            return Err(RpcError::new(ErrorKind::Unavailable, "connection refused"));
        }
        if *self.replaced.lock() {
            return Err(RpcError::new(
                ErrorKind::Conflict,
                "err-skald-stale-epoch: told to refuse",
            ));
        }
        Ok(self.recent.lock().get(tenant).cloned().unwrap_or_default())
    }

    fn head<T>(&self, data: T) -> Head<T> {
        let readable = self.readable.lock().clone();
        Head { manifest_version: *self.manifest_version.lock(), readable, data }
    }
}

pub(crate) fn cut(mut s: Series, range: TimeRange) -> Option<Series> {
    let keep: Vec<bool> = s.timestamps.iter().map(|t| range.contains(*t)).collect();
    let mut it = keep.iter();
    s.timestamps.retain(|_| *it.next().unwrap());
    let mut it = keep.iter();
    s.values.retain(|_| *it.next().unwrap());
    s.histograms.retain(|(t, _)| range.contains(*t));
    (!s.is_empty()).then_some(s)
}

fn matching(recent: Recent, matchers: &[Matcher], range: TimeRange) -> Vec<StreamEntries> {
    let mut streams = recent.streams;
    streams.retain(|s| Matcher::all(matchers, &s.labels));
    streams.iter_mut().for_each(|s| s.entries.retain(|e| range.contains(e.timestamp_ns)));
    streams.retain(|s| !s.entries.is_empty());
    streams
}

#[async_trait]
impl IngesterApi for FakeIngester {
    async fn push(&self, _: PushRequest) -> Result<PushOutcome, RpcError> {
        Err(RpcError::new(ErrorKind::Internal, "a querier does not push"))
    }

    async fn select_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        let recent = self.read(tenant).await?;
        let found = recent.series.into_iter().filter(|s| Matcher::all(matchers, &s.labels));
        Ok(self.head(found.filter_map(|s| cut(s, range)).collect()))
    }

    async fn select_entries(
        &self,
        tenant: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        let recent = self.read(tenant).await?;
        Ok(self.head(matching(recent, &request.matchers, request.range)))
    }

    async fn labels(
        &self,
        tenant: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        let recent = self.read(tenant).await?;
        let found = match signal {
            Signal::Metrics => {
                let found = recent.series.into_iter().filter(|s| Matcher::all(matchers, &s.labels));
                found.filter_map(|s| cut(s, range)).map(|s| s.labels).collect()
            }
            Signal::Logs => {
                matching(recent, matchers, range).into_iter().map(|s| s.labels).collect()
            }
        };
        Ok(self.head(found))
    }

    async fn metadata(&self, tenant: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        Ok(self.read(tenant).await?.metadata)
    }

    async fn exemplars(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        let mut found = self.read(tenant).await?.exemplars;
        found.retain(|(l, _)| Matcher::all(matchers, l));
        found.iter_mut().for_each(|(_, e)| e.retain(|e| range.contains(e.timestamp_ms)));
        Ok(self.head(found))
    }

    async fn usage(&self, tenant: &TenantId) -> Result<TenantUsage, RpcError> {
        Ok(self.read(tenant).await?.usage)
    }

    async fn stats(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        let streams = matching(self.read(tenant).await?, matchers, range);
        let entries = streams.iter().flat_map(|s| &s.entries);
        Ok(self.head(StreamStats {
            streams: streams.len() as u64,
            entries: entries.clone().count() as u64,
            bytes: entries.map(|e| e.line.len() as u64).sum(),
            chunks: streams.len() as u64,
        }))
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        self.read(tenant).await?;
        let (tx, rx) = mpsc::channel(64);
        self.tails.lock().push((tenant.clone(), matchers.to_vec(), tx));
        Ok(ReceiverStream::new(rx))
    }

    async fn flush(&self, _: u64) -> Result<(), RpcError> {
        Ok(())
    }
}

/// Knows of a newer view only once it looks.
#[derive(Debug)]
pub(crate) struct Changing {
    view: Mutex<Arc<View>>,
    pub(crate) next: Mutex<Option<View>>,
    pub(crate) looks: AtomicUsize,
}

impl Changing {
    pub(crate) fn new(view: View) -> Self {
        let (next, looks) = (Mutex::default(), AtomicUsize::default());
        Self { view: Mutex::new(Arc::new(view)), next, looks }
    }

    pub(crate) fn set(&self, view: View) {
        *self.view.lock() = Arc::new(view);
    }
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
            self.set(next);
        }
    }
}

/// Replica id → ingester.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) HashMap<String, Arc<FakeIngester>>);

impl IngesterDirectory for Directory {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        Arc::clone(&self.0[&replica.id.0]) as Arc<dyn IngesterApi>
    }
}
