//! Counts what is asked of a store, for `/metrics`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skald_runtime::metrics::latency_histogram;
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    op: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    op: &'static str,
}

/// The counters of all stores of one process.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    bytes: Family<Operation, Counter>,
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Registers `requests_total{op,outcome}`, `transferred_bytes_total{op}` and `request_seconds{op}`; give a registry with the prefix `skald_store`.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(latency_histogram),
        };
        registry.register("requests", "Requests to the object store", new.requests.clone());
        registry.register_with_unit(
            "transferred",
            "Bytes sent to and announced by the object store",
            Unit::Bytes,
            new.bytes.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time until the store answered, without streaming the body",
            Unit::Seconds,
            new.seconds.clone(),
        );
        new
    }

    fn count<T>(&self, op: &'static str, result: &Result<T>) {
        self.requests.get_or_create(&Request { op, outcome: outcome(result) }).inc();
    }

    fn add_bytes(&self, op: &'static str, bytes: u64) {
        self.bytes.get_or_create(&Operation { op }).inc_by(bytes);
    }

    async fn timed<T>(&self, op: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let result = call.await;
        self.seconds.get_or_create(&Operation { op }).observe(start.elapsed().as_secs_f64());
        self.count(op, &result);
        result
    }
}

fn outcome<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::InvalidPath { .. },
        ) => "client_error",
        Err(_) => "server_error",
    }
}

/// Wraps a store so that each request is counted.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    metrics: Metrics,
}

impl CountingStore {
    pub fn new(inner: Arc<dyn ObjectStore>, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

fn length(data: &PutPayload) -> u64 {
    u64::try_from(data.content_length()).unwrap_or(u64::MAX)
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, key: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.metrics.add_bytes("put", length(&data));
        self.metrics.timed("put", self.inner.put_opts(key, data, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let start = self.inner.put_multipart_opts(key, opts);
        let inner = self.metrics.timed("start_upload", start).await?;
        Ok(Box::new(CountingUpload { inner, metrics: self.metrics.clone() }))
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.metrics.timed("head", self.inner.get_opts(key, options)).await;
        }
        let got = self.metrics.timed("get", self.inner.get_opts(key, options)).await?;
        self.metrics.add_bytes("get", got.range.end.saturating_sub(got.range.start));
        Ok(got)
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let got = self.metrics.timed("get", self.inner.get_ranges(key, ranges)).await?;
        let bytes = got.iter().map(|b| u64::try_from(b.len()).unwrap_or(u64::MAX)).sum();
        self.metrics.add_bytes("get", bytes);
        Ok(got)
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let metrics = self.metrics.clone();
        self.inner.delete_stream(keys).inspect(move |r| metrics.count("delete", r)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.metrics.clone(), self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.metrics.clone(), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.metrics.timed("list", self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.metrics.timed("copy", self.inner.copy_opts(from, to, options)).await
    }
}

/// One listing is one request, judged by its first error or its end.
fn counted_list(
    metrics: Metrics,
    listed: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let failed = Arc::new(AtomicBool::new(false));
    let (failed_at_end, at_end) = (Arc::clone(&failed), metrics.clone());
    let ended = futures_util::stream::once(async move {
        if !failed_at_end.load(Ordering::Relaxed) {
            at_end.count("list", &Ok(()));
        }
    });
    listed
        .inspect(move |item| {
            if item.is_err() && !failed.swap(true, Ordering::Relaxed) {
                metrics.count("list", item);
            }
        })
        .chain(ended.filter_map(|()| std::future::ready(None)))
        .boxed()
}

#[derive(Debug)]
struct CountingUpload {
    inner: Box<dyn MultipartUpload>,
    metrics: Metrics,
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.metrics.add_bytes("put_part", length(&data));
        let part = self.inner.put_part(data);
        let metrics = self.metrics.clone();
        Box::pin(async move { metrics.timed("put_part", part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.metrics.timed("complete_upload", self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.metrics.timed("abort_upload", self.inner.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    #[tokio::test]
    async fn requests_and_bytes_are_counted_by_operation_and_outcome() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(registry.sub_registry_with_prefix("skald_store"));
        let store = CountingStore::new(Arc::new(InMemory::new()), metrics);
        let key = Path::from("k");
        store.put_opts(&key, "12345".into(), PutMode::Create.into()).await.unwrap();
        assert!(store.put_opts(&key, "1".into(), PutMode::Create.into()).await.is_err());
        store.get_range(&key, 0..3).await.unwrap();
        store.head(&key).await.unwrap();
        store.list(None).try_collect::<Vec<_>>().await.unwrap();
        store.delete(&key).await.unwrap();
        let mut upload = store.put_multipart(&key).await.unwrap();
        upload.put_part("12".into()).await.unwrap();
        upload.complete().await.unwrap();

        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"skald_store_requests_total{op="put",outcome="ok"} 1"#,
            r#"skald_store_requests_total{op="put",outcome="client_error"} 1"#,
            r#"skald_store_requests_total{op="get",outcome="ok"} 1"#,
            r#"skald_store_requests_total{op="head",outcome="ok"} 1"#,
            r#"skald_store_requests_total{op="list",outcome="ok"} 1"#,
            r#"skald_store_requests_total{op="delete",outcome="ok"} 1"#,
            r#"skald_store_requests_total{op="complete_upload",outcome="ok"} 1"#,
            r#"skald_store_transferred_bytes_total{op="put"} 6"#,
            r#"skald_store_transferred_bytes_total{op="get"} 3"#,
            r#"skald_store_transferred_bytes_total{op="put_part"} 2"#,
            r#"skald_store_request_seconds_count{op="head"} 1"#,
        ] {
            assert!(text.contains(line), "missing {line} in\n{text}");
        }
    }
}
