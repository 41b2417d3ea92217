//! A store in memory that fails by order or by chance, and whose clock can be moved.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use skald_runtime::Rng;
use tokio::sync::Semaphore;

/// What happens to a put of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing lands, an error comes back.
    Refused,
    /// It lands, an error comes back.
    AckLost,
    /// It lands, "already exists" comes back (a retry inside the client).
    AckIsExists,
    /// Nothing lands, "already exists" comes back (S3's 409).
    FalseExists,
}

#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) inner: InMemory,
    rng: Rng,
    /// For the next creations.
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// Of 100 requests so many fail in some way, once above 0 also in a random order.
    percent: AtomicU64,
    pub(super) down: AtomicBool,
    pub(super) gets: AtomicU64,
    pub(super) puts: AtomicU64,
    offset_ms: AtomicI64,
    put_offsets: Arc<Mutex<HashMap<Path, i64>>>,
    /// A creation of this object waits for a permit.
    held: Mutex<Option<(Path, Arc<Semaphore>)>>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "injected".into() }
}

fn exists(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "injected".into() }
}

impl FaultyStore {
    pub(super) fn new(inner: InMemory, rng: Rng) -> Self {
        Self {
            inner,
            rng,
            faults: Mutex::default(),
            percent: AtomicU64::new(0),
            down: AtomicBool::new(false),
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            offset_ms: AtomicI64::new(0),
            put_offsets: Arc::default(),
            held: Mutex::default(),
        }
    }

    pub(super) fn set_percent(&self, percent: u64) {
        self.percent.store(percent, Ordering::SeqCst);
    }

    pub(super) fn advance_ms(&self, ms: i64) {
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// The object was written now, by the clock of the store.
    pub(super) fn note_put(&self, path: &Path) {
        let offset = self.offset_ms.load(Ordering::SeqCst);
        self.put_offsets.lock().insert(path.clone(), offset);
    }

    pub(super) fn hold(&self, path: Path) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.held.lock() = Some((path, Arc::clone(&gate)));
        gate
    }

    fn shift(offsets: &Mutex<HashMap<Path, i64>>, mut meta: ObjectMeta) -> ObjectMeta {
        let ms = offsets.lock().get(&meta.location).copied().unwrap_or(0);
        meta.last_modified += std::time::Duration::from_millis(ms.unsigned_abs());
        meta
    }

    async fn enter(&self) -> Result<()> {
        let percent = self.percent.load(Ordering::SeqCst);
        if percent > 0 {
            for _ in 0..self.rng.below(4) {
                tokio::task::yield_now().await;
            }
        }
        if self.down.load(Ordering::SeqCst) || self.rng.below(100) < percent {
            return Err(broken());
        }
        Ok(())
    }

    fn fault(&self) -> Option<Fault> {
        if let Some(fault) = self.faults.lock().pop_front() {
            return Some(fault);
        }
        let percent = self.percent.load(Ordering::SeqCst);
        (self.rng.below(100) < percent).then(|| match self.rng.below(3) {
            0 => Fault::AckLost,
            1 => Fault::AckIsExists,
            _ => Fault::FalseExists,
        })
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.enter().await?;
        let create = matches!(opts.mode, PutMode::Create);
        let held = self.held.lock().take_if(|(path, _)| path == location);
        if let Some((_, gate)) = held {
            drop(gate.acquire().await.unwrap());
        }
        let fault = create.then(|| self.fault()).flatten();
        match fault {
            Some(Fault::Refused) => return Err(broken()),
            Some(Fault::FalseExists) => return Err(exists(location)),
            _ => {}
        }
        let done = self.inner.put_opts(location, payload, opts).await;
        if done.is_ok() {
            self.note_put(location);
        }
        match fault {
            Some(Fault::AckLost) => Err(broken()),
            Some(Fault::AckIsExists) => Err(exists(location)),
            _ => done,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.enter().await?;
        let mut found = self.inner.get_opts(location, options).await?;
        found.meta = Self::shift(&self.put_offsets, found.meta);
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let percent = self.percent.load(Ordering::SeqCst);
        let rng = self.rng.clone();
        let checked =
            locations.map(move |path| if rng.below(100) < percent { Err(broken()) } else { path });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.down.load(Ordering::SeqCst)
            || self.rng.below(100) < self.percent.load(Ordering::SeqCst)
        {
            return futures_util::stream::iter([Err(broken())]).boxed();
        }
        let offsets = Arc::clone(&self.put_offsets);
        self.inner.list(prefix).map(move |meta| meta.map(|m| Self::shift(&offsets, m))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
