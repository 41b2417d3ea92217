//! Sends small requests through one client and large transfers through another, because their time-outs differ.
//!
//! A request is small when it moves at most `small_bytes`: then a hung server is noticed within
//! seconds, while a block may take minutes.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Two clients of one bucket.
pub(crate) struct SizedStore<S> {
    small: S,
    large: S,
    small_bytes: u64,
}

impl<S: ObjectStore> SizedStore<S> {
    pub(crate) fn new(small: S, large: S, small_bytes: u64) -> Self {
        Self { small, large, small_bytes }
    }

    fn by_size(&self, bytes: u64) -> &S {
        if bytes <= self.small_bytes { &self.small } else { &self.large }
    }

    fn by_options(&self, options: &GetOptions) -> &S {
        let bytes = match &options.range {
            _ if options.head => 0,
            Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
            Some(GetRange::Suffix(n)) => *n,
            Some(GetRange::Offset(_)) | None => u64::MAX,
        };
        self.by_size(bytes)
    }
}

impl<S: ObjectStore> fmt::Debug for SizedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients' own Debug would print their credentials.
        write!(f, "SizedStore({})", self.small)
    }
}

impl<S: ObjectStore> fmt::Display for SizedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.small)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for SizedStore<S> {
    async fn put_opts(&self, key: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let bytes = u64::try_from(data.content_length()).unwrap_or(u64::MAX);
        self.by_size(bytes).put_opts(key, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.large.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.by_options(&options).get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes =
            ranges.iter().map(|r| r.end.saturating_sub(r.start)).fold(0, u64::saturating_add);
        self.by_size(bytes).get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.small.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.small.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.small.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.small.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.large.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.large.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn transfers_go_by_their_size() {
        let store = SizedStore::new(InMemory::new(), InMemory::new(), 4);
        let key = Path::from("k");
        store.put(&key, "1234".into()).await.unwrap();
        assert!(store.small.head(&key).await.is_ok());
        assert!(store.large.head(&key).await.is_err());
        store.large.put(&key, "12345".into()).await.unwrap();
        assert_eq!(store.get_range(&key, 0..4).await.unwrap(), "1234");
        assert_eq!(store.get_range(&key, 0..5).await.unwrap(), "12345");
        assert_eq!(store.head(&key).await.unwrap().size, 4);
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "12345");
    }
}
