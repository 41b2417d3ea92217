//! The logs head of a tenant.
//!
//! Entries point into the batches they came in, so a line is never copied. A retried batch is there
//! twice until it is read or flushed: equal entries (time, line, metadata) count once everywhere.

mod data;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use skald_model::{Labels, SeriesId};

pub(crate) use self::data::{Batches, Entry, StreamData};
pub(crate) use self::read::{Selection, entries_of};
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
}

/// Buffers taken out of a head, by `Ref`.
#[derive(Debug)]
pub(crate) struct LogsSnapshot {
    pub(crate) data: Vec<StreamData>,
    pub(crate) batches: Batches,
    pub(crate) bytes: usize,
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

    /// Takes hold of a batch whose entries follow; answers its number.
    pub(crate) fn hold(&mut self, batch: Bytes) -> u32 {
        self.data_bytes += batch.len() + size_of::<Bytes>();
        self.batches.push(batch)
    }

    /// Adds entries that lie in a held batch.
    pub(crate) fn append(&mut self, r: Ref, entries: &[Entry]) {
        self.data_bytes += size_of_val(entries);
        let data = &mut self.data[r as usize];
        entries.iter().for_each(|e| data.push(*e));
    }

    /// Bytes of index and buffers, the snapshot's not included.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes() + self.data_bytes + self.data.len() * size_of::<StreamData>()
    }

    /// Bytes that a cut would take.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data_bytes
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
        if !any {
            return None;
        }
        let fresh = std::iter::repeat_with(StreamData::default).take(self.data.len()).collect();
        let data = std::mem::replace(&mut self.data, fresh);
        let bytes = bytes + data.len() * size_of::<StreamData>();
        let snapshot = Arc::new(LogsSnapshot { data, batches, bytes });
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
