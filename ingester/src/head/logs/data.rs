//! The buffers of one stream between two flushes, and the batches they point into.

use std::sync::Arc;

use bytes::Bytes;

/// Entries of a full part; readers share full parts and copy only the open one.
const PART: usize = 1024;
/// Batches of a full part of the list.
const BATCHES: usize = 256;

/// Where an entry lies: a batch and two slices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) timestamp_ns: i64,
    pub(crate) batch: u32,
    pub(crate) line: u32,
    pub(crate) line_len: u32,
    pub(crate) metadata: u32,
    pub(crate) metadata_len: u32,
}

/// Full parts are shared, so that a reader takes them along without copying.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamData {
    pub(super) full: Vec<Part>,
    pub(super) open: Vec<Entry>,
    /// Times of `open`.
    pub(super) min: i64,
    pub(super) max: i64,
    /// Some entry is not newer than the one before it: sort, and look for repetitions.
    pub(super) unordered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) entries: Arc<[Entry]>,
}

/// The batches that entries point into, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    full: Vec<Arc<[Bytes]>>,
    open: Vec<Bytes>,
}

// === impl StreamData ===

impl StreamData {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let ts = entry.timestamp_ns;
        if self.open.is_empty() {
            let last = self.full.iter().map(|p| p.max).max();
            self.unordered |= last.is_some_and(|last| ts <= last);
            (self.min, self.max) = (ts, ts);
        } else {
            self.unordered |= ts <= self.max;
            self.min = self.min.min(ts);
            self.max = self.max.max(ts);
        }
        self.open.push(entry);
        if self.open.len() == PART {
            let entries = self.open.as_slice().into();
            self.open.clear();
            self.full.push(Part { min: self.min, max: self.max, entries });
        }
    }
}

// === impl Batches ===

impl Batches {
    pub(super) fn push(&mut self, batch: Bytes) -> u32 {
        let n = self.full.len() * BATCHES + self.open.len();
        self.open.push(batch);
        if self.open.len() == BATCHES {
            let part = std::mem::take(&mut self.open);
            self.full.push(part.into());
        }
        // 2^32 batches would not fit in memory.
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, n: u32) -> Option<&Bytes> {
        let n = n as usize;
        match self.full.get(n / BATCHES) {
            Some(part) => part.get(n % BATCHES),
            None => self.open.get(n % BATCHES),
        }
    }
}
