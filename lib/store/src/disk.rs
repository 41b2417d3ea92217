//! Ranges of blocks kept on the local disk, so that a process which starts, or whose memory is small, does not ask
//! the object store again.
//!
//! ```text
//! get of a range of t/<tenant>/b/… ─on disk?→ read, checked → answer, marked as from a cache
//!                                  └no→ one asks the store, others of the same range wait for it
//!                                       └→ answer; a file is written behind it
//! ```
//!
//! Blocks never change and their ids are never used again, so what was read once stays true; nothing else is kept.
//! The key of an entry has the whole path, hence the tenant.
//!
//! Invariant: no answer and no error of a request depends on the disk. An entry that is damaged, cut, of another
//! version or of another key is removed and counts as absent; a disk that cannot be written is left alone for a while. What
//! the store sent damaged is kept as well: whoever finds that out asks for it anew.

mod config;
mod entry;
mod files;
mod flight;
mod index;
mod metrics;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;
use skald_runtime::{Anew, FromCache};
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::config::{Config, DiskSize, TooManyFiles};
use self::entry::{Entry, Key};
use self::files::Files;
use self::flight::{Flight, Flights};
use self::index::Index;
pub use self::metrics::Metrics;

/// Longest range that is kept. Readers of blocks ask for half of it at most.
const MAX_RANGE: u64 = 64 << 20;
/// Bytes that may wait to be written; what comes then is not kept.
const MAX_WAITING: u64 = 128 << 20;
/// How long nothing is written after a write failed.
const PAUSE: Duration = Duration::from_secs(300);

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// On disk, whole pages of it.
    pub bytes: u64,
    pub files: usize,
}

/// The entries of one directory, which nobody else writes to. Clones share them.
#[derive(Clone, Debug)]
pub struct DiskCache(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    files: Files,
    index: Mutex<Index>,
    /// Whether the index knows all files that were there at the start.
    is_complete: AtomicBool,
    flights: Flights,
    waiting: AtomicU64,
    /// Until when nothing is written.
    paused: Mutex<Option<Instant>>,
    max_entry: u64,
    metrics: Metrics,
}

/// A store whose blocks are looked for on disk first.
#[derive(Debug)]
pub struct DiskCachedStore {
    inner: Arc<dyn ObjectStore>,
    cache: DiskCache,
}

// === impl DiskCache ===

impl DiskCache {
    /// Uses `dir`, which need not exist; looks in the background at what is there. Must be called inside a tokio
    /// runtime.
    pub fn open(dir: PathBuf, bounds: Bounds, metrics: Metrics) -> Self {
        let this = Self(Arc::new(Parts {
            files: Files::new(dir),
            index: Mutex::new(Index::new(bounds)),
            is_complete: AtomicBool::new(false),
            flights: Flights::default(),
            waiting: AtomicU64::new(0),
            paused: Mutex::new(None),
            // One entry must not drive out most others.
            max_entry: (bounds.bytes / 4).min(MAX_RANGE),
            metrics,
        }));
        let parts = Arc::clone(&this.0);
        drop(skald_runtime::spawn_blocking(move || parts.look_around(bounds)));
        this
    }

    /// The store behind this cache.
    pub fn over(&self, inner: Arc<dyn ObjectStore>) -> DiskCachedStore {
        DiskCachedStore { inner, cache: self.clone() }
    }

    /// What is kept under `key`.
    async fn read(&self, key: &Key) -> Option<Entry> {
        if !self.0.may_have(key) {
            return None;
        }
        let (parts, key) = (Arc::clone(&self.0), key.clone());
        skald_runtime::spawn_blocking(move || parts.read(&key)).await.ok().flatten()
    }

    /// Writes an entry in the background; `flight` lasts until that is done.
    fn keep(&self, key: Key, entry: Entry, flight: Flight) {
        let parts = Arc::clone(&self.0);
        let size = entry.data.len() as u64;
        if entry::size(&key) > parts.max_entry || parts.is_paused() {
            return;
        }
        if parts.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            parts.waiting.fetch_sub(size, Ordering::Relaxed);
            return;
        }
        drop(skald_runtime::spawn_blocking(move || {
            parts.write(&key, &entry);
            parts.waiting.fetch_sub(size, Ordering::Relaxed);
            drop(flight);
        }));
    }
}

// === impl Parts ===

impl Parts {
    fn may_have(&self, key: &Key) -> bool {
        !self.is_complete.load(Ordering::Acquire) || self.index.lock().has(key.hash)
    }

    fn read(&self, key: &Key) -> Option<Entry> {
        match self.files.read(key) {
            Ok(Some(entry)) => {
                let victims = self.index.lock().used(key.hash, entry::size(key));
                self.remove(victims);
                Some(entry)
            }
            Ok(None) => {
                self.index.lock().remove(key.hash);
                self.show();
                None
            }
            // The process has no more descriptors, or the like: that is not the entry's fault.
            Err(e) if !matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                None
            }
            Err(_) => {
                self.metrics.damaged.inc();
                self.index.lock().remove(key.hash);
                self.files.remove(key.hash);
                self.show();
                None
            }
        }
    }

    fn write(&self, key: &Key, entry: &Entry) {
        match self.files.write(key, entry) {
            Ok(()) => {
                if self.paused.lock().take().is_some() {
                    info!("cache on disk can be written again");
                }
                self.metrics.paused.set(0);
                let victims = self.index.lock().used(key.hash, entry::size(key));
                self.remove(victims);
            }
            Err(error) => {
                self.metrics.write_failures.inc();
                self.metrics.paused.set(1);
                let before = self.paused.lock().replace(Instant::now() + PAUSE);
                if before.is_none() {
                    let dir = self.files.dir().display();
                    warn!(%dir, %error, pause = ?PAUSE, "cache on disk cannot be written, going on without it");
                }
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.paused.lock().is_some_and(|until| Instant::now() < until)
    }

    fn remove(&self, victims: Vec<u128>) {
        for hash in victims {
            self.metrics.evictions.inc();
            self.files.remove(hash);
        }
        self.show();
    }

    fn show(&self) {
        let (bytes, files) = self.index.lock().held();
        self.metrics.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.metrics.files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }

    /// Learns which entries there are from before, those that were written last to be kept longest.
    fn look_around(&self, bounds: Bounds) {
        // Files beyond what may be kept are not worth memory.
        let found = self.files.list(bounds.files.saturating_mul(4));
        let victims = self.index.lock().add_old(found);
        self.is_complete.store(true, Ordering::Release);
        self.remove(victims);
    }
}

// === impl DiskCachedStore ===

impl DiskCachedStore {
    async fn cached(&self, key: Key, options: GetOptions) -> Result<GetResult> {
        let metrics = &self.cache.0.metrics;
        // What is kept is what the store sent, and that was damaged.
        let anew = options.extensions.get::<Anew>().is_some();
        if !anew && let Some(entry) = self.cache.read(&key).await {
            metrics.hits.inc();
            return Ok(hit(&key, entry));
        }
        let flight = self.cache.0.flights.enter(key.hash);
        let mut slot = flight.slot().await;
        let landed = match slot.as_ref() {
            _ if anew => None,
            Some(entry) => Some(entry.clone()),
            // Written since it was looked for.
            None => self.cache.read(&key).await,
        };
        if let Some(entry) = landed.filter(|entry| entry.is_of(&key)) {
            metrics.hits.inc();
            return Ok(hit(&key, entry));
        }
        metrics.misses.inc();
        let mut got = self.inner.get_opts(&key.path, options).await?;
        if got.range != key.range {
            return Ok(got);
        }
        let payload = std::mem::replace(&mut got.payload, payload_of(Bytes::new()));
        let whole = GetResult { payload, ..without_payload(&got) };
        let data = whole.bytes().await?;
        if data.len() as u64 == key.range.end - key.range.start {
            let entry = Entry::of(&key, &got.meta, data.clone());
            *slot = Some(entry.clone());
            drop(slot);
            self.cache.keep(key, entry, flight);
        }
        got.payload = payload_of(data);
        Ok(got)
    }
}

fn payload_of(data: Bytes) -> GetResultPayload {
    GetResultPayload::Stream(stream::iter([Ok(data)]).boxed())
}

fn without_payload(got: &GetResult) -> GetResult {
    GetResult {
        payload: payload_of(Bytes::new()),
        meta: got.meta.clone(),
        range: got.range.clone(),
        attributes: got.attributes.clone(),
        extensions: got.extensions.clone(),
    }
}

fn hit(key: &Key, entry: Entry) -> GetResult {
    let mut extensions = Extensions::new();
    extensions.insert(FromCache);
    let meta = ObjectMeta {
        location: key.path.clone(),
        last_modified: entry.modified().into(),
        size: entry.object_size,
        e_tag: None,
        version: None,
    };
    let attributes = Attributes::new();
    GetResult {
        payload: payload_of(entry.data),
        meta,
        range: key.range.clone(),
        attributes,
        extensions,
    }
}

/// The range of a request that may be kept.
fn wanted(path: &Path, options: &GetOptions) -> Option<Range<u64>> {
    let plain = !options.head
        && options.version.is_none()
        && options.if_match.is_none()
        && options.if_none_match.is_none()
        && options.if_modified_since.is_none()
        && options.if_unmodified_since.is_none();
    match &options.range {
        Some(GetRange::Bounded(range)) if plain && is_of_block(path) => {
            let len = range.end.checked_sub(range.start)?;
            (1..=MAX_RANGE).contains(&len).then(|| range.clone())
        }
        _ => None,
    }
}

/// Whether the object is a part of a block, `t/<tenant>/b/<id>/…`: those never change.
fn is_of_block(path: &Path) -> bool {
    let mut parts = path.as_ref().split('/');
    let (top, tenant, kind) = (parts.next(), parts.next(), parts.next());
    top == Some("t")
        && tenant.is_some_and(|t| !t.is_empty())
        && kind == Some("b")
        && parts.count() >= 2
}

impl fmt::Display for DiskCachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DiskCachedStore {
    async fn put_opts(&self, key: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(key, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match wanted(path, &options) {
            Some(range) => self.cached(Key::new(path.clone(), range), options).await,
            None => self.inner.get_opts(path, options).await,
        }
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
