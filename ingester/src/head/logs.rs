//! The logs head of a tenant.
//!
//! It knows where in which batch the entries of each stream lie; the batches lie in the write-ahead
//! log, from which they are read when somebody asks or a flush comes, so that memory holds places and
//! no lines. A retried batch is there twice until it is read or flushed: equal entries (time, line,
//! metadata) count once everywhere.

mod data;
mod fetch;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use skald_model::{Labels, SeriesId};
use skald_wal::Kept;

pub(crate) use self::data::{Batch, Batches, Run, StreamData};
pub(crate) use self::fetch::{ReadError, entries_of};
pub(crate) use self::read::Selection;
use super::metrics::{IDLE_CUTS, worth_evicting};
use super::{Ageing, Cuttable, LogState};
use crate::index::{Index, Ref, retain_mapped};

#[derive(Debug, Default)]
pub(crate) struct LogsHead {
    pub(crate) index: Index,
    data: Vec<StreamData>,
    batches: Batches,
    pub(crate) log: LogState,
    /// What a flush took and did not commit yet.
    pub(crate) flushing: Option<Arc<LogsSnapshot>>,
    /// At this commit everything flushed so far is visible.
    pub(crate) manifest_version: u64,
    data_bytes: usize,
    stored_bytes: u64,
}

/// Buffers taken out of a head, by `Ref`.
#[derive(Debug)]
pub(crate) struct LogsSnapshot {
    pub(crate) data: Vec<StreamData>,
    pub(crate) batches: Batches,
    /// In memory.
    pub(crate) bytes: usize,
    /// In the log.
    pub(crate) stored_bytes: u64,
}

impl Cuttable for LogsHead {
    fn log(&self) -> &LogState {
        &self.log
    }
}

// === impl LogsHead ===

impl LogsHead {
    /// Adds a stream; its labels are logged in this generation.
    pub(crate) fn create(&mut self, id: SeriesId, labels: &Labels) -> Option<Ref> {
        let r = self.index.insert(id, labels, self.log.generation)?;
        self.data.push(StreamData::default());
        Some(r)
    }

    /// Takes hold of a batch whose runs follow; answers its number.
    pub(crate) fn hold(&mut self, base: i64, payload: &Arc<Kept>) -> u32 {
        self.data_bytes += size_of::<Batch>() + size_of::<Kept>();
        self.stored_bytes += payload.len() as u64;
        self.batches.push(Batch { base, payload: Arc::clone(payload) })
    }

    /// Adds entries that lie in a held batch.
    pub(crate) fn append(&mut self, r: Ref, run: Run) {
        self.data_bytes += size_of::<Run>();
        self.data[r as usize].push(run);
    }

    /// Bytes of index and buffers, the snapshot's not included.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes() + self.data_bytes + self.data.len() * size_of::<StreamData>()
    }

    /// What [`Self::bytes`] is made of.
    pub(crate) fn size(&self) -> Vec<(&'static str, usize)> {
        let mut parts = self.index.size().to_vec();
        parts.push(("buffer headers", self.data.len() * size_of::<StreamData>()));
        parts.push(("buffers", self.data_bytes));
        parts
    }

    /// Bytes of memory that a cut would take.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Bytes of the batches that a cut would take, wherever they lie.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Takes all buffers; `None` when there are none. Must not run while a snapshot is outstanding.
    pub(crate) fn cut(&mut self, ageing: Ageing) -> Option<Arc<LogsSnapshot>> {
        debug_assert!(self.flushing.is_none());
        let mut n_idle = 0;
        let mut any = false;
        for (r, data) in (0..).zip(&self.data) {
            let active = !data.is_empty();
            any |= active;
            n_idle += usize::from(self.index.note_cut(r, active, ageing) >= IDLE_CUTS);
        }
        if worth_evicting(n_idle, self.index.len()) {
            self.evict();
        }
        self.log.cut();
        let batches = std::mem::take(&mut self.batches);
        let bytes = std::mem::take(&mut self.data_bytes);
        let stored_bytes = std::mem::take(&mut self.stored_bytes);
        if !any {
            return None;
        }
        let fresh = std::iter::repeat_with(StreamData::default).take(self.data.len()).collect();
        let data = std::mem::replace(&mut self.data, fresh);
        let bytes = bytes + data.len() * size_of::<StreamData>();
        let snapshot = Arc::new(LogsSnapshot { data, batches, bytes, stored_bytes });
        self.flushing = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }

    fn evict(&mut self) {
        let idle: Vec<bool> =
            (0..).take(self.index.len()).map(|r| self.index.idle(r) >= IDLE_CUTS).collect();
        let remap = self.index.retain(|r| !idle[r as usize]);
        retain_mapped(&mut self.data, &remap);
    }
}
