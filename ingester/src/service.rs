//! The ingester as other roles see it.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use skald_codec::encoded::EncodedSeries;
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_rpc::ingester::{
    Head, Listing, PushOutcome, PushRequest, SelectEntries, SelectSeries, StreamStats, TenantUsage,
};
use skald_rpc::{IngesterApi, RpcError};
use tokio_stream::wrappers::ReceiverStream;

use crate::ingester::Ingester;
use crate::metrics::Metrics;

#[async_trait]
impl IngesterApi for Ingester {
    async fn push(&self, request: PushRequest) -> Result<PushOutcome, RpcError> {
        self.serving()?;
        self.store(request).await
    }

    async fn select_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        self.serving()?;
        self.head_series(tenant, matchers, range).await
    }

    async fn encoded_series(
        &self,
        tenant: &TenantId,
        request: &SelectSeries,
    ) -> Result<Head<Vec<EncodedSeries>>, RpcError> {
        self.serving()?;
        self.head_encoded(tenant, request).await
    }

    async fn select_entries(
        &self,
        tenant: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        self.serving()?;
        self.head_entries(tenant, request).await
    }

    async fn labels(
        &self,
        tenant: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        self.serving()?;
        self.head_labels(tenant, signal, matchers, range).await
    }

    async fn list(
        &self,
        tenant: &TenantId,
        of: &Listing,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<String>>, RpcError> {
        self.serving()?;
        self.head_list(tenant, of, matchers, range).await
    }

    async fn metadata(&self, tenant: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        self.serving()?;
        Ok(self.head_metadata(tenant))
    }

    async fn exemplars(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        self.serving()?;
        self.head_exemplars(tenant, matchers, range).await
    }

    async fn stats(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        self.serving()?;
        self.head_stats(tenant, matchers, range).await
    }

    async fn usage(&self, tenant: &TenantId) -> Result<TenantUsage, RpcError> {
        self.serving()?;
        Ok(self.tenant_usage(tenant))
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        self.serving()?;
        Ok(self.tenant(tenant).tails.add(matchers, self.0.config.tail_buffer))
    }

    async fn flush(&self, min_view_version: u64) -> Result<(), RpcError> {
        self.serving()?;
        if min_view_version > 0 {
            self.refuse_older_than(min_view_version).await;
        }
        self.flush_all().await.map_err(RpcError::from)
    }
}

impl Ingester {
    /// Fails until the write-ahead log is replayed: what is in it would be missing.
    fn serving(&self) -> Result<(), RpcError> {
        if !self.0.replaying.load(Ordering::Acquire) {
            return Ok(());
        }
        let Metrics { replay_bytes, replayed_bytes, .. } = &self.0.metrics;
        let (all, done) = (replay_bytes.get(), replayed_bytes.get());
        let message = format!(
            "err-skald-ingester-replaying: the ingester reads its write-ahead log ({done} of {all} bytes); retry"
        );
        Err(RpcError::new(ErrorKind::Unavailable, message))
    }
}
