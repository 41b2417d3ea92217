//! The handle to an open log.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::TenantId;
use skald_runtime::{Rng, Scope};

use crate::directory::Directory;
use crate::replay::{self, Replay};
use crate::segments::Segments;
use crate::state::Shared;
use crate::writer::Writer;
use crate::{Config, Error, Filesystem, Kept, Metrics};

/// A handle to the log. Clones share it; dropping the last one writes, syncs and closes, which blocks. In
/// a [`Scope`] nothing blocks: its tasks take turns.
#[derive(Clone, Debug)]
pub struct Wal(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<Running>>,
}

/// The writer at work.
#[derive(Debug)]
enum Running {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Where a record was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub seq: u64,
}

// === impl Wal ===

impl Wal {
    /// Opens or creates the log in `dir`, repairs its end, and starts the writing thread. Blocks.
    ///
    /// Fails if another process holds the directory, if a newer release wrote it, or on I/O errors;
    /// damaged records never make it fail.
    pub fn open(
        fs: Arc<dyn Filesystem>,
        dir: &Path,
        config: Config,
        rng: &Rng,
        metrics: Metrics,
    ) -> Result<(Self, Replay), Error> {
        config.validate()?;
        let (dir, lock) = Directory::open(fs, dir, &config, rng)?;
        let dir = Arc::new(dir);
        let segments = Arc::new(Segments::new(metrics.clone()));
        let (last_seq, replay) = replay::survey(&dir, &segments, &metrics)?;
        let path = dir.path.clone();
        let shared = Arc::new(Shared::new(dir, segments, config, metrics, last_seq));
        let writer = Writer::new(Arc::clone(&shared), lock);
        let running = match Scope::current() {
            Some(scope) => Running::Task(scope.spawn("wal-writer", writer.run_in_turns())),
            None => {
                let thread = std::thread::Builder::new().name("wal-writer".to_owned());
                let thread = thread.spawn(|| writer.run());
                Running::Thread(thread.map_err(|e| Error::io("start writer of", &path, e))?)
            }
        };
        Ok((Self(Arc::new(Handle { shared, writer: Mutex::new(Some(running)) })), replay))
    }

    /// Appends a record made of `parts` and gives it the next number. Does not wait for the disk.
    ///
    /// The record is committed only when [`commit`](Self::commit) says so. Callers that hold a lock
    /// over their own state while appending get numbers in the order in which that state changes.
    pub fn append(&self, tenant: &TenantId, kind: u8, parts: &[&[u8]]) -> Result<Appended, Error> {
        self.0.shared.append(tenant, kind, parts).map(|seq| Appended { seq })
    }

    /// As [`append`](Self::append) for a payload that is read again: from memory until it is in a segment,
    /// from there afterwards. The caller may read as long as it holds what this answers.
    pub fn append_kept(
        &self,
        tenant: &TenantId,
        kind: u8,
        payload: &Bytes,
    ) -> Result<(Appended, Arc<Kept>), Error> {
        let (seq, kept) = self.0.shared.append_kept(tenant, kind, payload)?;
        Ok((Appended { seq }, kept))
    }

    /// Completes once every record up to `seq` is on stable storage. Cancel-safe.
    ///
    /// [`Error::DiskFull`] means "not yet": the records may still be written when space is found.
    pub fn commit(&self, seq: u64) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let waiting = self.0.shared.wait_for(seq);
        async move {
            match waiting {
                Ok(receiver) => receiver.await.unwrap_or(Err(Error::Closed)),
                Err(known) => known,
            }
        }
    }

    /// Makes every later number larger than `seq`.
    ///
    /// To be called after replay and before the first append, with the highest watermark that the
    /// catalog has for this replica: a log that lost its end, or its whole disk, would otherwise give
    /// out numbers that count as flushed already.
    pub fn raise_seq(&self, seq: u64) {
        self.0.shared.raise_seq(seq);
    }

    /// Deletes segments whose records all have numbers below `seq`. Blocks on the file system.
    ///
    /// The segment being written goes as well once the writer has begun another one, a little later.
    pub fn truncate_before(&self, seq: u64) -> Result<(), Error> {
        let shared = &self.0.shared;
        let deleted = shared.segments.delete_before(&shared.dir, seq);
        shared.request_truncation(seq);
        if deleted? > 0 {
            shared.dir.ensure_ballast(&shared.config);
        }
        Ok(())
    }

    /// The last number given out, or found at open; 0 for none.
    pub fn last_seq(&self) -> u64 {
        self.0.shared.last_seq()
    }

    /// Everything up to this number is on stable storage. No watermark may be larger.
    pub fn durable_seq(&self) -> u64 {
        self.0.shared.durable_seq()
    }

    /// Bytes in all segment files and in the buffers.
    pub fn size_bytes(&self) -> u64 {
        self.0.shared.size_bytes()
    }

    /// The identity of this log's directory, made when it was created.
    pub fn uuid(&self) -> [u8; 16] {
        self.0.shared.dir.uuid
    }

    /// Completes with the reason when the log is poisoned: then the process must exit. Cancel-safe.
    pub fn failed(&self) -> impl Future<Output = Error> + Send + use<> {
        let mut failed = self.0.shared.failed.subscribe();
        async move {
            let error = match failed.wait_for(Option::is_some).await {
                Ok(error) => error.clone(),
                Err(_) => None,
            };
            match error {
                Some(error) => error,
                // Closed without failing.
                None => std::future::pending().await,
            }
        }
    }

    /// Writes, syncs and closes; later calls fail with [`Error::Closed`]. Once begun it goes on even if cancelled.
    pub async fn close(&self) -> Result<(), Error> {
        let handle = &self.0;
        handle.shared.request_close();
        let running = handle.writer.lock().take();
        match running {
            Some(Running::Task(task)) => {
                // It tells how it ended through `failed`.
                task.await.ok();
            }
            Some(Running::Thread(thread)) => {
                let joined = skald_runtime::spawn_blocking(move || thread.join());
                if joined.await.is_err() {
                    return Err(Error::Closed);
                }
            }
            None => {}
        }
        handle.outcome()
    }
}

// === impl Handle ===

impl Handle {
    fn outcome(&self) -> Result<(), Error> {
        match self.shared.failed.borrow().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.request_close();
        // A task ends by itself, in its turn.
        if let Some(Running::Thread(thread)) = self.writer.lock().take() {
            thread.join().ok();
        }
    }
}
