//! Counts of what reading a block cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that readers add to; share one between readers to sum them up.
#[derive(Debug, Default)]
pub struct ReadStats {
    gets: AtomicU64,
    bytes: AtomicU64,
    footer_hits: AtomicU64,
    index_hits: AtomicU64,
    index_misses: AtomicU64,
    page_hits: AtomicU64,
    page_misses: AtomicU64,
    rows: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// GET requests sent to the store.
    pub gets: u64,
    /// Bytes those returned.
    pub bytes: u64,
    /// Footers that came from the cache.
    pub footer_hits: u64,
    /// Queries of a block whose label columns were all in the cache.
    pub index_hits: u64,
    /// Queries that had to load some.
    pub index_misses: u64,
    /// Pages of chunks that came from the cache.
    pub page_hits: u64,
    /// Pages that were read.
    pub page_misses: u64,
    /// Rows (series or lines) decoded.
    pub rows: u64,
}

// === impl ReadStats ===

impl ReadStats {
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            gets: self.gets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            footer_hits: self.footer_hits.load(Ordering::Relaxed),
            index_hits: self.index_hits.load(Ordering::Relaxed),
            index_misses: self.index_misses.load(Ordering::Relaxed),
            page_hits: self.page_hits.load(Ordering::Relaxed),
            page_misses: self.page_misses.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn add_get(&self, bytes: usize) {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_footer_hit(&self) {
        self.footer_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_index_hit(&self) {
        self.index_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_index_miss(&self) {
        self.index_misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_pages(&self, hits: usize, misses: usize) {
        self.page_hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.page_misses.fetch_add(misses as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
}
