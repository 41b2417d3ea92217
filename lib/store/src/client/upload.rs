//! Multipart uploads to a plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;
use skald_proto::storage as pb;
use tonic::Response;

use super::object::put_result;
use super::{GrpcStore, Repeat, with_deadline};
use crate::error::other;
use crate::wire;

/// An upload that has been started.
#[derive(Debug)]
struct GrpcUpload {
    store: GrpcStore,
    key: Path,
    upload_id: String,
    n_parts: u32,
    part_ids: Arc<Mutex<BTreeMap<u32, String>>>,
}

impl GrpcStore {
    pub(super) async fn start_upload(&self, key: &Path) -> Result<Box<dyn MultipartUpload>> {
        let time = self.options.request_timeout.0;
        let answer = self
            .call(key.as_ref(), Repeat::Allowed, time, |mut client| {
                let request = pb::StartUploadRequest { key: key.to_string() };
                async move {
                    let answer = client.start_upload(with_deadline(request, time)).await;
                    answer.map(Response::into_inner)
                }
            })
            .await?;
        Ok(Box::new(GrpcUpload {
            store: self.clone(),
            key: key.clone(),
            upload_id: answer.upload_id,
            n_parts: 0,
            part_ids: Arc::default(),
        }))
    }

    async fn put_part(&self, header: pb::PartHeader, data: PutPayload) -> Result<String> {
        let trailer = wire::trailer(&data);
        let time = self.options.transfer_timeout.0;
        let answer = self
            .call(&header.key, Repeat::Allowed, time, |mut client| {
                let request = part_stream(header.clone(), data.clone(), trailer);
                async move {
                    client.put_part(with_deadline(request, time)).await.map(Response::into_inner)
                }
            })
            .await?;
        Ok(answer.part_id)
    }
}

fn part_stream(
    header: pb::PartHeader,
    data: PutPayload,
    trailer: pb::Trailer,
) -> stream::Iter<impl Iterator<Item = pb::PutPartRequest> + Send + 'static> {
    use pb::put_part_request::Part;
    let parts = std::iter::once(Part::Header(header))
        .chain(wire::frames(data).map(Part::Data))
        .chain([Part::Trailer(trailer)]);
    stream::iter(parts.map(|part| pb::PutPartRequest { part: Some(part) }))
}

#[async_trait]
impl MultipartUpload for GrpcUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = self.n_parts;
        self.n_parts = self.n_parts.saturating_add(1);
        let header =
            pb::PartHeader { key: self.key.to_string(), upload_id: self.upload_id.clone(), number };
        let (store, part_ids) = (self.store.clone(), Arc::clone(&self.part_ids));
        Box::pin(async move {
            let id = store.put_part(header, data).await?;
            part_ids.lock().insert(number, id);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let part_ids: Vec<String> = self.part_ids.lock().values().cloned().collect();
        if u32::try_from(part_ids.len()).ok() != Some(self.n_parts) {
            return Err(other("an upload was completed before all of its parts"));
        }
        let request = pb::CompleteUploadRequest {
            key: self.key.to_string(),
            upload_id: self.upload_id.clone(),
            part_ids,
        };
        let time = self.store.options.transfer_timeout.0;
        let complete = |mut client: super::Client| {
            let request = with_deadline(request.clone(), time);
            async move { client.complete_upload(request).await.map(Response::into_inner) }
        };
        let answer = self.store.call(self.key.as_ref(), Repeat::Never, time, complete).await?;
        Ok(put_result(answer))
    }

    async fn abort(&mut self) -> Result<()> {
        let request =
            pb::AbortUploadRequest { key: self.key.to_string(), upload_id: self.upload_id.clone() };
        let time = self.store.options.request_timeout.0;
        let abort = |mut client: super::Client| {
            let request = with_deadline(request.clone(), time);
            async move { client.abort_upload(request).await.map(|_| ()) }
        };
        self.store.call(self.key.as_ref(), Repeat::Allowed, time, abort).await
    }
}
