//! What an ingester does for other roles.

use std::collections::BTreeSet;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use skald_codec::encoded::EncodedSeries;
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::RpcError;
use crate::readable::Readable;

/// A batch for one partition.
#[derive(Clone, Debug)]
pub struct PushRequest {
    pub tenant: TenantId,
    pub partition: u32,
    pub view_version: u64,
    /// docs/formats/batch.md
    pub batch: Bytes,
}

/// What an ingester did with a batch. Partial success is a value, not an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOutcome {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    pub entries: u64,
    /// Positions of items whose labels must be sent; nothing of them was stored.
    pub unknown_series: Vec<u32>,
    pub rejections: Vec<Rejection>,
}

/// Samples or entries refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable id such as `err-skald-sample-out-of-order`.
    pub id: String,
    pub kind: ErrorKind,
    pub count: u64,
    /// About the first one: what, number, limit, setting.
    pub message: String,
}

/// Recent data together with the manifest commit at which everything flushed before is visible.
///
/// A reader asks heads first and then reads blocks of a view at least this new: nothing falls in between.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head<T> {
    pub manifest_version: u64,
    /// Whom else a reader has to ask.
    pub readable: Readable,
    pub data: T,
}

impl<T> Head<T> {
    /// The same with other data.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Head<U> {
        let Self { manifest_version, readable, data } = self;
        Head { manifest_version, readable, data: f(data) }
    }
}

/// What a reader of samples asks a head for.
#[derive(Clone, Debug)]
pub struct SelectSeries {
    pub matchers: Vec<Matcher>,
    /// Milliseconds.
    pub range: TimeRange,
    /// The labels wanted; `None` = all. More may be answered.
    pub only: Option<Vec<String>>,
    /// Whether series must be told apart when labels are left out.
    pub ids: bool,
}

#[derive(Clone, Debug)]
pub struct SelectEntries {
    pub matchers: Vec<Matcher>,
    /// Nanoseconds.
    pub range: TimeRange,
    /// Every returned line contains all of these.
    pub needles: Vec<Bytes>,
    /// Enough entries in the asked direction; 0 = all.
    pub limit: usize,
    pub backward: bool,
}

/// What of the labels of series is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    Names,
    /// Of this label.
    Values(String),
}

// === impl Listing ===

impl Listing {
    /// What all of these label sets have, each once, sorted.
    pub fn of_all(&self, sets: &[Labels]) -> Vec<String> {
        let found: BTreeSet<&str> = match self {
            Self::Names => sets.iter().flatten().map(|(name, _)| name).collect(),
            Self::Values(name) => sets.iter().filter_map(|labels| labels.get(name)).collect(),
        };
        found.into_iter().map(str::to_owned).collect()
    }
}

/// Size of the matching streams in the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    pub streams: u64,
    pub entries: u64,
    pub bytes: u64,
    pub chunks: u64,
}

/// What an ingester has of a tenant, and how fast it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TenantUsage {
    /// In the head.
    pub series: u64,
    pub streams: u64,
    /// Over the last minute.
    pub samples_per_second: f64,
    pub entries_per_second: f64,
}

/// An ingester, in this process or elsewhere.
#[async_trait]
pub trait IngesterApi: Debug + Send + Sync {
    /// Stores a batch; answers once it is on stable storage. Safe to repeat.
    async fn push(&self, request: PushRequest) -> Result<PushOutcome, RpcError>;

    /// Samples of matching series in `range` (ms), sorted by time, one per timestamp.
    async fn select_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError>;

    /// As [`select_series`](Self::select_series), with samples still encoded: sets of series, none
    /// in two of them. Some samples may lie outside the range, and a series may have none within.
    async fn encoded_series(
        &self,
        tenant: &TenantId,
        request: &SelectSeries,
    ) -> Result<Head<Vec<EncodedSeries>>, RpcError> {
        let head = self.select_series(tenant, &request.matchers, request.range).await?;
        Ok(head.map(|series| EncodedSeries::of(&series)))
    }

    /// Entries of matching streams, each stream sorted by time.
    async fn select_entries(
        &self,
        tenant: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError>;

    /// Label sets of matching series or streams with data in `range` (ms or ns).
    async fn labels(
        &self,
        tenant: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError>;

    /// Names of the labels, or values of one, of matching series with data in `range` (ms): each
    /// once, sorted.
    async fn list(
        &self,
        tenant: &TenantId,
        of: &Listing,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<String>>, RpcError> {
        let head = self.labels(tenant, Signal::Metrics, matchers, range).await?;
        Ok(head.map(|labels| of.of_all(&labels)))
    }

    async fn metadata(&self, tenant: &TenantId) -> Result<Vec<MetricMetadata>, RpcError>;

    async fn exemplars(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError>;

    async fn stats(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError>;

    async fn usage(&self, tenant: &TenantId) -> Result<TenantUsage, RpcError>;

    /// Entries of matching streams as they arrive. A slow receiver loses entries, never blocks a push.
    async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError>;

    /// Flushes every head; answers once all is in the store and committed.
    ///
    /// With `min_view_version` above 0, pushes made for an older view of the cluster are refused from
    /// then on, and every push that was taken before is in what is flushed.
    async fn flush(&self, min_view_version: u64) -> Result<(), RpcError>;
}
