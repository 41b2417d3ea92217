//! The gRPC edge of an ingester: decode, call, encode.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use skald_codec::encoded;
use skald_model::{ErrorKind, TimeRange};
use skald_proto::ingest as pb;
use skald_proto::ingest::ingester_server::{Ingester, IngesterServer};
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

use crate::incarnation::{Gate, Incarnation};
use crate::ingester::{IngesterApi, PushRequest, SelectEntries, SelectSeries};
use crate::{RpcError, convert};

/// Largest message either side takes, in bytes: a push of the largest body and its framing.
pub(crate) const MAX_MESSAGE: usize = 128 << 20;

/// Serves an [`IngesterApi`] as `skald.ingest.v1.Ingester`.
#[derive(Clone, Debug)]
pub struct IngesterService(Arc<dyn IngesterApi>);

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl IngesterService {
    /// The tonic service over `ingester`, for calls that are meant for `incarnation`.
    pub fn server(
        ingester: Arc<dyn IngesterApi>,
        incarnation: Incarnation,
    ) -> InterceptedService<IngesterServer<Self>, Gate> {
        let server = IngesterServer::new(Self(ingester))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        InterceptedService::new(server, Gate::new(incarnation))
    }
}

fn messages<T: Send + 'static>(items: Vec<T>) -> Messages<T> {
    stream::iter(items.into_iter().map(Ok)).boxed()
}

#[tonic::async_trait]
impl Ingester for IngesterService {
    type SelectSeriesStream = Messages<pb::SelectSeriesResponse>;
    type SelectEntriesStream = Messages<pb::SelectEntriesResponse>;
    type TailStream = Messages<pb::SelectEntriesResponse>;

    async fn push(
        &self,
        request: Request<pb::PushRequest>,
    ) -> Result<Response<pb::PushResponse>, Status> {
        let r = request.into_inner();
        let request = PushRequest {
            tenant: convert::tenant(&r.tenant)?,
            partition: r.partition,
            view_version: r.view_version,
            batch: r.batch,
        };
        let outcome = self.0.push(request).await?;
        Ok(Response::new(convert::outcome_to_pb(outcome)))
    }

    async fn select_series(
        &self,
        request: Request<pb::SelectSeriesRequest>,
    ) -> Result<Response<Self::SelectSeriesStream>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let matchers = convert::matchers_from_pb(&r.matchers)?;
        let range = TimeRange::new(r.start_ms, r.end_ms);
        // A caller that knows batches only does not say which labels it wants.
        let only = r.only.map(|only| only.names);
        let request = SelectSeries { matchers, range, only, ids: r.ids };
        let head = self.0.encoded_series(&tenant, &request).await?;
        let manifest_version = head.manifest_version;
        let answer = |batch, series| pb::SelectSeriesResponse { batch, manifest_version, series };
        if r.encoded >= encoded::VERSION {
            let sets = head.data.into_iter().map(convert::encoded_to_pb);
            let mut frames: Vec<_> = sets.map(|set| answer(Bytes::new(), Some(set))).collect();
            if frames.is_empty() {
                // The version travels even when there is nothing else.
                frames.push(answer(Bytes::new(), None));
            }
            return Ok(head.readable.with(messages(frames)));
        }
        let series = convert::decode_series(&head.data, range)?;
        let batches = convert::series_to_batches(&series);
        let frames = batches.into_iter().map(|batch| answer(batch, None)).collect();
        Ok(head.readable.with(messages(frames)))
    }

    async fn select_entries(
        &self,
        request: Request<pb::SelectEntriesRequest>,
    ) -> Result<Response<Self::SelectEntriesStream>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let select = SelectEntries {
            matchers: convert::matchers_from_pb(&r.matchers)?,
            range: TimeRange::new(r.start_ns, r.end_ns),
            needles: r.needles,
            limit: usize::try_from(r.limit)
                .map_err(|_| RpcError::new(ErrorKind::Invalid, "limit is out of range"))?,
            backward: r.backward,
        };
        let head = self.0.select_entries(&tenant, &select).await?;
        let manifest_version = head.manifest_version;
        let message = |batch| pb::SelectEntriesResponse { batch, manifest_version };
        let batches = convert::entries_to_batches(&head.data);
        Ok(head.readable.with(messages(batches.into_iter().map(message).collect())))
    }

    async fn labels(
        &self,
        request: Request<pb::LabelsRequest>,
    ) -> Result<Response<pb::LabelsResponse>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let signal = convert::signal_from_pb(r.signal())?;
        let matchers = convert::matchers_from_pb(&r.matchers)?;
        let range = TimeRange::new(r.start, r.end);
        let head = self.0.labels(&tenant, signal, &matchers, range).await?;
        let labels = head.data.into_iter().map(|l| l.as_bytes().clone()).collect();
        let manifest_version = head.manifest_version;
        Ok(head.readable.with(pb::LabelsResponse { labels, manifest_version }))
    }

    async fn metadata(
        &self,
        request: Request<pb::MetadataRequest>,
    ) -> Result<Response<pb::MetadataResponse>, Status> {
        let tenant = convert::tenant(&request.into_inner().tenant)?;
        let metadata = self.0.metadata(&tenant).await?;
        let metadata = metadata.into_iter().map(convert::metadata_to_pb).collect();
        Ok(Response::new(pb::MetadataResponse { metadata }))
    }

    async fn exemplars(
        &self,
        request: Request<pb::ExemplarsRequest>,
    ) -> Result<Response<pb::ExemplarsResponse>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let matchers = convert::matchers_from_pb(&r.matchers)?;
        let range = TimeRange::new(r.start_ms, r.end_ms);
        let head = self.0.exemplars(&tenant, &matchers, range).await?;
        Ok(head.readable.with(pb::ExemplarsResponse {
            series: convert::exemplars_to_pb(head.data),
            manifest_version: head.manifest_version,
        }))
    }

    async fn stats(
        &self,
        request: Request<pb::StatsRequest>,
    ) -> Result<Response<pb::StatsResponse>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let matchers = convert::matchers_from_pb(&r.matchers)?;
        let range = TimeRange::new(r.start_ns, r.end_ns);
        let head = self.0.stats(&tenant, &matchers, range).await?;
        Ok(head.readable.with(pb::StatsResponse {
            streams: head.data.streams,
            entries: head.data.entries,
            bytes: head.data.bytes,
            chunks: head.data.chunks,
            manifest_version: head.manifest_version,
        }))
    }

    async fn usage(
        &self,
        request: Request<pb::UsageRequest>,
    ) -> Result<Response<pb::UsageResponse>, Status> {
        let tenant = convert::tenant(&request.into_inner().tenant)?;
        let usage = self.0.usage(&tenant).await?;
        Ok(Response::new(pb::UsageResponse {
            series: usage.series,
            streams: usage.streams,
            samples_per_second: usage.samples_per_second,
            entries_per_second: usage.entries_per_second,
        }))
    }

    async fn tail(
        &self,
        request: Request<pb::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let r = request.into_inner();
        let tenant = convert::tenant(&r.tenant)?;
        let matchers = convert::matchers_from_pb(&r.matchers)?;
        let tail = self.0.tail(&tenant, &matchers).await?;
        let message = |batch| Ok(pb::SelectEntriesResponse { batch, manifest_version: 0 });
        let frames = tail.flat_map(move |streams| {
            stream::iter(convert::entries_to_batches(&streams).into_iter().map(message))
        });
        Ok(Response::new(frames.boxed()))
    }

    async fn flush(
        &self,
        request: Request<pb::FlushRequest>,
    ) -> Result<Response<pb::FlushResponse>, Status> {
        self.0.flush(request.into_inner().min_view_version).await?;
        Ok(Response::new(pb::FlushResponse {}))
    }
}
