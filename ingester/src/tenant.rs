//! What an ingester keeps of one tenant.
//!
//! Lock order: `flush`, then `metrics`, then `logs`. A cut takes both write locks at once, so that
//! every record of the tenant up to the cut's sequence number is in the snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use skald_model::TenantId;
use tokio::sync::OnceCell;

use crate::flush::{Pending, Retry};
use crate::head::logs::LogsHead;
use crate::head::metrics::MetricsHead;
use crate::tail::Tails;
use crate::usage::Usage;

/// No record.
pub(crate) const NO_SEQ: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) metrics: RwLock<MetricsHead>,
    pub(crate) logs: RwLock<LogsHead>,
    /// The flush under way or to be repeated; one at a time.
    pub(crate) flush: Arc<tokio::sync::Mutex<Option<Pending>>>,
    pub(crate) retry: Mutex<Retry>,
    pub(crate) tails: Tails,
    pub(crate) usage: Usage,
    /// A commit number not older than any commit of this replica before it was started.
    pub(crate) baseline: OnceCell<u64>,
    /// Records up to here were flushed before this process started.
    pub(crate) watermark: AtomicU64,
    /// The first record of the snapshot being flushed, or [`NO_SEQ`].
    flushing_seq: AtomicU64,
    /// The WAL must be kept from here: a record behind a cut needs labels that stand before it.
    /// Only replay leaves such records; [`NO_SEQ`] when there is none.
    held_seq: AtomicU64,
    /// The first record that replay met, or [`NO_SEQ`].
    first_seq: AtomicU64,
    bytes: [AtomicU64; 3],
    /// Bytes of lines that lie in the log: those of the head, and of the snapshot being flushed.
    stored: [AtomicU64; 2],
}

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Metrics,
    Logs,
    Flushing,
}

/// Bytes in use by all tenants.
#[derive(Debug, Default)]
pub(crate) struct Memory(AtomicI64);

/// What a tenant has that is not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unflushed {
    /// Bytes of memory that a cut would take.
    pub(crate) bytes: usize,
    /// With lines that lie in the log.
    pub(crate) stored_bytes: u64,
    /// When the oldest record was applied; `None` when there is none since the last cut.
    pub(crate) first_ms: Option<i64>,
    /// Series and streams.
    pub(crate) n_series: usize,
}

// === impl Tenant ===

impl Tenant {
    pub(crate) fn new(id: TenantId) -> Self {
        Self {
            id,
            metrics: RwLock::default(),
            logs: RwLock::default(),
            flush: Arc::default(),
            retry: Mutex::new(Retry::new()),
            tails: Tails::default(),
            usage: Usage::default(),
            baseline: OnceCell::new(),
            watermark: AtomicU64::new(0),
            flushing_seq: AtomicU64::new(NO_SEQ),
            held_seq: AtomicU64::new(NO_SEQ),
            first_seq: AtomicU64::new(NO_SEQ),
            bytes: [const { AtomicU64::new(0) }; 3],
            stored: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// Notes how many bytes a part has now.
    pub(crate) fn account(&self, memory: &Memory, part: Part, bytes: usize) {
        let before = self.bytes[part as usize].swap(bytes as u64, Ordering::Relaxed);
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        memory.0.fetch_add(signed(bytes as u64) - signed(before), Ordering::Relaxed);
    }

    /// Bytes of a part as last noted.
    pub(crate) fn bytes(&self, part: Part) -> u64 {
        self.bytes[part as usize].load(Ordering::Relaxed)
    }

    /// Notes how many bytes of lines the logs head has in the log.
    pub(crate) fn note_stored(&self, bytes: u64) {
        self.stored[0].store(bytes, Ordering::Relaxed);
    }

    /// The same for the snapshot being flushed.
    pub(crate) fn note_stored_flushing(&self, bytes: u64) {
        self.stored[1].store(bytes, Ordering::Relaxed);
    }

    /// Whether all that is recent, with a snapshot being flushed, takes less than `bytes`.
    pub(crate) fn is_small(&self, bytes: u64) -> bool {
        let parts = [Part::Metrics, Part::Logs, Part::Flushing];
        let stored = self.stored.iter().map(|n| n.load(Ordering::Relaxed));
        parts.into_iter().map(|part| self.bytes(part)).chain(stored).sum::<u64>() < bytes
    }

    pub(crate) fn unflushed(&self) -> Unflushed {
        let metrics = self.metrics.read();
        let logs = self.logs.read();
        let first = |log: &crate::head::LogState| log.first_seq.map(|_| log.first_ms);
        let bytes = metrics.data_bytes() + logs.data_bytes();
        Unflushed {
            bytes,
            stored_bytes: bytes as u64 + logs.stored_bytes(),
            first_ms: [first(&metrics.log), first(&logs.log)].into_iter().flatten().min(),
            n_series: metrics.index.len() + logs.index.len(),
        }
    }

    /// The first record that the WAL must keep for this tenant, or [`NO_SEQ`].
    pub(crate) fn first_needed(&self) -> u64 {
        // Both locks, so that no cut is half done.
        let metrics = self.metrics.read();
        let logs = self.logs.read();
        [metrics.log.first_seq, logs.log.first_seq]
            .into_iter()
            .flatten()
            .chain([
                self.flushing_seq.load(Ordering::Acquire),
                self.held_seq.load(Ordering::Acquire),
            ])
            .min()
            .unwrap_or(NO_SEQ)
    }

    /// Sets the first record of the snapshot. Call it under both write locks.
    pub(crate) fn set_flushing(&self, seq: u64) {
        self.flushing_seq.store(seq, Ordering::Release);
    }

    /// Notes that replay met a record.
    pub(crate) fn first_seen(&self, seq: u64) {
        self.first_seq.fetch_min(seq, Ordering::AcqRel);
    }

    /// Whether a cut was made that is not committed yet.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushing_seq.load(Ordering::Acquire) != NO_SEQ
    }

    /// Keeps all that replay met until [`Self::release`].
    pub(crate) fn hold_all(&self) {
        self.held_seq.store(self.first_seq.load(Ordering::Acquire), Ordering::Release);
    }

    pub(crate) fn release(&self) {
        self.held_seq.store(NO_SEQ, Ordering::Release);
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn used(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}
