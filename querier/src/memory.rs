//! The memory one query holds, counted while its data arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skald_blocks::MetricSet;
use skald_codec::encoded::EncodedSeries;
use skald_model::{Labels, Series, StreamEntries};
use skald_runtime::ByteSize;

use crate::Error;

/// Counts a query's bytes and series against the tenant's limits. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct QueryMemory(Arc<State>);

#[derive(Debug)]
struct State {
    used: AtomicU64,
    /// Shared with those that count anew.
    peak: Arc<AtomicU64>,
    limit: u64,
    /// What this is a part of: everything counts there too, until this is dropped.
    whole: Option<QueryMemory>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(whole) = &self.whole {
            whole.give(self.used.load(Ordering::Relaxed));
        }
    }
}

// === impl QueryMemory ===

impl QueryMemory {
    /// `limit` of 0 bytes means unlimited.
    pub(crate) fn new(limit: ByteSize) -> Self {
        Self::with(bound(limit), Arc::default(), None)
    }

    fn with(limit: u64, peak: Arc<AtomicU64>, whole: Option<Self>) -> Self {
        Self(Arc::new(State { used: AtomicU64::new(0), peak, limit, whole }))
    }

    /// Counts anew under a limit of its own; the peak is that of all.
    pub(crate) fn fresh(&self, limit: ByteSize) -> Self {
        Self::with(bound(limit), Arc::clone(&self.0.peak), None)
    }

    /// Memory of a part of the query, under the limit of the whole; given back on drop.
    pub(crate) fn part(&self) -> Self {
        Self::with(self.0.limit, Arc::default(), Some(self.clone()))
    }

    /// Bytes counted now.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most that was counted at a time, here or where it was counted anew.
    pub(crate) fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, bytes: usize) -> Result<(), Error> {
        let taken = bytes as u64;
        let used = self.0.used.fetch_add(taken, Ordering::Relaxed).saturating_add(taken);
        self.0.peak.fetch_max(used, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            return whole.take(bytes);
        }
        if used <= self.0.limit {
            return Ok(());
        }
        Err(Error::Limit(format!(
            "the query needs more than the limit of {} bytes of memory \
             (err-skald-max-query-memory); narrow the selector or the time range, or raise max_query_memory",
            self.0.limit
        )))
    }

    /// Forgets what was taken after `used` was read, when that is dropped and read anew.
    pub(crate) fn return_to(&self, used: u64) {
        let before = self.0.used.swap(used, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.give(before.saturating_sub(used));
        }
    }

    fn give(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

fn bound(limit: ByteSize) -> u64 {
    if limit.0 == 0 { u64::MAX } else { limit.0 }
}

/// Data that can say how much memory it takes.
pub(crate) trait Size {
    fn size_bytes(&self) -> usize;
}

impl<T: Size> Size for Vec<T> {
    fn size_bytes(&self) -> usize {
        self.iter().map(Size::size_bytes).sum()
    }
}

impl Size for Series {
    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }
}

impl Size for EncodedSeries {
    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }
}

impl Size for MetricSet {
    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }
}

impl Size for StreamEntries {
    fn size_bytes(&self) -> usize {
        let entries: usize = self.entries.iter().map(skald_model::LogEntry::size_bytes).sum();
        entries + self.labels.as_bytes().len() + size_of::<Self>()
    }
}

impl Size for String {
    fn size_bytes(&self) -> usize {
        self.len() + size_of::<Self>()
    }
}

impl Size for Labels {
    fn size_bytes(&self) -> usize {
        self.as_bytes().len() + size_of::<Self>()
    }
}

impl Size for (Labels, Vec<skald_model::Exemplar>) {
    fn size_bytes(&self) -> usize {
        let exemplars: usize = self.1.iter().map(|e| e.labels.size_bytes() + 16).sum();
        self.0.size_bytes() + exemplars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_over_its_limit_is_told_which() {
        let memory = QueryMemory::new(ByteSize(100));
        memory.take(60).unwrap();
        memory.return_to(50);
        memory.take(50).unwrap();
        let message = memory.take(1).unwrap_err().to_string();
        assert!(message.contains("max_query_memory") && message.contains("100"), "{message}");
        assert!(QueryMemory::new(ByteSize(0)).take(usize::MAX).is_ok());
    }

    #[test]
    fn what_counts_anew_has_its_own_limit_and_the_common_peak() {
        let first = QueryMemory::new(ByteSize(100));
        first.take(60).unwrap();
        let second = first.fresh(ByteSize(80));
        second.take(70).unwrap();
        assert!(second.take(20).is_err());
        assert_eq!((first.used(), first.peak(), second.peak()), (60, 90, 90));
    }

    #[test]
    fn parts_share_the_limit_of_the_whole_and_give_back() {
        let whole = QueryMemory::new(ByteSize(100));
        let (one, two) = (whole.part(), whole.part());
        one.take(60).unwrap();
        two.take(40).unwrap();
        assert!(two.take(1).is_err());
        two.return_to(10);
        assert_eq!(whole.used(), 70);
        drop(one);
        two.take(80).unwrap();
        drop(two);
        assert_eq!((whole.used(), whole.peak()), (0, 101));
    }
}
