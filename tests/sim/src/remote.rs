//! An ingester as others reach it over the simulated network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skald_codec::encoded::EncodedSeries;
use skald_ingester::Ingester;
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_ring::Replica;
use skald_rpc::ingester::{
    Head, Listing, PushOutcome, PushRequest, SelectEntries, SelectSeries, StreamStats, TenantUsage,
};
use skald_rpc::{IngesterApi, RpcError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::net::{Net, Place};

/// Until a connection over which nothing comes is given up.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Finds ingesters for the process at `from`.
#[derive(Clone, Debug)]
pub struct Peers {
    net: Net,
    from: Place,
}

/// A replica, as `from` calls it.
#[derive(Debug)]
struct Remote {
    net: Net,
    from: Place,
    replica: Replica,
}

/// Work that goes on in the process called when nobody waits for it, or stops.
struct Work {
    task: AbortHandle,
    cancels: bool,
}

type Answer<T> = BoxFuture<'static, Result<T, RpcError>>;

// === impl Peers ===

impl Peers {
    pub fn new(net: Net, from: Place) -> Self {
        Self { net, from }
    }

    pub(crate) fn of(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        let (net, from, replica) = (self.net.clone(), self.from.clone(), replica.clone());
        Arc::new(Remote { net, from, replica })
    }
}

impl skald_distributor::IngesterDirectory for Peers {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        self.of(replica)
    }
}

impl skald_querier::IngesterDirectory for Peers {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        self.of(replica)
    }
}

// === impl Work ===

impl Drop for Work {
    fn drop(&mut self) {
        if self.cancels {
            self.task.abort();
        }
    }
}

// === impl Remote ===

impl Remote {
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(Ingester) -> Answer<T> + Send,
    ) -> Result<T, RpcError> {
        let done = self.try_call(work).await;
        let word = done.as_ref().err().map_or("ok", |e| e.message.as_str());
        let (from, to) = (&self.from.name, &self.replica);
        let trace = self.net.trace();
        trace.note(format_args!("{from} → {}@{} {what}: {word}", to.id, to.epoch));
        done
    }

    async fn try_call<T: Send + 'static>(
        &self,
        work: impl FnOnce(Ingester) -> Answer<T> + Send,
    ) -> Result<T, RpcError> {
        let unavailable = |why: &str| Err(RpcError::new(ErrorKind::Unavailable, why));
        let Some(host) = self.net.find(&self.replica.addr) else {
            sleep(Duration::from_millis(1)).await;
            return unavailable("connection refused");
        };
        let dice = self.net.roll(&self.from, &host.place);
        sleep(dice.request).await;
        if dice.loses_request || self.net.is_cut(&self.from, &host.place) {
            sleep(KEEPALIVE).await;
            return unavailable("request lost");
        }
        if !host.scope.is_alive() {
            return unavailable("connection reset");
        }
        host.incarnation.check(&self.replica.id.0, self.replica.epoch)?;
        let (sender, answer) = oneshot::channel();
        let (ingester, place) = (host.ingester.clone(), host.place.clone());
        let working = work(ingester);
        let task = host.scope.spawn("call", async move {
            // Whoever has gone does not want it.
            sender.send(working.await).ok();
        });
        let _work = Work { task: task.abort_handle(), cancels: dice.cancels };
        let scope = host.scope.clone();
        drop(host);
        let answer = self.wait(answer, &place, &scope).await?;
        sleep(dice.answer).await;
        if dice.loses_answer || self.net.is_cut(&place, &self.from) {
            sleep(KEEPALIVE).await;
            return unavailable("answer lost");
        }
        answer
    }

    async fn wait<T>(
        &self,
        mut answer: oneshot::Receiver<T>,
        place: &Place,
        scope: &skald_runtime::Scope,
    ) -> Result<T, RpcError> {
        let unavailable = |why: &str| RpcError::new(ErrorKind::Unavailable, why);
        loop {
            match timeout(KEEPALIVE, &mut answer).await {
                Ok(answered) => return answered.map_err(|_| unavailable("connection reset")),
                Err(_) if scope.is_paused() || self.net.is_cut(place, &self.from) => {
                    return Err(unavailable("nothing comes"));
                }
                Err(_) => {}
            }
        }
    }
}

#[async_trait]
impl IngesterApi for Remote {
    async fn push(&self, request: PushRequest) -> Result<PushOutcome, RpcError> {
        self.call("push", |i| async move { i.push(request).await }.boxed()).await
    }

    async fn select_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        let work =
            |i: Ingester| async move { i.select_series(&tenant, &matchers, range).await }.boxed();
        self.call("select", work).await
    }

    async fn encoded_series(
        &self,
        tenant: &TenantId,
        request: &SelectSeries,
    ) -> Result<Head<Vec<EncodedSeries>>, RpcError> {
        let (tenant, request) = (tenant.clone(), request.clone());
        let work = |i: Ingester| async move { i.encoded_series(&tenant, &request).await }.boxed();
        self.call("series", work).await
    }

    async fn select_entries(
        &self,
        tenant: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        let (tenant, request) = (tenant.clone(), request.clone());
        let work = |i: Ingester| async move { i.select_entries(&tenant, &request).await }.boxed();
        self.call("entries", work).await
    }

    async fn labels(
        &self,
        tenant: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        let work =
            |i: Ingester| async move { i.labels(&tenant, signal, &matchers, range).await }.boxed();
        self.call("labels", work).await
    }

    async fn list(
        &self,
        tenant: &TenantId,
        of: &Listing,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<String>>, RpcError> {
        let (tenant, of, matchers) = (tenant.clone(), of.clone(), matchers.to_vec());
        let work =
            |i: Ingester| async move { i.list(&tenant, &of, &matchers, range).await }.boxed();
        self.call("list", work).await
    }

    async fn metadata(&self, tenant: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        let tenant = tenant.clone();
        self.call("metadata", |i| async move { i.metadata(&tenant).await }.boxed()).await
    }

    async fn exemplars(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        let work =
            |i: Ingester| async move { i.exemplars(&tenant, &matchers, range).await }.boxed();
        self.call("exemplars", work).await
    }

    async fn stats(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        let work = |i: Ingester| async move { i.stats(&tenant, &matchers, range).await }.boxed();
        self.call("stats", work).await
    }

    async fn usage(&self, tenant: &TenantId) -> Result<TenantUsage, RpcError> {
        let tenant = tenant.clone();
        self.call("usage", |i| async move { i.usage(&tenant).await }.boxed()).await
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        self.call("tail", |i| async move { i.tail(&tenant, &matchers).await }.boxed()).await
    }

    async fn flush(&self, min_view_version: u64) -> Result<(), RpcError> {
        self.call("flush", move |i| async move { i.flush(min_view_version).await }.boxed()).await
    }
}
