//! Serves any `ObjectStore` as `skald.storage.v1`: what `skald storage serve` runs, and the reference for plugins.
//!
//! Invariants: an object becomes visible only after its trailer has been checked; whatever is buffered
//! is taken from one byte budget first; every failure carries a reason of the closed set where one fits.

mod auth;
mod frames;
mod get;
mod list;
mod put;
mod upload;

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use skald_proto::storage as pb;
use skald_proto::storage::object_storage_server::{ObjectStorage, ObjectStorageServer};
use skald_runtime::{ByteSize, HumanDuration, MemoryBudget, Shutdown};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming, async_trait};

pub use self::auth::BearerGate;
use crate::error::{Reason, to_status};
use crate::options::Secret;
use crate::wire;

/// How a store is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bearer token that each call must carry; never printed. Default empty: none is asked for.
    pub token: Secret,
    /// The largest object that is accepted. Default 5GiB.
    pub max_object_bytes: ByteSize,
    /// The bytes that all calls together may buffer; beyond it calls are answered `THROTTLED`. Default 1GiB.
    pub buffer_bytes: ByteSize,
    /// Multipart uploads open at once. Default 256.
    pub max_uploads: usize,
    /// An upload untouched for this long is aborted. Default 1h.
    pub upload_idle: HumanDuration,
    /// The longest wait for the next frame of a stream. Default 1m.
    pub frame_timeout: HumanDuration,
}

/// The service over one store. Clones share it.
#[derive(Clone)]
pub struct StorageService {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    config: Config,
    budget: MemoryBudget,
    uploads: upload::Uploads,
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
#[error("serve object storage")]
pub struct ServeError(#[from] tonic::transport::Error);

impl Default for Config {
    fn default() -> Self {
        Self {
            token: Secret::default(),
            max_object_bytes: ByteSize(5 << 30),
            buffer_bytes: ByteSize(1 << 30),
            max_uploads: 256,
            upload_idle: HumanDuration::from_secs(3600),
            frame_timeout: HumanDuration::from_secs(60),
        }
    }
}

/// Serves until `shutdown`, then finishes what is under way. `grpc.health.v1` answers without a token.
pub async fn serve(
    service: StorageService,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ObjectStorageServer<StorageService>>().await;
    tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(1024)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .add_service(health_service)
        .add_service(service.into_server())
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            shutdown.wait().await;
            health.set_not_serving::<ObjectStorageServer<StorageService>>().await;
        })
        .await?;
    Ok(())
}

// === impl StorageService ===

impl StorageService {
    pub fn new(store: Arc<dyn ObjectStore>, config: Config) -> Self {
        let budget = MemoryBudget::new(config.buffer_bytes.0);
        let uploads = upload::Uploads::new(config.max_uploads, config.upload_idle.0);
        Self { inner: Arc::new(Inner { store, config, budget, uploads }) }
    }

    /// The tonic service, behind the check of its token: for those who serve it beside others.
    pub fn into_server(self) -> InterceptedService<ObjectStorageServer<Self>, BearerGate> {
        let gate = BearerGate::new(&self.inner.config.token);
        let storage = ObjectStorageServer::new(self)
            .max_decoding_message_size(wire::MESSAGE_BYTES)
            .max_encoding_message_size(wire::MESSAGE_BYTES);
        InterceptedService::new(storage, gate)
    }

    fn capabilities(&self) -> pb::Capabilities {
        pb::Capabilities {
            min_protocol: wire::PROTOCOL,
            max_protocol: wire::PROTOCOL,
            max_object_bytes: self.inner.config.max_object_bytes.0,
            conditional_create: true,
            // Depends on the backend; one that cannot answers UNSUPPORTED.
            if_match: !self.inner.store.to_string().contains("LocalFileSystem"),
            multipart: true,
            ranged_get: true,
            start_after: true,
            delimiter: true,
            batch_delete: true,
            strong_list: true,
            last_modified: true,
            checksums: vec!["crc32c".to_owned()],
            implementation: format!("skald {}", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl fmt::Debug for StorageService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageService").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStorage for StorageService {
    type GetStream = get::Frames;
    type ListStream = list::Batches;

    async fn get_capabilities(
        &self,
        _request: Request<pb::GetCapabilitiesRequest>,
    ) -> Result<Response<pb::Capabilities>, Status> {
        Ok(Response::new(self.capabilities()))
    }

    async fn put(
        &self,
        request: Request<Streaming<pb::PutRequest>>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let inner = Arc::clone(&self.inner);
        // A task of its own: when the caller goes away it sees the broken stream and cleans up.
        let put = skald_runtime::spawn("storage_put", async move {
            put::receive(&inner, request.into_inner()).await
        });
        put.await.map_err(|e| Status::internal(e.to_string()))?.map(Response::new)
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<Self::GetStream>, Status> {
        get::open(&self.inner, request.into_inner()).await.map(Response::new)
    }

    async fn head(
        &self,
        request: Request<pb::HeadRequest>,
    ) -> Result<Response<pb::ObjectMeta>, Status> {
        let key = key(&request.get_ref().key)?;
        let options = GetOptions::new().with_head(true);
        let got = self.inner.store.get_opts(&key, options).await.map_err(|e| to_status(&e))?;
        Ok(Response::new(wire::meta_to_wire(&got.meta)))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        list::open(&self.inner, request.into_inner()).await.map(Response::new)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        delete(&self.inner, request.into_inner()).await.map(Response::new)
    }

    async fn start_upload(
        &self,
        request: Request<pb::StartUploadRequest>,
    ) -> Result<Response<pb::StartUploadResponse>, Status> {
        let key = key(&request.get_ref().key)?;
        let upload_id = self.inner.uploads.start(&*self.inner.store, key).await?;
        Ok(Response::new(pb::StartUploadResponse { upload_id }))
    }

    async fn put_part(
        &self,
        request: Request<Streaming<pb::PutPartRequest>>,
    ) -> Result<Response<pb::PutPartResponse>, Status> {
        let part_id = upload::receive_part(&self.inner, request.into_inner()).await?;
        Ok(Response::new(pb::PutPartResponse { part_id }))
    }

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let done = self.inner.uploads.complete(request.into_inner()).await?;
        Ok(Response::new(put::response(done)))
    }

    async fn abort_upload(
        &self,
        request: Request<pb::AbortUploadRequest>,
    ) -> Result<Response<pb::AbortUploadResponse>, Status> {
        self.inner.uploads.abort(&request.into_inner()).await?;
        Ok(Response::new(pb::AbortUploadResponse {}))
    }
}

fn key(key: &str) -> Result<Path, Status> {
    wire::parse_key(key).map_err(|e| to_status(&e))
}

/// Deletes all at once; when anything fails, one by one, to say which. A missing key is a success.
async fn delete(inner: &Inner, request: pb::DeleteRequest) -> Result<pb::DeleteResponse, Status> {
    use futures_util::{StreamExt, TryStreamExt};
    if request.keys.len() > wire::BATCH {
        return Err(Status::invalid_argument(format!("more than {} keys", wire::BATCH)));
    }
    let paths = request.keys.iter().map(|k| wire::parse_key(k)).collect::<Result<Vec<_>, _>>();
    if let Ok(paths) = paths {
        let keys = futures_util::stream::iter(paths.into_iter().map(Ok)).boxed();
        if inner
            .store
            .delete_stream(keys)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .is_ok()
        {
            let deleted = |key| pb::DeleteResult { key, ..Default::default() };
            return Ok(pb::DeleteResponse {
                results: request.keys.into_iter().map(deleted).collect(),
            });
        }
    }
    let each = request.keys.into_iter().map(|key| async move {
        let outcome = match wire::parse_key(&key) {
            Ok(path) => inner.store.delete(&path).await,
            Err(err) => Err(err),
        };
        let (reason, message) = match outcome {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => (String::new(), String::new()),
            Err(err) => {
                let word = Reason::of(&err).map_or("UNKNOWN", Reason::as_str);
                (word.to_owned(), err.to_string())
            }
        };
        pb::DeleteResult { key, reason, message }
    });
    let results = futures_util::stream::iter(each).buffered(16).collect().await;
    Ok(pb::DeleteResponse { results })
}

#[cfg(test)]
mod tests;
