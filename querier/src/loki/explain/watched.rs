//! A source of entries that notes what it is asked for and how long it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_logql::{EntrySink, EntrySource, SelectEntries, SourceError};
use skald_model::{Matcher, StreamEntries, TimeRange};
use tokio::time::Instant;

/// What reads of one kind have in common, and how many there were.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) matchers: Vec<Matcher>,
    pub(super) needles: Vec<Bytes>,
    pub(super) needs_line: bool,
    /// `None` for all.
    pub(super) metadata: Option<Arc<[String]>>,
    /// Entries are taken while they are read, not as a whole.
    pub(super) is_scan: bool,
    /// From the first to the last.
    pub(super) range: TimeRange,
    pub(super) reads: u64,
    pub(super) elapsed: Duration,
}

#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn EntrySource>,
    asked: Mutex<Vec<Asked>>,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(inner: Box<dyn EntrySource>) -> Self {
        Self { inner, asked: Mutex::default() }
    }

    pub(super) fn into_asked(self) -> Vec<Asked> {
        self.asked.into_inner()
    }

    fn note(&self, req: &SelectEntries, is_scan: bool, begun: Instant) {
        let (range, elapsed) = (req.range, begun.elapsed());
        let mut all = self.asked.lock();
        let alike = |a: &&mut Asked| {
            a.is_scan == is_scan
                && a.needs_line == req.needs_line
                && a.metadata == req.metadata
                && a.matchers == req.matchers
                && a.needles == req.needles
        };
        if let Some(known) = all.iter_mut().find(alike) {
            let (start, end) = (known.range.start, known.range.end);
            known.range = TimeRange::new(start.min(range.start), end.max(range.end));
            known.reads += 1;
            known.elapsed += elapsed;
            return;
        }
        let (matchers, needles) = (req.matchers.clone(), req.needles.clone());
        let (needs_line, metadata) = (req.needs_line, req.metadata.clone());
        let reads = 1;
        all.push(Asked { matchers, needles, needs_line, metadata, is_scan, range, reads, elapsed });
    }
}

#[async_trait]
impl EntrySource for Watched {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let begun = Instant::now();
        let found = self.inner.select(req).await;
        self.note(req, false, begun);
        found
    }

    async fn lines_to_search(&self, req: &SelectEntries) -> Result<Option<usize>, SourceError> {
        self.inner.lines_to_search(req).await
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let begun = Instant::now();
        let done = self.inner.scan(req, sink).await;
        self.note(req, true, begun);
        done
    }
}
