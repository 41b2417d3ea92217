//! Multipart uploads of clients, each over one of the backend.
//!
//! The backend wants its parts in order, clients may send them in any: a part that comes early is kept
//! (accounted for) until those before it have come. An upload that nobody touches is aborted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult};
use parking_lot::Mutex;
use skald_model::Chain;
use skald_proto::storage as pb;
use skald_runtime::{MemoryPermit, Rng};
use tokio::time::Instant;
use tonic::{Status, Streaming};
use tracing::warn;

use super::Inner;
use super::frames::Frames;
use super::put::Buffer;
use crate::error::{Reason, to_status};

/// As on S3.
const MAX_PARTS: u32 = 10_000;

/// All open uploads.
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
    max_open: usize,
    idle: Duration,
    rng: Rng,
}

struct Upload {
    key: Path,
    used: Mutex<Instant>,
    state: tokio::sync::Mutex<State>,
}

struct State {
    backend: Box<dyn MultipartUpload>,
    /// The number of the part that the backend takes next.
    next: u32,
    ids: BTreeMap<u32, String>,
    early: BTreeMap<u32, (PutPayload, MemoryPermit)>,
    size: u64,
    failed: bool,
}

impl Uploads {
    pub(super) fn new(max_open: usize, idle: Duration) -> Self {
        Self { open: Mutex::default(), max_open, idle, rng: Rng::from_entropy() }
    }

    pub(super) async fn start(&self, store: &dyn ObjectStore, key: Path) -> Result<String, Status> {
        self.abort_idle().await;
        if self.open.lock().len() >= self.max_open {
            return Err(Reason::Throttled.into_status("too many uploads are open"));
        }
        let backend = store.put_multipart(&key).await.map_err(|e| to_status(&e))?;
        let state = State {
            backend,
            next: 0,
            ids: BTreeMap::new(),
            early: BTreeMap::new(),
            size: 0,
            failed: false,
        };
        let upload = Upload { key, used: Mutex::new(Instant::now()), state: state.into() };
        let id = format!("{:032x}", self.rng.next_u128());
        self.open.lock().insert(id.clone(), Arc::new(upload));
        Ok(id)
    }

    pub(super) async fn complete(
        &self,
        request: pb::CompleteUploadRequest,
    ) -> Result<PutResult, Status> {
        let upload = self.find(&request.upload_id, &request.key)?;
        let mut state = upload.state.lock().await;
        let complete = !state.failed
            && state.early.is_empty()
            && state.ids.values().eq(request.part_ids.iter());
        if !complete {
            let why = "the parts are not those that were received, from 0 without a gap";
            return Err(Reason::PreconditionFailed.into_status(why));
        }
        let done = state.backend.complete().await.map_err(|e| to_status(&e))?;
        self.open.lock().remove(&request.upload_id);
        Ok(done)
    }

    /// Idempotent: an unknown upload counts as aborted.
    pub(super) async fn abort(&self, request: &pb::AbortUploadRequest) -> Result<(), Status> {
        let Ok(upload) = self.find(&request.upload_id, &request.key) else {
            return Ok(());
        };
        let aborted = upload.state.lock().await.backend.abort().await;
        aborted.map_err(|e| to_status(&e))?;
        self.open.lock().remove(&request.upload_id);
        Ok(())
    }

    fn find(&self, id: &str, key: &str) -> Result<Arc<Upload>, Status> {
        let found = self.open.lock().get(id).map(Arc::clone);
        let upload = found
            .filter(|upload| upload.key.as_ref() == key)
            .ok_or_else(|| Reason::NotFound.into_status("no such upload of this key"))?;
        *upload.used.lock() = Instant::now();
        Ok(upload)
    }

    async fn abort_idle(&self) {
        let idle: Vec<Arc<Upload>> = {
            let mut open = self.open.lock();
            let ids: Vec<String> = open
                .iter()
                .filter(|(_, upload)| upload.used.lock().elapsed() > self.idle)
                .map(|(id, _)| id.clone())
                .collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
        for upload in idle {
            if let Err(err) = upload.state.lock().await.backend.abort().await {
                warn!(error = %Chain(&err), "could not abort an idle upload");
            }
        }
    }
}

/// Receives one part and returns its id, which says what it holds.
pub(super) async fn receive_part(
    inner: &Inner,
    stream: Streaming<pb::PutPartRequest>,
) -> Result<String, Status> {
    let timeout = inner.config.frame_timeout.0;
    let mut frames = Frames::new(stream, inner.config.max_object_bytes.0, timeout);
    let Some(pb::put_part_request::Part::Header(header)) = frames.first().await?.part else {
        return Err(Status::invalid_argument("expected the header first"));
    };
    if header.number >= MAX_PARTS {
        return Err(Status::invalid_argument(format!("more than {MAX_PARTS} parts")));
    }
    let upload = inner.uploads.find(&header.upload_id, &header.key)?;
    let mut buffer = Buffer::new(&inner.budget)?;
    while let Some(data) = frames.next().await? {
        buffer.push(data)?;
    }
    let (size, crc) = frames.received();
    let id = format!("{}-{size}-{crc:08x}", header.number);
    let mut state = upload.state.lock().await;
    state.accept(header.number, &id, size, inner.config.max_object_bytes.0)?;
    state.early.entry(header.number).or_insert_with(|| buffer.into_parts());
    state.forward().await?;
    Ok(id)
}

impl State {
    /// Records a part. The same part again is a success and leaves `early` to decide nothing.
    fn accept(&mut self, number: u32, id: &str, size: u64, max: u64) -> Result<(), Status> {
        if self.failed {
            return Err(Reason::PreconditionFailed.into_status("an earlier part failed"));
        }
        match self.ids.get(&number) {
            Some(known) if known == id => Ok(()),
            Some(_) => Err(Reason::PreconditionFailed.into_status("another part had this number")),
            None if self.size.saturating_add(size) > max => {
                Err(Reason::Quota.into_status(format!("an object of more than {max} bytes")))
            }
            None => {
                self.size += size;
                self.ids.insert(number, id.to_owned());
                Ok(())
            }
        }
    }

    /// Gives the backend what is its turn.
    async fn forward(&mut self) -> Result<(), Status> {
        // A repeated part that the backend has already is dropped.
        self.early = self.early.split_off(&self.next);
        while let Some((data, _permit)) = self.early.remove(&self.next) {
            self.next += 1;
            // Set before the await: a call that is cancelled in the middle leaves the upload failed.
            self.failed = true;
            self.backend.put_part(data).await.map_err(|e| to_status(&e))?;
            self.failed = false;
        }
        Ok(())
    }
}
