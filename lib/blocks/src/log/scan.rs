//! Entries of a log block, handed on batch by batch as they are decoded.
//!
//! What is in memory at a time is a batch and the pages it came from, however many entries there are.

use std::collections::HashSet;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use skald_codec::lines::Fields;
use skald_model::{Labels, Matcher, Narrowing, StreamEntries, TimeRange};

use super::directory::Stream;
use super::entries::{Entries, Lines, Text, lines, times};
use super::grams::Wanted;
use super::needles::Needles;
use super::read::{BATCH_ROWS, LogReader, LogSelect, Next};
use crate::Error;
use crate::object::Scan;
use crate::selection::{Rows, groups_with, row_groups};
use crate::stats::Narrowed;

/// Which entries of a block are wanted.
#[derive(Clone, Debug)]
pub struct LogSearch {
    /// All of them accept the stream.
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
    /// All of them are in the line.
    pub needles: Vec<Bytes>,
    pub wanted: LogSelect,
    pub streams: Streams,
    /// Entries that it drops need not be returned.
    pub early: Option<Early>,
    /// Gets narrower while the block is read: what lies outside need not be returned.
    pub useful: Option<Arc<Narrowing>>,
}

/// A test of entries whose lines are reduced to some fields.
#[derive(Clone, Debug)]
pub struct Early {
    pub fields: Arc<Fields>,
    pub test: Arc<dyn EntryTest>,
}

/// Tells whether an entry may be of use: its stream, time, metadata, and reduced line.
pub type Test = Box<dyn FnMut(&Labels, i64, &Labels, &[u8]) -> bool + Send>;

/// Tells whether a line may be of use that is reduced to one field, or has no field of that name.
pub type FieldTest = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Makes the tests of an [`Early`]: one for each scan.
pub trait EntryTest: Send + Sync + Debug {
    fn begin(&self) -> Test;

    /// Tests of single fields, with their names. They hold for entries of which neither the stream nor the
    /// metadata has a label of the field's name.
    fn fields(&self) -> Vec<(String, FieldTest)> {
        Vec::new()
    }

    /// Whether what the tests of fields do not drop passes.
    fn fields_decide(&self) -> bool {
        false
    }
}

/// Which of the streams that the matchers accept.
#[derive(Clone, Debug, Default)]
pub enum Streams {
    #[default]
    All,
    Only(Arc<HashSet<Labels>>),
    Except(Arc<HashSet<Labels>>),
}

/// When a stream has entries in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpan {
    pub labels: Labels,
    pub min_ns: i64,
    /// Inclusive.
    pub max_ns: i64,
}

// === impl Streams ===

impl Streams {
    fn has(&self, labels: &Labels) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(labels),
            Self::Except(set) => !set.contains(labels),
        }
    }
}

// === impl LogSearch ===

impl LogSearch {
    /// The part of the range that is still of use.
    pub(super) fn useful_range(&self) -> TimeRange {
        self.useful.as_ref().map_or(self.range, |useful| self.range.intersect(useful.get()))
    }
}

// === impl LogReader ===

impl LogReader {
    /// Hands the entries of a search to `each` as they are read, until it breaks off: streams in
    /// label order, entries in time order; a stream may go on in the next call. `each` runs on the
    /// blocking pool.
    ///
    /// Lines share memory with the page they were decoded from unless few of it are returned.
    /// Dropping the future stops the reading within one batch.
    pub async fn scan(
        &self,
        search: &LogSearch,
        mut each: impl FnMut(Vec<StreamEntries>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(), Error> {
        let wanted = &search.wanted;
        let needs_text = wanted.needs_line || search.needles.iter().any(|n| !n.is_empty());
        let found = self.wanted_rows(search).await?;
        if needs_text && self.is_packed() {
            return self.scan_packed(search, found, each).await;
        }
        let (streams, rows) = found;
        let needles = Needles::new(&search.needles);
        let needs_line = wanted.needs_line;
        let columns = self.columns(needs_text, &wanted.metadata);
        let entries = Entries::new(rows.clone().into_numbers(), streams);
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: BATCH_ROWS };
        let search = search.clone();
        let read = self.object.scan_until(scan, entries, move |entries, batch| {
            let range = search.useful_range();
            let mut keep = match lines(batch)? {
                Some(lines) if !needles.is_empty() => needles.search(lines),
                _ => vec![true; batch.num_rows()],
            };
            let times = times(batch)?;
            for (keep, t) in keep.iter_mut().zip(times.values()) {
                *keep &= range.contains(*t);
            }
            let rows = entries.take_rows(batch.num_rows())?;
            let text = if needs_line { Lines::of(batch, &keep)? } else { Text::None };
            entries.append(batch, &rows, &keep, &text)?;
            let found = std::mem::take(&mut entries.out);
            Ok(if found.is_empty() { ControlFlow::Continue(()) } else { each(found) })
        });
        read.await
    }

    /// How many lines page bounds and gram filters leave of a search. `None` unless all that tells is in
    /// the cache: nothing is read for it.
    pub async fn rows_left(&self, search: &LogSearch) -> Result<Option<usize>, Error> {
        let (cache, path) = (&self.object.cache, self.object.path());
        let is_cached = cache.streams(path).is_some()
            && cache.packs(path).is_some()
            && cache.grams(path).is_some();
        if !is_cached {
            return Ok(None);
        }
        self.count_rows_left(search).await.map(Some)
    }

    /// As [`rows_left`](Self::rows_left); reads what tells where it is not cached.
    pub async fn count_rows_left(&self, search: &LogSearch) -> Result<usize, Error> {
        let (_, rows, _) = self.narrowed(search).await?;
        Ok(rows.len())
    }

    /// The streams of a search, and those rows that page bounds and gram filters do not rule out.
    pub(super) async fn wanted_rows(
        &self,
        search: &LogSearch,
    ) -> Result<(Vec<Stream>, Rows), Error> {
        let (streams, rows, narrowed) = self.narrowed(search).await?;
        self.object.stats.add_narrowed(narrowed);
        Ok((streams, rows))
    }

    async fn narrowed(&self, search: &LogSearch) -> Result<(Vec<Stream>, Rows, Narrowed), Error> {
        let wanted = Wanted::new(&search.needles);
        let next = Next::behind(&wanted);
        let mut streams = self.matching_before(&search.matchers, search.range, next).await?;
        streams.retain(|s| search.streams.has(&s.labels));
        let of_streams: Rows = streams.iter().map(|s| s.rows.clone()).collect();
        let mut in_time = of_streams.intersect(&self.pages_in(search.range));
        if self.is_packed() && search.range != TimeRange::ALL && !in_time.is_empty() {
            let packs = self.packs().await?;
            let meet = packs.iter().filter(|p| p.meets(search.range)).map(|p| p.rows.clone());
            in_time = in_time.intersect(&meet.collect());
        }
        let n_in_time = in_time.len();
        let rows = self.searched(in_time, wanted).await?;
        let footer = &self.object.footer;
        let narrowed = Narrowed {
            rows: footer.n_rows(),
            of_streams: of_streams.len(),
            in_time: n_in_time,
            with_text: rows.len(),
            row_groups: row_groups(footer.parquet()).count(),
            row_groups_left: groups_with(footer.parquet(), &rows),
        };
        Ok((streams, rows, narrowed))
    }

    /// The streams that all matchers accept, with the times of their entries as far as they meet `range`. `needles` are
    /// what lines will be searched for: what that takes is read along.
    pub async fn spans(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        needles: &[Bytes],
    ) -> Result<Vec<LogSpan>, Error> {
        let next = Next::behind(&Wanted::new(needles));
        let streams = self.matching_before(matchers, range, next).await?;
        let clip = |s: Stream| LogSpan {
            labels: s.labels,
            min_ns: s.min_ns.max(range.start),
            max_ns: s.max_ns.min(range.end),
        };
        Ok(streams.into_iter().map(clip).collect())
    }
}
