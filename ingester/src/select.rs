//! Reads of heads. They run on the reader pool; locks are held only while buffers are picked, some
//! thousands of series at a time.

use std::sync::Arc;

use skald_codec::encoded::EncodedSeries;
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_rpc::ingester::{Head, Listing, SelectEntries, SelectSeries, StreamStats, TenantUsage};
use skald_rpc::{Readable, RpcError};

use crate::error::Error;
use crate::head::logs::{self, LogsHead};
use crate::head::metrics::{self, MetricsHead};
use crate::head::visit;
use crate::ingester::Ingester;
use crate::tenant::Tenant;

/// A head with fewer bytes is read at once, without another thread.
const SMALL: u64 = 1 << 20;

impl Ingester {
    /// Runs `read` for a tenant; it answers data and the commit number that goes with it.
    ///
    /// The number also covers what this replica flushed before it was started: it is never below the
    /// newest commit at some moment since.
    async fn read<T: Default + Send + 'static>(
        &self,
        id: &TenantId,
        read: impl FnOnce(&Tenant) -> Result<(u64, T), Error> + Send + 'static,
    ) -> Result<Head<T>, RpcError> {
        let Some(tenant) = self.find_tenant(id) else {
            let view = self.0.deps.catalog.view(id).await.map_err(Error::from)?;
            return Ok(self.answer(view.number, T::default()));
        };
        let baseline = self.baseline(&tenant).await?;
        let (version, data) = if tenant.is_small(SMALL) {
            read(&tenant)?
        } else {
            let answer = self.0.readers.run(move || read(&tenant)).await;
            answer.map_err(|e| RpcError::new(ErrorKind::Internal, e.to_string()))??
        };
        Ok(self.answer(version.max(baseline), data))
    }

    /// As [`Self::read`], of metrics: a head without data in the range is not looked at.
    async fn read_metrics<T: Default + Send + 'static>(
        &self,
        id: &TenantId,
        range: TimeRange,
        read: impl FnOnce(&Tenant) -> Result<(u64, T), Error> + Send + 'static,
    ) -> Result<Head<T>, RpcError> {
        let Some(tenant) = self.find_tenant(id) else { return self.read(id, read).await };
        let baseline = self.baseline(&tenant).await?;
        let nothing = tenant.metrics.read().nothing_in(range);
        match nothing {
            Some(version) => Ok(self.answer(version.max(baseline), T::default())),
            None => self.read(id, read).await,
        }
    }

    /// An answer says whom else the reader has to ask, by the view of now.
    fn answer<T>(&self, manifest_version: u64, data: T) -> Head<T> {
        let view = self.0.deps.coordinator.view();
        let mut partitions: Vec<u32> = view.readable().map(|p| p.id).collect();
        partitions.sort_unstable();
        let readable = Readable { view_version: view.version, partitions };
        Head { manifest_version, readable, data }
    }

    async fn baseline(&self, tenant: &Arc<Tenant>) -> Result<u64, Error> {
        let number = tenant
            .baseline
            .get_or_try_init(|| async {
                Ok::<_, Error>(self.0.deps.catalog.refresh(&tenant.id).await?.number)
            })
            .await?;
        Ok(*number)
    }

    pub(crate) async fn head_series(
        &self,
        id: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        let matchers = matchers.to_vec();
        let request = SelectSeries { matchers, range, only: None, ids: false };
        self.read_metrics(id, range, move |tenant| {
            let picked = encode_series(tenant, &request);
            Ok((picked.manifest_version, picked.decode(range)?))
        })
        .await
    }

    pub(crate) async fn head_encoded(
        &self,
        id: &TenantId,
        request: &SelectSeries,
    ) -> Result<Head<Vec<EncodedSeries>>, RpcError> {
        let request = request.clone();
        self.read_metrics(id, request.range, move |tenant| {
            let picked = encode_series(tenant, &request);
            Ok((picked.manifest_version, picked.finish()?))
        })
        .await
    }

    pub(crate) async fn head_entries(
        &self,
        id: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        let request = request.clone();
        self.read(id, move |tenant| {
            let picked = pick_streams(tenant, &request.matchers, request.range);
            Ok((picked.manifest_version, picked.entries(&request)?))
        })
        .await
    }

    pub(crate) async fn head_labels(
        &self,
        id: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        let matchers = matchers.to_vec();
        match signal {
            Signal::Metrics => {
                let read = move |tenant: &Tenant| {
                    let begin = |head: &MetricsHead| head.begin(&matchers);
                    let found = visit(&tenant.metrics, begin, |head, refs, into| {
                        head.pick_labels(refs, range, into);
                    });
                    Ok((found.manifest_version, found.labels()))
                };
                self.read_metrics(id, range, read).await
            }
            Signal::Logs => {
                let read = move |tenant: &Tenant| {
                    let begin = |head: &LogsHead| head.begin(&matchers);
                    let found = visit(&tenant.logs, begin, |head, refs, into| {
                        head.pick_labels(refs, range, into);
                    });
                    Ok((found.manifest_version, found.labels()))
                };
                self.read(id, read).await
            }
        }
    }

    /// Names or values of labels of series; no label set is put together.
    pub(crate) async fn head_list(
        &self,
        id: &TenantId,
        of: &Listing,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<String>>, RpcError> {
        let (of, matchers) = (of.clone(), matchers.to_vec());
        self.read_metrics(id, range, move |tenant| {
            let begin = |head: &MetricsHead| head.begin_listing(&of, &matchers, range);
            let found = visit(&tenant.metrics, begin, |head, refs, into| {
                head.list(refs, &of, range, into);
            });
            Ok((found.manifest_version, found.sorted()))
        })
        .await
    }

    pub(crate) async fn head_exemplars(
        &self,
        id: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        let matchers = matchers.to_vec();
        self.read_metrics(id, range, move |tenant| {
            let picked = pick_series(tenant, &matchers, range);
            Ok((picked.manifest_version, picked.exemplars()))
        })
        .await
    }

    pub(crate) async fn head_stats(
        &self,
        id: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        let matchers = matchers.to_vec();
        self.read(id, move |tenant| {
            let picked = pick_streams(tenant, &matchers, range);
            Ok((picked.manifest_version, picked.stats(range)?))
        })
        .await
    }

    pub(crate) fn tenant_usage(&self, id: &TenantId) -> TenantUsage {
        let Some(tenant) = self.find_tenant(id) else { return TenantUsage::default() };
        let [samples_per_second, entries_per_second] =
            tenant.usage.per_second(self.0.deps.clock.now_ms());
        let series = tenant.metrics.read().index.len() as u64;
        let streams = tenant.logs.read().index.len() as u64;
        TenantUsage { series, streams, samples_per_second, entries_per_second }
    }

    /// Metadata received since the start; older metadata stands in the manifest.
    pub(crate) fn head_metadata(&self, id: &TenantId) -> Vec<MetricMetadata> {
        let Some(tenant) = self.find_tenant(id) else { return Vec::new() };
        let head = tenant.metrics.read();
        head.metadata.values().cloned().collect()
    }
}

fn encode_series(tenant: &Tenant, request: &SelectSeries) -> metrics::EncodedSelection {
    let begin = |head: &MetricsHead| head.begin_encoding(request);
    visit(&tenant.metrics, begin, |head, refs, into| head.encode(refs, request.range, into))
}

fn pick_series(tenant: &Tenant, matchers: &[Matcher], range: TimeRange) -> metrics::Selection {
    let begin = |head: &MetricsHead| head.begin(matchers);
    visit(&tenant.metrics, begin, |head, refs, into| head.pick_exemplars(refs, range, into))
}

fn pick_streams(tenant: &Tenant, matchers: &[Matcher], range: TimeRange) -> logs::Selection {
    let begin = |head: &LogsHead| head.begin(matchers);
    visit(&tenant.logs, begin, |head, refs, into| head.pick(refs, range, into))
}
