//! What appends and the writer share: the buffer that fills while the other one is being synced.
//!
//! Invariants: numbers are given out and records copied under one lock, so the order of numbers is the
//! order in the file; a waiter is answered exactly once; once poisoned, always poisoned.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use skald_model::TenantId;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::directory::Directory;
use crate::format;
use crate::segments::Segments;
use crate::{Config, Error, Kept, Metrics};

/// How often a full disk is looked at again.
const RECHECK: Duration = Duration::from_secs(1);

pub(crate) type Answer = Result<(), Error>;

/// Shared by all handles and the writer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: Arc<Directory>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) failed: watch::Sender<Option<Error>>,
    state: Mutex<State>,
    /// For a writer that is a thread, and for one that is a task.
    work: Condvar,
    turn: Notify,
}

#[derive(Debug)]
struct State {
    next_seq: u64,
    durable: u64,
    pending: Batch,
    waiters: Vec<oneshot::Sender<Answer>>,
    inflight_last: u64,
    inflight_bytes: u64,
    inflight_waiters: Vec<oneshot::Sender<Answer>>,
    /// Bytes of all segment files.
    disk_bytes: u64,
    /// Why appends are refused at the moment.
    refusal: Option<Error>,
    /// The batch in flight cannot be written at the moment.
    stuck: bool,
    /// Records below this are not needed any more; 0 when the writer knows.
    truncate_before: u64,
    recheck: bool,
    /// Why nothing works any more.
    ended: Option<Error>,
    closing: bool,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Write(Batch),
    /// Delete what has only numbers below `before`; if that is all, `next_seq` begins a new segment.
    Truncate {
        before: u64,
        next_seq: u64,
    },
    /// Look at the disk, and try again what was stuck.
    Recheck,
    Close,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(
        dir: Arc<Directory>,
        segments: Arc<Segments>,
        config: Config,
        metrics: Metrics,
        last_seq: u64,
    ) -> Self {
        let state = State {
            next_seq: last_seq.saturating_add(1),
            durable: last_seq,
            pending: Batch::default(),
            waiters: Vec::new(),
            inflight_last: last_seq,
            inflight_bytes: 0,
            inflight_waiters: Vec::new(),
            disk_bytes: segments.bytes(),
            refusal: None,
            stuck: false,
            truncate_before: 0,
            recheck: false,
            ended: None,
            closing: false,
        };
        Self {
            dir,
            segments,
            config,
            metrics,
            failed: watch::Sender::new(None),
            state: Mutex::new(state),
            work: Condvar::new(),
            turn: Notify::new(),
        }
    }

    pub(crate) fn append(
        &self,
        tenant: &TenantId,
        kind: u8,
        parts: &[&[u8]],
    ) -> Result<u64, Error> {
        self.add(tenant, kind, parts, |batch, numbers| {
            format::put_record(&mut batch.bytes, numbers, kind, tenant, parts);
        })
    }

    /// As [`append`](Self::append) for a payload that is read again.
    pub(crate) fn append_kept(
        &self,
        tenant: &TenantId,
        kind: u8,
        payload: &Bytes,
    ) -> Result<(u64, Arc<Kept>), Error> {
        let kept = Kept::in_memory(payload.clone());
        let seq = self.add(tenant, kind, &[payload], |batch, numbers| {
            format::put_head(&mut batch.bytes, numbers, kind, tenant);
            batch.keep(Arc::clone(&kept), payload.clone());
        })?;
        Ok((seq, kept))
    }

    /// Gives a record its number and lets `put` write it, told number, size and checksum.
    fn add(
        &self,
        tenant: &TenantId,
        kind: u8,
        parts: &[&[u8]],
        put: impl FnOnce(&mut Batch, (u64, usize, u32)),
    ) -> Result<u64, Error> {
        let size = format::record_size(tenant, parts);
        let (bytes, limit) = (size as u64, self.config.buffer_size.0);
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        let body = format::body_crc(self.dir.seed, kind, tenant, parts);
        let mut state = self.state.lock();
        if let Err(e) = state.admit(bytes, &self.config) {
            self.metrics.refused.inc();
            return Err(e);
        }
        let seq = state.next_seq;
        state.next_seq = seq.saturating_add(1);
        state.pending.begin(seq);
        put(&mut state.pending, (seq, size, body));
        drop(state);
        self.wake();
        Ok(seq)
    }

    /// The answer if it is known, else a receiver for it.
    pub(crate) fn wait_for(&self, seq: u64) -> Result<oneshot::Receiver<Answer>, Answer> {
        let mut state = self.state.lock();
        if seq <= state.durable {
            return Err(Ok(()));
        }
        if let Some(e) = &state.ended {
            return Err(Err(e.clone()));
        }
        if seq >= state.next_seq {
            let last = state.next_seq.saturating_sub(1);
            return Err(Err(Error::UnknownSeq { seq, last }));
        }
        if state.stuck
            && let Some(e) = &state.refusal
        {
            return Err(Err(e.clone()));
        }
        let (sender, receiver) = oneshot::channel();
        if seq <= state.inflight_last {
            state.inflight_waiters.push(sender);
        } else {
            state.waiters.push(sender);
        }
        Ok(receiver)
    }

    pub(crate) fn raise_seq(&self, seq: u64) {
        let mut state = self.state.lock();
        let idle = state.durable.saturating_add(1) == state.next_seq;
        state.next_seq = state.next_seq.max(seq.saturating_add(1));
        if idle {
            // Numbers that nobody will ever get need no disk.
            state.durable = state.next_seq.saturating_sub(1);
            state.inflight_last = state.durable;
        }
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.state.lock().next_seq.saturating_sub(1)
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.state.lock().durable
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        let waiting = {
            let state = self.state.lock();
            state.inflight_bytes + state.pending.len() as u64
        };
        self.segments.bytes() + waiting
    }

    /// Asks the writer to let go of the newest segment if all its records are below `seq`.
    pub(crate) fn request_truncation(&self, seq: u64) {
        let mut state = self.state.lock();
        state.truncate_before = state.truncate_before.max(seq);
        state.disk_bytes = self.segments.bytes();
        state.recheck = true;
        drop(state);
        self.wake();
    }

    pub(crate) fn request_close(&self) {
        self.state.lock().closing = true;
        self.wake();
    }

    // --- for the writer ---

    fn wake(&self) {
        self.work.notify_one();
        self.turn.notify_one();
    }

    /// Waits for work. `spare` becomes the next buffer to fill; with a batch `held` back no other is given.
    pub(crate) fn next_work(&self, spare: &mut Vec<u8>, held: bool) -> Work {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.next_work(spare, held) {
                return work;
            }
            if state.refusal.is_none() {
                self.work.wait(&mut state);
            } else if self.work.wait_for(&mut state, RECHECK).timed_out() {
                return Work::Recheck;
            }
        }
    }

    /// As [`next_work`](Self::next_work), for a writer that is a task.
    pub(crate) async fn next_turn(&self, spare: &mut Vec<u8>, held: bool) -> Work {
        loop {
            let is_refusing = {
                let mut state = self.state.lock();
                if let Some(work) = state.next_work(spare, held) {
                    return work;
                }
                state.refusal.is_some()
            };
            if !is_refusing {
                self.turn.notified().await;
            } else if timeout(RECHECK, self.turn.notified()).await.is_err() {
                return Work::Recheck;
            }
        }
    }

    /// The batch in flight is on stable storage.
    pub(crate) fn written(&self) {
        let mut state = self.state.lock();
        state.stuck = false;
        state.durable = state.durable.max(state.inflight_last);
        state.inflight_bytes = 0;
        state.disk_bytes = self.segments.bytes();
        let waiters = std::mem::take(&mut state.inflight_waiters);
        drop(state);
        answer(waiters, &Ok(()));
    }

    /// Whether appends are refused for want of space. `None` lets them in again.
    pub(crate) fn set_refusal(&self, refusal: Option<Error>) {
        let mut state = self.state.lock();
        state.disk_bytes = self.segments.bytes();
        if !state.stuck {
            state.refusal = refusal;
        }
    }

    /// The batch in flight found the disk full: all who wait are told, the batch is tried again later.
    pub(crate) fn stuck(&self, error: &Error) {
        let mut state = self.state.lock();
        state.stuck = true;
        state.refusal = Some(error.clone());
        let mut waiters = std::mem::take(&mut state.inflight_waiters);
        waiters.append(&mut state.waiters);
        drop(state);
        answer(waiters, &Err(error.clone()));
    }

    /// Nothing works from here on.
    pub(crate) fn end(&self, error: &Error) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(error.clone());
        let mut waiters = std::mem::take(&mut state.inflight_waiters);
        waiters.append(&mut state.waiters);
        state.pending = Batch::default();
        drop(state);
        answer(waiters, &Err(error.clone()));
        if !matches!(error, Error::Closed) {
            self.failed.send_replace(Some(error.clone()));
        }
    }
}

fn answer(waiters: Vec<oneshot::Sender<Answer>>, with: &Answer) {
    for waiter in waiters {
        // Whoever does not wait any more does not need the answer.
        waiter.send(with.clone()).ok();
    }
}

// === impl State ===

impl State {
    fn admit(&self, bytes: u64, config: &Config) -> Result<(), Error> {
        if let Some(e) = &self.ended {
            return Err(e.clone());
        }
        if self.closing {
            return Err(Error::Closed);
        }
        if let Some(e) = &self.refusal {
            return Err(e.clone());
        }
        let pending = self.pending.len() as u64;
        let (limit, total) = (config.buffer_size.0, config.max_total_size.0);
        if pending + bytes > limit {
            return Err(Error::BufferFull { bytes: pending, limit });
        }
        let size = self.disk_bytes + self.inflight_bytes + pending;
        if total > 0 && size + bytes > total {
            return Err(Error::Full { bytes: size, limit: total });
        }
        Ok(())
    }

    fn next_work(&mut self, spare: &mut Vec<u8>, held: bool) -> Option<Work> {
        if !held && self.pending.n_records > 0 {
            return Some(Work::Write(self.take_batch(std::mem::take(spare))));
        }
        if self.closing {
            return Some(Work::Close);
        }
        if std::mem::take(&mut self.recheck) {
            return Some(Work::Recheck);
        }
        if self.truncate_before > 0 && !held {
            let before = std::mem::take(&mut self.truncate_before);
            return Some(Work::Truncate { before, next_seq: self.next_seq });
        }
        None
    }

    fn take_batch(&mut self, spare: Vec<u8>) -> Batch {
        let batch = std::mem::replace(&mut self.pending, Batch::reusing(spare));
        self.inflight_waiters = std::mem::take(&mut self.waiters);
        self.inflight_last = batch.last_seq;
        self.inflight_bytes = batch.len() as u64;
        batch
    }
}
