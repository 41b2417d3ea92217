//! Receives an object: buffered and committed in one put, or, when large and unconditional, through a multipart upload.
//!
//! Both become visible only at the end: `complete` is called after the trailer has been checked.

use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion,
};
use skald_model::Chain;
use skald_proto::storage as pb;
use skald_runtime::{MemoryBudget, MemoryPermit};
use tonic::{Status, Streaming};
use tracing::warn;

use super::frames::Frames;
use super::{Inner, key};
use crate::error::{Reason, to_status};
use crate::wire::some;

/// Parts of a multipart upload to the backend; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// What a buffered frame costs beside its bytes.
const FRAME_OVERHEAD: u64 = 64;

/// Bytes held in memory, accounted for.
pub(super) struct Buffer {
    chunks: Vec<Bytes>,
    bytes: usize,
    permit: MemoryPermit,
    budget: MemoryBudget,
}

pub(super) async fn receive(
    inner: &Inner,
    stream: Streaming<pb::PutRequest>,
) -> Result<pb::PutResponse, Status> {
    let timeout = inner.config.frame_timeout.0;
    let mut frames = Frames::new(stream, inner.config.max_object_bytes.0, timeout);
    let Some(pb::put_request::Part::Header(header)) = frames.first().await?.part else {
        return Err(Status::invalid_argument("expected the header first"));
    };
    let key = key(&header.key)?;
    if header.size_hint > inner.config.max_object_bytes.0 {
        let why = format!("an object of more than {} bytes", inner.config.max_object_bytes.0);
        return Err(Reason::Quota.into_status(why));
    }
    let mode = mode(header.precondition)?;
    let mut buffer = Buffer::new(&inner.budget)?;
    while let Some(data) = frames.next().await? {
        buffer.push(data)?;
        if mode == PutMode::Overwrite && buffer.bytes >= PART_BYTES {
            let upload = inner.store.put_multipart(&key).await.map_err(|e| to_status(&e))?;
            return in_parts(upload, frames, buffer).await.map(response);
        }
    }
    let done = inner.store.put_opts(&key, buffer.take(), mode.into()).await;
    done.map(response).map_err(|e| to_status(&e))
}

/// Goes on with `upload`, and aborts it when anything fails.
async fn in_parts(
    mut upload: Box<dyn MultipartUpload>,
    mut frames: Frames<pb::PutRequest>,
    mut buffer: Buffer,
) -> Result<PutResult, Status> {
    match parts(&mut *upload, &mut frames, &mut buffer).await {
        Ok(done) => Ok(done),
        Err(status) => {
            if let Err(err) = upload.abort().await {
                warn!(error = %Chain(&err), "could not abort an upload");
            }
            Err(status)
        }
    }
}

async fn parts(
    upload: &mut dyn MultipartUpload,
    frames: &mut Frames<pb::PutRequest>,
    buffer: &mut Buffer,
) -> Result<PutResult, Status> {
    loop {
        let ended = match frames.next().await? {
            Some(data) => {
                buffer.push(data)?;
                false
            }
            None => true,
        };
        if buffer.bytes >= PART_BYTES || (ended && buffer.bytes > 0) {
            upload.put_part(buffer.take()).await.map_err(|e| to_status(&e))?;
            buffer.release()?;
        }
        if ended {
            return upload.complete().await.map_err(|e| to_status(&e));
        }
    }
}

fn mode(precondition: Option<pb::Precondition>) -> Result<PutMode, Status> {
    use pb::precondition::Kind;
    match precondition.and_then(|p| p.kind) {
        None | Some(Kind::None(true)) => Ok(PutMode::Overwrite),
        Some(Kind::IfAbsent(true)) => Ok(PutMode::Create),
        Some(Kind::IfMatch(v)) if !(v.etag.is_empty() && v.version.is_empty()) => {
            Ok(PutMode::Update(UpdateVersion { e_tag: some(v.etag), version: some(v.version) }))
        }
        Some(_) => Err(Status::invalid_argument("a precondition that says nothing")),
    }
}

pub(super) fn response(done: PutResult) -> pb::PutResponse {
    pb::PutResponse {
        etag: done.e_tag.unwrap_or_default(),
        version: done.version.unwrap_or_default(),
    }
}

// === impl Buffer ===

impl Buffer {
    pub(super) fn new(budget: &MemoryBudget) -> Result<Self, Status> {
        let permit = take(budget)?;
        Ok(Self { chunks: Vec::new(), bytes: 0, permit, budget: budget.clone() })
    }

    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Status> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX).saturating_add(FRAME_OVERHEAD);
        self.permit.grow(bytes).map_err(|e| Reason::Throttled.into_status(e.to_string()))?;
        self.bytes += data.len();
        self.chunks.push(data);
        Ok(())
    }

    /// The bytes so far; they count against the budget until [`Buffer::release`].
    fn take(&mut self) -> PutPayload {
        self.bytes = 0;
        std::mem::take(&mut self.chunks).into_iter().collect()
    }

    fn release(&mut self) -> Result<(), Status> {
        self.permit = take(&self.budget)?;
        Ok(())
    }

    /// The bytes with what accounts for them.
    pub(super) fn into_parts(self) -> (PutPayload, MemoryPermit) {
        (self.chunks.into_iter().collect(), self.permit)
    }
}

fn take(budget: &MemoryBudget) -> Result<MemoryPermit, Status> {
    budget.try_take(0).map_err(|e| Reason::Throttled.into_status(e.to_string()))
}
