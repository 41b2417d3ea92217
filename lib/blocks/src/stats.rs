//! Counts of what reading a block cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that readers add to; share one between readers to sum them up.
#[derive(Debug, Default)]
pub struct ReadStats {
    gets: AtomicU64,
    bytes: AtomicU64,
    disk_hits: AtomicU64,
    disk_bytes: AtomicU64,
    footer_hits: AtomicU64,
    index_hits: AtomicU64,
    index_misses: AtomicU64,
    page_hits: AtomicU64,
    page_misses: AtomicU64,
    rows: AtomicU64,
    decoded_bytes: AtomicU64,
    rows_searched: AtomicU64,
    rows_of_streams: AtomicU64,
    rows_in_time: AtomicU64,
    rows_with_text: AtomicU64,
    row_groups: AtomicU64,
    row_groups_left: AtomicU64,
    /// What all of this counts towards, too.
    whole: Option<Arc<Self>>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Requests sent to the store, those that failed included.
    pub gets: u64,
    /// Bytes those returned.
    pub bytes: u64,
    /// Ranges that a cache on disk had.
    pub disk_hits: u64,
    /// Bytes of those.
    pub disk_bytes: u64,
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
    /// Bytes of the columns of those.
    pub decoded_bytes: u64,
    /// Lines of the blocks whose lines were asked for, once for each time they were.
    pub rows_searched: u64,
    /// Of these, those of streams that the matchers accept.
    pub rows_of_streams: u64,
    /// Of these, those in pages that meet the range.
    pub rows_in_time: u64,
    /// Of these, those that the gram filters do not rule out.
    pub rows_with_text: u64,
    /// Row groups of the blocks whose lines were asked for.
    pub row_groups: u64,
    /// Those with any row left.
    pub row_groups_left: u64,
}

/// How a search of a log block came to the rows that it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narrowed {
    pub(crate) rows: usize,
    pub(crate) of_streams: usize,
    pub(crate) in_time: usize,
    pub(crate) with_text: usize,
    pub(crate) row_groups: usize,
    pub(crate) row_groups_left: usize,
}

// === impl ReadStats ===

impl ReadStats {
    /// Counters that add to those of `whole`, too.
    pub fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::default() }
    }

    pub fn snapshot(&self) -> StatsSnapshot {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        StatsSnapshot {
            gets: of(&self.gets),
            bytes: of(&self.bytes),
            disk_hits: of(&self.disk_hits),
            disk_bytes: of(&self.disk_bytes),
            footer_hits: of(&self.footer_hits),
            index_hits: of(&self.index_hits),
            index_misses: of(&self.index_misses),
            page_hits: of(&self.page_hits),
            page_misses: of(&self.page_misses),
            rows: of(&self.rows),
            decoded_bytes: of(&self.decoded_bytes),
            rows_searched: of(&self.rows_searched),
            rows_of_streams: of(&self.rows_of_streams),
            rows_in_time: of(&self.rows_in_time),
            rows_with_text: of(&self.rows_with_text),
            row_groups: of(&self.row_groups),
            row_groups_left: of(&self.row_groups_left),
        }
    }

    pub(crate) fn add_get(&self, bytes: usize) {
        self.add(1, |s| &s.gets);
        self.add(bytes, |s| &s.bytes);
    }

    pub(crate) fn add_disk_hit(&self, bytes: usize) {
        self.add(1, |s| &s.disk_hits);
        self.add(bytes, |s| &s.disk_bytes);
    }

    pub(crate) fn add_footer_hit(&self) {
        self.add(1, |s| &s.footer_hits);
    }

    pub(crate) fn add_index_hit(&self) {
        self.add(1, |s| &s.index_hits);
    }

    pub(crate) fn add_index_miss(&self) {
        self.add(1, |s| &s.index_misses);
    }

    pub(crate) fn add_pages(&self, hits: usize, misses: usize) {
        self.add(hits, |s| &s.page_hits);
        self.add(misses, |s| &s.page_misses);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.add(rows, |s| &s.rows);
    }

    pub(crate) fn add_decoded(&self, bytes: usize) {
        self.add(bytes, |s| &s.decoded_bytes);
    }

    pub(crate) fn add_narrowed(&self, n: Narrowed) {
        self.add(n.rows, |s| &s.rows_searched);
        self.add(n.of_streams, |s| &s.rows_of_streams);
        self.add(n.in_time, |s| &s.rows_in_time);
        self.add(n.with_text, |s| &s.rows_with_text);
        self.add(n.row_groups, |s| &s.row_groups);
        self.add(n.row_groups_left, |s| &s.row_groups_left);
    }

    fn add(&self, n: usize, counter: fn(&Self) -> &AtomicU64) {
        counter(self).fetch_add(n as u64, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(n, counter);
        }
    }
}

impl std::ops::AddAssign for StatsSnapshot {
    fn add_assign(&mut self, more: Self) {
        self.gets += more.gets;
        self.bytes += more.bytes;
        self.disk_hits += more.disk_hits;
        self.disk_bytes += more.disk_bytes;
        self.footer_hits += more.footer_hits;
        self.index_hits += more.index_hits;
        self.index_misses += more.index_misses;
        self.page_hits += more.page_hits;
        self.page_misses += more.page_misses;
        self.rows += more.rows;
        self.decoded_bytes += more.decoded_bytes;
        self.rows_searched += more.rows_searched;
        self.rows_of_streams += more.rows_of_streams;
        self.rows_in_time += more.rows_in_time;
        self.rows_with_text += more.rows_with_text;
        self.row_groups += more.row_groups;
        self.row_groups_left += more.row_groups_left;
    }
}
