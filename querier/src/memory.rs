//! The memory one query holds, counted while its data arrives.

use std::collections::BTreeSet;
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
    limit: u64,
}

// === impl QueryMemory ===

impl QueryMemory {
    /// `limit` of 0 bytes means unlimited.
    pub(crate) fn new(limit: ByteSize) -> Self {
        let limit = if limit.0 == 0 { u64::MAX } else { limit.0 };
        Self(Arc::new(State { used: AtomicU64::new(0), limit }))
    }

    /// Bytes counted so far; the peak, since nothing is given back before the query ends.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, bytes: usize) -> Result<(), Error> {
        let bytes = bytes as u64;
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
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
        self.0.used.store(used, Ordering::Relaxed);
    }
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

impl Size for BTreeSet<String> {
    fn size_bytes(&self) -> usize {
        self.iter().map(|item| item.len() + size_of::<String>()).sum()
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
}
