//! What a head has of one stream between two flushes, and the batches in which it lies.

use std::sync::Arc;

use skald_model::TimeRange;
use skald_wal::Kept;

/// Runs of a full part; readers share full parts and copy only the open one.
const PART: usize = 256;
/// Batches of a full part of the list.
const BATCHES: usize = 256;

/// The entries that one push had for one stream. They stay in the batch, which stays in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// The number of the batch, and the body of the stream in it.
    pub(crate) batch: u32,
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// Of the body.
    pub(crate) crc: u32,
    /// Entries, and bytes of their lines.
    pub(crate) n: u32,
    pub(crate) line_bytes: u32,
    /// Some entry is not newer than the one before it.
    pub(crate) unordered: bool,
}

/// Full parts are shared, so that a reader takes them along without copying.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamData {
    full: Vec<Arc<[Run]>>,
    open: Vec<Run>,
    /// Of all runs; meaningless when there are none.
    pub(super) min: i64,
    pub(super) max: i64,
    /// Some entry is not newer than one before it: sort, and look for repetitions.
    pub(super) unordered: bool,
}

/// A batch that runs lie in.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// What the times of each stream begin from.
    pub(super) base: i64,
    pub(super) payload: Arc<Kept>,
}

/// The batches of a head, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    full: Vec<Arc<[Batch]>>,
    open: Vec<Batch>,
}

// === impl Run ===

impl Run {
    pub(crate) const EMPTY: Self = Self {
        min: i64::MAX,
        max: i64::MIN,
        batch: 0,
        at: 0,
        len: 0,
        crc: 0,
        n: 0,
        line_bytes: 0,
        unordered: false,
    };

    /// Notes an entry, which follows those noted before.
    pub(crate) fn note(&mut self, ts: i64, line_len: usize) {
        self.unordered |= self.min <= self.max && ts <= self.max;
        self.min = self.min.min(ts);
        self.max = self.max.max(ts);
        // A batch has less than 4 GiB.
        self.line_bytes = self.line_bytes.wrapping_add(u32::try_from(line_len).unwrap_or(0));
    }
}

// === impl StreamData ===

impl StreamData {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    pub(super) fn push(&mut self, run: Run) {
        if self.is_empty() {
            (self.min, self.max, self.unordered) = (run.min, run.max, run.unordered);
        } else {
            self.unordered |= run.unordered || run.min <= self.max;
            self.min = self.min.min(run.min);
            self.max = self.max.max(run.max);
        }
        if self.open.len() == self.open.capacity() {
            // Of a million streams most have few runs: a half more at a time, and not twice.
            self.open.reserve_exact((self.open.len() / 2).max(1));
        }
        self.open.push(run);
        if self.open.len() == PART {
            self.full.push(self.open.as_slice().into());
            self.open.clear();
        }
    }

    /// All runs, in the order of the pushes.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.full.iter().flat_map(|part| part.iter()).chain(&self.open)
    }

    /// Whether any entry may be in `[start, end)`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        !self.is_empty()
            && range.overlaps(self.min, self.max)
            && self.runs().any(|run| range.overlaps(run.min, run.max))
    }

    /// Shares the full parts that have anything in `range` and copies the open one.
    pub(super) fn within(&self, range: TimeRange) -> Self {
        let meets = |run: &&Run| range.overlaps(run.min, run.max);
        let full = self.full.iter().filter(|part| part.iter().any(|run| meets(&run)));
        Self {
            full: full.cloned().collect(),
            open: self.open.iter().filter(meets).copied().collect(),
            ..*self
        }
    }
}

// === impl Batches ===

impl Batches {
    pub(super) fn push(&mut self, batch: Batch) -> u32 {
        let n = self.full.len() * BATCHES + self.open.len();
        self.open.push(batch);
        if self.open.len() == BATCHES {
            let part = std::mem::take(&mut self.open);
            self.full.push(part.into());
        }
        // 2^32 batches would not fit in memory.
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, n: u32) -> Option<&Batch> {
        let n = n as usize;
        match self.full.get(n / BATCHES) {
            Some(part) => part.get(n % BATCHES),
            None => self.open.get(n % BATCHES),
        }
    }
}
