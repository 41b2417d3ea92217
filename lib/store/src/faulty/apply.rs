//! Carries the faults out.

use async_trait::async_trait;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, once};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::{Fault, FaultyStore, Op, lost_reply, transient};
use crate::error::Reason;

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        key: &Path,
        data: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.decide(Op::Put);
        let conflict = || Reason::AlreadyExists.into_error(key.as_ref(), "injected");
        let is_create = opts.mode == PutMode::Create;
        match fault {
            Some(Fault::Latency(time)) => tokio::time::sleep(time).await,
            Some(Fault::ErrorBefore) => return Err(transient(key)),
            Some(Fault::FalseConflict) if is_create => return Err(conflict()),
            Some(Fault::IgnoreCondition) => opts.mode = PutMode::Overwrite,
            _ => {}
        }
        let done = self.inner.put_opts(key, data, opts).await?;
        self.remember_put(key);
        match fault {
            Some(Fault::ErrorAfter) => Err(lost_reply()),
            Some(Fault::OwnConflict) if is_create => Err(conflict()),
            _ => Ok(done),
        }
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.decide(Op::Upload);
        let inner = self.inner.put_multipart_opts(key, opts).await?;
        Ok(Box::new(FaultyUpload { inner, key: key.clone(), fault }))
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.decide(if options.head { Op::Head } else { Op::Get });
        match fault {
            Some(Fault::Latency(time)) => tokio::time::sleep(time).await,
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => return Err(transient(key)),
            _ => {}
        }
        let head = options.head;
        let got = self.inner.get_opts(key, options).await?;
        match fault {
            Some(Fault::TornGet) if !head => tear(got, key, false).await,
            Some(Fault::BrokenGet) if !head => tear(got, key, true).await,
            _ => Ok(got),
        }
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fault = self.decide(Op::Delete);
        if fault == Some(Fault::ErrorBefore) {
            return keys.map(|key| Err(transient(&key?))).boxed();
        }
        let deleted = self.inner.delete_stream(keys);
        match fault {
            Some(Fault::ErrorAfter) => deleted.map(|_| Err(lost_reply())).boxed(),
            Some(Fault::Latency(time)) => {
                once(tokio::time::sleep(time)).filter_map(|()| ready(None)).chain(deleted).boxed()
            }
            _ => deleted,
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.decide(Op::List) {
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => {
                let err = transient(prefix.unwrap_or(&Path::default()));
                stream::iter([Err(err)]).boxed()
            }
            Some(Fault::StaleList) => {
                let unseen = self.recent_puts();
                let seen = move |m: &ObjectMeta| ready(!unseen.contains(&m.location));
                self.inner.list(prefix).try_filter(seen).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.decide(Op::List);
        match fault {
            Some(Fault::Latency(time)) => tokio::time::sleep(time).await,
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => {
                return Err(transient(prefix.unwrap_or(&Path::default())));
            }
            _ => {}
        }
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        if fault == Some(Fault::StaleList) {
            let unseen = self.recent_puts();
            listed.objects.retain(|m| !unseen.contains(&m.location));
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.decide(Op::Copy);
        if fault == Some(Fault::ErrorBefore) {
            return Err(transient(from));
        }
        self.inner.copy_opts(from, to, options).await?;
        self.remember_put(to);
        if fault == Some(Fault::ErrorAfter) { Err(lost_reply()) } else { Ok(()) }
    }
}

/// Keeps the first half of the bytes, then ends or fails.
async fn tear(got: GetResult, key: &Path, fails: bool) -> Result<GetResult> {
    let (meta, range) = (got.meta.clone(), got.range.clone());
    let (attributes, extensions) = (got.attributes.clone(), got.extensions.clone());
    let bytes = got.bytes().await?;
    let mut pieces = vec![Ok(bytes.slice(..bytes.len() / 2))];
    if fails {
        pieces.push(Err(transient(key)));
    }
    let payload = GetResultPayload::Stream(stream::iter(pieces).boxed());
    Ok(GetResult { payload, meta, range, attributes, extensions })
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    key: Path,
    fault: Option<Fault>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.fault {
            Some(Fault::Latency(time)) => tokio::time::sleep(time).await,
            Some(Fault::ErrorBefore) => return Err(transient(&self.key)),
            _ => {}
        }
        let done = self.inner.complete().await?;
        if self.fault == Some(Fault::ErrorAfter) { Err(lost_reply()) } else { Ok(done) }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
