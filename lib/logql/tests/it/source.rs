//! An [`EntrySource`] over entries in memory.

use async_trait::async_trait;
use parking_lot::Mutex;
use skald_logql::{EntrySource, SelectEntries, SourceError};
use skald_model::{Matcher, StreamEntries, TimeRange};

#[derive(Debug, Default)]
pub(crate) struct MemorySource {
    pub(crate) streams: Vec<StreamEntries>,
    /// The ranges asked for, in order.
    pub(crate) asked: Mutex<Vec<TimeRange>>,
}

#[async_trait]
impl EntrySource for MemorySource {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        self.asked.lock().push(req.range);
        let matching = self.streams.iter().filter(|s| Matcher::all(&req.matchers, &s.labels));
        let cut = matching.map(|s| {
            let inside = s.entries.iter().filter(|e| req.range.contains(e.timestamp_ns));
            // Needles are a promise of the engine; a source may rely on them.
            let wanted = inside
                .filter(|e| req.needles.iter().all(|n| memchr::memmem::find(&e.line, n).is_some()));
            StreamEntries { labels: s.labels.clone(), entries: wanted.cloned().collect() }
        });
        Ok(cut.filter(|s| !s.entries.is_empty()).collect())
    }
}
