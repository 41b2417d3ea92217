//! The thread that writes (a task in a [`Scope`](skald_runtime::Scope)): takes the filled buffer, writes it, syncs once, and wakes all who waited.
//!
//! A failed sync is never tried again, because the kernel may have dropped the pages: the log is
//! poisoned. A full disk is not a failure: the batch is kept and tried again, since later records may
//! rely on it, and appends are refused meanwhile.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use skald_runtime::crash_point;
use tracing::{error, info, warn};

use crate::batch::Batch;
use crate::directory::is_full;
use crate::format::{self, Header, VERSION};
use crate::segments::Segment;
use crate::state::{Shared, Work};
use crate::{Error, File, Fsync, Lock};

/// Buffers that grew larger than this are not kept.
const MAX_SPARE: usize = 8 << 20;
/// What a write and its sync take when the writer is a task.
const TURN: Duration = Duration::from_millis(4);

/// The state of the writing thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    /// A batch that found the disk full.
    held: Option<Batch>,
    spare: Vec<u8>,
    low: bool,
    _lock: Box<dyn Lock>,
}

/// The segment being written.
struct Active {
    file: Box<dyn File>,
    /// For those who read what was written, once there is anybody.
    reader: Option<Arc<dyn File>>,
    first_seq: u64,
    last_seq: u64,
    /// Good bytes; a failed write may have left more.
    bytes: u64,
}

/// Why a batch was not written.
enum Failure {
    Full(io::Error),
    Fatal(&'static str, io::Error),
}

/// Poisons the log if the thread panics, so that nobody waits for ever.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = Arc::new(io::Error::other("writer panicked"));
            self.0.end(&Error::Poisoned { op: "write", source });
        }
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, lock: Box<dyn Lock>) -> Self {
        Self { shared, active: None, held: None, spare: Vec::new(), low: false, _lock: lock }
    }

    /// Works until closed or poisoned.
    pub(crate) fn run(mut self) {
        let _alarm = Alarm(Arc::clone(&self.shared));
        self.check_space();
        loop {
            let work = self.shared.next_work(&mut self.spare, self.held.is_some());
            if self.turn(work).is_break() {
                return;
            }
        }
    }

    /// As [`run`](Self::run), as a task: a write takes some time, as on a disk, and then happens at once.
    pub(crate) async fn run_in_turns(mut self) {
        let _alarm = Alarm(Arc::clone(&self.shared));
        self.check_space();
        loop {
            let work = self.shared.next_turn(&mut self.spare, self.held.is_some()).await;
            tokio::time::sleep(TURN).await;
            if self.turn(work).is_break() {
                return;
            }
        }
    }

    fn turn(&mut self, work: Work) -> ControlFlow<()> {
        let done = match work {
            Work::Write(batch) => self.write(batch),
            Work::Truncate { before, next_seq } => self.truncate(before, next_seq),
            Work::Recheck => self.retry(),
            Work::Close => {
                let last = self.close();
                self.shared.end(&last.err().unwrap_or(Error::Closed));
                return ControlFlow::Break(());
            }
        };
        if let Err((op, source)) = done {
            error!(op, error = %source, "write-ahead log failed, this process must exit");
            self.shared.end(&Error::Poisoned { op, source: Arc::new(source) });
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let poisoned = |(op, source)| Error::Poisoned { op, source: Arc::new(source) };
        self.retry().map_err(poisoned)?;
        if let Some(held) = &self.held {
            error!(
                records = held.n_records,
                "disk is full, records that nobody relies on are lost"
            );
        }
        match &mut self.active {
            Some(active) => active.file.sync_data().map_err(|e| poisoned(("sync", e))),
            None => Ok(()),
        }
    }

    fn write(&mut self, mut batch: Batch) -> Result<(), (&'static str, io::Error)> {
        match self.try_write(&batch) {
            Ok(offset) => {
                let metrics = &self.shared.metrics;
                metrics.records.inc_by(batch.n_records);
                metrics.bytes.inc_by(batch.len() as u64);
                #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
                metrics.batch_bytes.observe(batch.len() as f64);
                if batch.is_kept()
                    && let Some(file) = self.active.as_mut().and_then(|a| a.reader(&self.shared))
                {
                    batch.settle(&file, offset);
                }
                self.shared.written();
                self.spare = batch.bytes;
                self.spare.clear();
                self.spare.shrink_to(MAX_SPARE);
                self.check_space();
                Ok(())
            }
            Err(Failure::Full(source)) => {
                if self.held.is_none() {
                    warn!(error = %source, "disk is full, appends are refused");
                }
                self.held = Some(batch);
                let free = self.shared.dir.space().map_or(0, |s| s.free);
                let min_free = self.shared.config.min_free.0;
                self.shared.stuck(&Error::DiskFull { free, min_free });
                Ok(())
            }
            Err(Failure::Fatal(op, source)) => Err((op, source)),
        }
    }

    /// Answers where in the segment the batch begins.
    fn try_write(&mut self, batch: &Batch) -> Result<u64, Failure> {
        let limit = self.shared.config.segment_size.0;
        if self.active.as_ref().is_none_or(|a| a.bytes >= limit) {
            self.rotate(batch.first_seq)?;
        }
        let Some(active) = &mut self.active else {
            return Err(Failure::Fatal("create", io::Error::other("no segment")));
        };
        let offset = active.bytes;
        crash_point!("wal.append");
        active.append(batch.parts())?;
        crash_point!("wal.written");
        if self.shared.config.fsync == Fsync::Group {
            active.sync(&self.shared)?;
            crash_point!("wal.synced");
        }
        active.last_seq = batch.last_seq;
        let Active { first_seq, last_seq, bytes, .. } = *active;
        self.shared.segments.set(first_seq, Segment { last_seq, bytes });
        Ok(offset)
    }

    /// Ends the active segment and begins one whose records have numbers from `first_seq` on.
    fn rotate(&mut self, first_seq: u64) -> Result<(), Failure> {
        if let Some(old) = &mut self.active
            && self.shared.config.fsync == Fsync::Os
        {
            old.sync(&self.shared)?;
        }
        let dir = &self.shared.dir;
        let path = dir.segment(first_seq);
        crash_point!("wal.segment.create");
        let file = match dir.fs.create(&path) {
            // Left by a start, or by a full disk, before any record came into it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => dir.fs.open(&path),
            other => other,
        };
        let file = file.map_err(Failure::of("create"))?;
        let mut active = Active {
            file,
            reader: None,
            first_seq,
            last_seq: first_seq.saturating_sub(1),
            bytes: 0,
        };
        crash_point!("wal.segment.created");
        active.file.set_len(0).map_err(Failure::of("truncate"))?;
        let header = Header { version: VERSION, first_seq, uuid: dir.uuid };
        active.append([&header.encode()[..]].into_iter())?;
        crash_point!("wal.segment.header");
        active.sync(&self.shared)?;
        crash_point!("wal.segment.synced");
        dir.fs.sync_dir(&dir.path).map_err(|e| Failure::Fatal("sync", e))?;
        crash_point!("wal.segment.ready");
        let segment = Segment { last_seq: active.last_seq, bytes: format::HEADER as u64 };
        self.shared.segments.set(first_seq, segment);
        self.active = Some(active);
        Ok(())
    }

    /// Ends the newest segment if nothing in it is needed, so that it can be deleted as well.
    fn truncate(&mut self, before: u64, next_seq: u64) -> Result<(), (&'static str, io::Error)> {
        if self.shared.segments.newest_is_obsolete(before) {
            match self.rotate(next_seq) {
                Ok(()) => {}
                Err(Failure::Full(e)) => warn!(error = %e, "disk is full, segment not ended"),
                Err(Failure::Fatal(op, e)) => return Err((op, e)),
            }
        }
        if let Err(error) = self.shared.segments.delete_before(&self.shared.dir, before) {
            warn!(%error, "segment not deleted");
        }
        self.check_space();
        Ok(())
    }

    fn retry(&mut self) -> Result<(), (&'static str, io::Error)> {
        match self.held.take() {
            Some(batch) => self.write_again(batch),
            None => {
                self.check_space();
                Ok(())
            }
        }
    }

    fn write_again(&mut self, batch: Batch) -> Result<(), (&'static str, io::Error)> {
        self.write(batch)?;
        if self.held.is_none() {
            info!("disk has space again");
        }
        Ok(())
    }

    /// Refuses appends while the disk is nearly full.
    fn check_space(&mut self) {
        let shared = &self.shared;
        let low = shared.dir.low_space(&shared.config);
        if low.is_some() != self.low {
            self.low = low.is_some();
            match low {
                Some((free, min_free)) => {
                    warn!(free, min_free, "disk is nearly full, appends are refused");
                }
                None => info!("disk has space again"),
            }
        }
        shared.set_refusal(low.map(|(free, min_free)| Error::DiskFull { free, min_free }));
    }
}

// === impl Active ===

impl Active {
    /// A second handle. Without one, which only a lack of file descriptors explains, memory serves on.
    fn reader(&mut self, shared: &Shared) -> Option<Arc<dyn File>> {
        if self.reader.is_none() {
            let path = shared.dir.segment(self.first_seq);
            match shared.dir.fs.open(&path) {
                Ok(file) => self.reader = Some(file.into()),
                Err(error) => warn!(%error, "segment cannot be opened for reading"),
            }
        }
        self.reader.clone()
    }

    /// Appends all `parts`, or leaves the file as it was.
    fn append<'p>(&mut self, mut parts: impl Iterator<Item = &'p [u8]>) -> Result<(), Failure> {
        let mut added = 0;
        let written = parts.try_for_each(|part| {
            added += part.len() as u64;
            crash_point!("wal.append.part");
            self.file.write_all(part)
        });
        match written {
            Ok(()) => {
                self.bytes += added;
                Ok(())
            }
            Err(e) if is_full(&e) => {
                self.file.set_len(self.bytes).map_err(|e| Failure::Fatal("truncate", e))?;
                Err(Failure::Full(e))
            }
            Err(e) => Err(Failure::Fatal("write", e)),
        }
    }

    fn sync(&mut self, shared: &Shared) -> Result<(), Failure> {
        let start = tokio::time::Instant::now();
        self.file.sync_data().map_err(|e| Failure::Fatal("sync", e))?;
        shared.metrics.fsync_duration.observe(start.elapsed().as_secs_f64());
        Ok(())
    }
}

// === impl Failure ===

impl Failure {
    fn of(op: &'static str) -> impl Fn(io::Error) -> Self {
        move |e| if is_full(&e) { Self::Full(e) } else { Self::Fatal(op, e) }
    }
}
