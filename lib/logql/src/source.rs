//! Where the engine gets its entries from. The querier implements [`EntrySource`].

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use skald_model::{ErrorKind, Labels, LogEntry, Matcher, StreamEntries, TimeRange};

/// Which end of the time range comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    #[default]
    Backward,
}

/// What one [`EntrySource::select`] asks for.
#[derive(Clone, Debug)]
pub struct SelectEntries {
    pub matchers: Vec<Matcher>,
    /// Nanoseconds, half-open.
    pub range: TimeRange,
    /// Every line of interest contains all of these. A hint: entries without them may be returned.
    pub needles: Vec<Bytes>,
    pub direction: Direction,
    /// About so many entries, from the `direction` end, will be used. A hint.
    pub limit_hint: Option<usize>,
    /// `false` when no line is looked at, only times, labels and metadata. Lines may then be empty.
    pub needs_line: bool,
    /// The structured metadata that is looked at, `None` for all. A hint: other may be missing or not.
    pub metadata: Option<Arc<[String]>>,
}

/// Takes entries while a source reads them; several threads may call it at once.
pub trait EntrySink: Send + Sync + Debug {
    /// Entries sorted by time within each stream; a stream may come again with others. Computes, so
    /// it is called on the blocking pool. After a break no more are wanted.
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()>;

    /// Times of entries of which nothing else is asked, neither line nor any metadata that they have;
    /// otherwise as [`take`](Self::take).
    fn take_times(&self, streams: Vec<(Labels, Vec<i64>)>) -> ControlFlow<()> {
        self.take(streams.into_iter().map(without_content).collect())
    }

    /// What was taken so far is void: the source begins anew.
    fn reset(&self);
}

/// Entries of a stream of which only the times are known.
pub(crate) fn without_content((labels, times): (Labels, Vec<i64>)) -> StreamEntries {
    let entry =
        |timestamp_ns| LogEntry { timestamp_ns, line: Bytes::new(), metadata: Labels::empty() };
    StreamEntries { labels, entries: times.into_iter().map(entry).collect() }
}

/// A source could not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    pub kind: ErrorKind,
    pub message: String,
}

/// Entries of one tenant.
#[async_trait]
pub trait EntrySource: Send + Sync + Debug {
    /// All entries with `range.start <= timestamp < range.end` of all streams that match.
    ///
    /// May return more than asked for as far as `needles` go, never as far as matchers and range
    /// go. Streams come in any order and each at most once; entries are sorted by time (equal times
    /// as written), without duplicates. Cancel-safe.
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError>;

    /// As [`select`](Self::select) without a limit, but hands the entries on as they are read, in
    /// pieces and in no order of streams and pieces; only entries of a stream that have the same time
    /// come in their order. Returns early, without an error, when the sink
    /// breaks off.
    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let streams = self.select(req).await?;
        let taken = tokio::task::spawn_blocking(move || sink.take(streams)).await;
        taken
            .map(drop)
            .map_err(|e| SourceError { kind: ErrorKind::Internal, message: e.to_string() })
    }
}
