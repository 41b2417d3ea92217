//! Ingesters behind gRPC: lazily connected channels, one per address, with a deadline on every call,
//! and in each call the incarnation of the replica that it is meant for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use parking_lot::Mutex;
use skald_codec::encoded::{self, EncodedSeries};
use skald_model::{
    ErrorKind, Exemplar, Labels, Matcher, MetricMetadata, Series, Signal, StreamEntries, TenantId,
    TimeRange,
};
use skald_proto::ingest as pb;
use skald_proto::ingest::ingester_client::IngesterClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tracing::debug;

use crate::incarnation::Addressee;
use crate::ingester::{
    Head, IngesterApi, PushOutcome, PushRequest, SelectEntries, SelectSeries, StreamStats,
    TenantUsage,
};
use crate::readable::Readable;
use crate::server::MAX_MESSAGE;
use crate::{RpcError, convert};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(10);
const TAIL_QUEUE: usize = 64;

/// Remote ingesters by address. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Clients {
    timeout: Duration,
    by_addr: Arc<Mutex<HashMap<String, Connection>>>,
}

/// An address with the replica that was last called there.
#[derive(Debug)]
struct Connection {
    channel: Result<Channel, RpcError>,
    replica: String,
    epoch: u64,
    ingester: Arc<RemoteIngester>,
}

type Client = IngesterClient<InterceptedService<Channel, Addressee>>;

/// An incarnation of an ingester at an address.
#[derive(Debug)]
pub struct RemoteIngester {
    addr: String,
    timeout: Duration,
    client: Result<Client, RpcError>,
}

// === impl Clients ===

impl Clients {
    /// `timeout` bounds each call as a whole; tails and flushes are not bounded.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, by_addr: Arc::default() }
    }

    /// The client of `epoch` of `replica`, thought to be at `addr` (`host:port`); epoch 0 = of whoever
    /// is there. Connects on first use and again when the connection was lost; an address that is none
    /// shows as an error of each call.
    pub fn ingester(&self, addr: &str, replica: &str, epoch: u64) -> Arc<RemoteIngester> {
        let mut by_addr = self.by_addr.lock();
        if let Some(known) = by_addr.get_mut(addr) {
            if known.replica != replica || known.epoch != epoch {
                let channel = known.channel.clone();
                let ingester = RemoteIngester::new(addr, channel, replica, epoch, self.timeout);
                known.ingester = Arc::new(ingester);
                (known.replica, known.epoch) = (replica.to_owned(), epoch);
            }
            return Arc::clone(&known.ingester);
        }
        let channel = connect(addr);
        let ingester = RemoteIngester::new(addr, channel.clone(), replica, epoch, self.timeout);
        let ingester = Arc::new(ingester);
        let (replica, known) = (replica.to_owned(), Arc::clone(&ingester));
        by_addr.insert(addr.to_owned(), Connection { channel, replica, epoch, ingester });
        known
    }
}

fn connect(addr: &str) -> Result<Channel, RpcError> {
    let invalid = |e| RpcError::new(ErrorKind::Invalid, format!("ingester address {addr:?}: {e}"));
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(invalid)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}

// === impl RemoteIngester ===

impl RemoteIngester {
    fn new(
        addr: &str,
        channel: Result<Channel, RpcError>,
        replica: &str,
        epoch: u64,
        timeout: Duration,
    ) -> Self {
        let client = channel.and_then(|channel| {
            let client = IngesterClient::with_interceptor(channel, Addressee::new(replica, epoch)?);
            Ok(client.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
        });
        Self { addr: addr.to_owned(), timeout, client }
    }

    /// Runs `call` within the deadline and names the peer in its error.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, RpcError>>,
    ) -> Result<T, RpcError> {
        let late = |_| RpcError::new(ErrorKind::Timeout, "no answer within the deadline");
        let named =
            |e: RpcError| RpcError::new(e.kind, format!("ingester {}: {}", self.addr, e.message));
        tokio::time::timeout(self.timeout, call).await.map_err(late).flatten().map_err(named)
    }
}

#[async_trait]
impl IngesterApi for RemoteIngester {
    async fn push(&self, request: PushRequest) -> Result<PushOutcome, RpcError> {
        let message = pb::PushRequest {
            tenant: request.tenant.to_string(),
            partition: request.partition,
            view_version: request.view_version,
            batch: request.batch,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            Ok(convert::outcome_from_pb(client.push(message).await?.into_inner()))
        })
        .await
    }

    async fn select_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Series>>, RpcError> {
        let matchers = matchers.to_vec();
        let request = SelectSeries { matchers, range, only: None, ids: false };
        let head = self.encoded_series(tenant, &request).await?;
        let data = convert::decode_series(&head.data, range)?;
        Ok(head.map(|_| data))
    }

    async fn encoded_series(
        &self,
        tenant: &TenantId,
        request: &SelectSeries,
    ) -> Result<Head<Vec<EncodedSeries>>, RpcError> {
        let message = pb::SelectSeriesRequest {
            tenant: tenant.to_string(),
            matchers: convert::matchers_to_pb(&request.matchers),
            start_ms: request.range.start,
            end_ms: request.range.end,
            encoded: encoded::VERSION,
            only: request.only.clone().map(|names| pb::LabelNames { names }),
            ids: request.ids,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let mut head = Head::<Vec<EncodedSeries>>::default();
            let response = client.select_series(message).await?;
            head.readable = Readable::of(response.metadata())?;
            let mut frames = response.into_inner();
            while let Some(frame) = frames.message().await? {
                head.manifest_version = frame.manifest_version;
                match frame.series {
                    Some(series) => head.data.push(convert::encoded_from_pb(series)?),
                    // An ingester that knows batches only.
                    None if !frame.batch.is_empty() => {
                        let mut series = Vec::new();
                        convert::series_from_batch(&frame.batch, &mut series)?;
                        head.data.extend(EncodedSeries::of(&series));
                    }
                    None => {}
                }
            }
            Ok(head)
        })
        .await
    }

    async fn select_entries(
        &self,
        tenant: &TenantId,
        request: &SelectEntries,
    ) -> Result<Head<Vec<StreamEntries>>, RpcError> {
        let message = pb::SelectEntriesRequest {
            tenant: tenant.to_string(),
            matchers: convert::matchers_to_pb(&request.matchers),
            start_ns: request.range.start,
            end_ns: request.range.end,
            needles: request.needles.clone(),
            limit: request.limit as u64,
            backward: request.backward,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let mut head = Head::default();
            let response = client.select_entries(message).await?;
            head.readable = Readable::of(response.metadata())?;
            let mut frames = response.into_inner();
            while let Some(frame) = frames.message().await? {
                head.manifest_version = frame.manifest_version;
                convert::entries_from_batch(&frame.batch, &mut head.data)?;
            }
            Ok(head)
        })
        .await
    }

    async fn labels(
        &self,
        tenant: &TenantId,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<Labels>>, RpcError> {
        let message = pb::LabelsRequest {
            tenant: tenant.to_string(),
            signal: convert::signal_to_pb(signal).into(),
            matchers: convert::matchers_to_pb(matchers),
            start: range.start,
            end: range.end,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let response = client.labels(message).await?;
            let readable = Readable::of(response.metadata())?;
            let answer = response.into_inner();
            let data: Result<_, _> =
                answer.labels.into_iter().map(convert::labels_from_pb).collect();
            Ok(Head { manifest_version: answer.manifest_version, readable, data: data? })
        })
        .await
    }

    async fn metadata(&self, tenant: &TenantId) -> Result<Vec<MetricMetadata>, RpcError> {
        let message = pb::MetadataRequest { tenant: tenant.to_string() };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let answer = client.metadata(message).await?.into_inner();
            Ok(answer.metadata.into_iter().map(convert::metadata_from_pb).collect())
        })
        .await
    }

    async fn exemplars(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<Vec<(Labels, Vec<Exemplar>)>>, RpcError> {
        let message = pb::ExemplarsRequest {
            tenant: tenant.to_string(),
            matchers: convert::matchers_to_pb(matchers),
            start_ms: range.start,
            end_ms: range.end,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let response = client.exemplars(message).await?;
            let readable = Readable::of(response.metadata())?;
            let answer = response.into_inner();
            let data = convert::exemplars_from_pb(answer.series)?;
            Ok(Head { manifest_version: answer.manifest_version, readable, data })
        })
        .await
    }

    async fn stats(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Head<StreamStats>, RpcError> {
        let message = pb::StatsRequest {
            tenant: tenant.to_string(),
            matchers: convert::matchers_to_pb(matchers),
            start_ns: range.start,
            end_ns: range.end,
        };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let response = client.stats(message).await?;
            let readable = Readable::of(response.metadata())?;
            let a = response.into_inner();
            let (streams, entries, bytes, chunks) = (a.streams, a.entries, a.bytes, a.chunks);
            let data = StreamStats { streams, entries, bytes, chunks };
            Ok(Head { manifest_version: a.manifest_version, readable, data })
        })
        .await
    }

    async fn usage(&self, tenant: &TenantId) -> Result<TenantUsage, RpcError> {
        let message = pb::UsageRequest { tenant: tenant.to_string() };
        let mut client = self.client.clone()?;
        self.bounded(async move {
            let a = client.usage(message).await?.into_inner();
            Ok(TenantUsage {
                series: a.series,
                streams: a.streams,
                samples_per_second: a.samples_per_second,
                entries_per_second: a.entries_per_second,
            })
        })
        .await
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<ReceiverStream<Vec<StreamEntries>>, RpcError> {
        let message = pb::TailRequest {
            tenant: tenant.to_string(),
            matchers: convert::matchers_to_pb(matchers),
        };
        let mut client = self.client.clone()?;
        let mut frames =
            self.bounded(async move { Ok(client.tail(message).await?.into_inner()) }).await?;
        let (tx, rx) = mpsc::channel(TAIL_QUEUE);
        skald_runtime::spawn("tail", async move {
            loop {
                let frame = tokio::select! {
                    frame = frames.next() => frame,
                    () = tx.closed() => return,
                };
                let Some(Ok(frame)) = frame else { return };
                let mut streams = Vec::new();
                if let Err(error) = convert::entries_from_batch(&frame.batch, &mut streams) {
                    debug!(%error, "tail ended");
                    return;
                }
                if tx.send(streams).await.is_err() {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(rx))
    }

    async fn flush(&self, min_view_version: u64) -> Result<(), RpcError> {
        let mut client = self.client.clone()?;
        let call = client.flush(pb::FlushRequest { min_view_version });
        call.await.map(drop).map_err(RpcError::from)
    }
}
