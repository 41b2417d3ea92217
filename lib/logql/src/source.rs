//! Where the engine gets its entries from. The querier implements [`EntrySource`].

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::pipeline::{FieldTest, Pipeline, Work};
use async_trait::async_trait;
use bytes::Bytes;
use skald_model::{ErrorKind, Labels, LogEntry, Matcher, Narrowing, StreamEntries, TimeRange};

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
    /// All that is looked at of a line. A hint: lines may be shorter then.
    pub fields: Option<Arc<Fields>>,
    /// A hint: lines that it drops need not be returned.
    pub early: Option<EarlyTest>,
    /// A hint that gets narrower while a scan goes on: what lies outside is of no use any more.
    pub useful: Option<Arc<Narrowing>>,
    /// Nothing else of lines is looked at but that they contain the needles. A source that has seen
    /// to this itself may hand on times instead of entries.
    pub needles_decide: bool,
}

/// What lines are parsed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    Json,
    Logfmt,
}

/// Fields of parsed lines. Another line will do instead if it is parsed without error, as the line
/// itself is, and has the same values for these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub syntax: Syntax,
    pub names: Vec<String>,
}

/// Tells from some fields of a line that it is of no use.
#[derive(Clone, Debug)]
pub struct EarlyTest {
    pub fields: Arc<Fields>,
    /// What is asked of single fields; a line that one of them drops is of no use.
    pub field_tests: Arc<[FieldTest]>,
    /// Whether what they do not drop passes.
    pub field_tests_decide: bool,
    pub(crate) pipeline: Arc<Pipeline>,
}

/// An [`EarlyTest`] at work in one thread.
#[derive(Debug)]
pub struct Tester {
    pipeline: Arc<Pipeline>,
    work: Work,
    stream: Option<Labels>,
}

// === impl SelectEntries ===

impl SelectEntries {
    /// All entries of a range, whole, oldest first.
    pub fn all(matchers: Vec<Matcher>, range: TimeRange) -> Self {
        Self {
            matchers,
            range,
            needles: Vec::new(),
            direction: Direction::Forward,
            limit_hint: None,
            needs_line: true,
            metadata: None,
            fields: None,
            early: None,
            useful: None,
            needles_decide: false,
        }
    }
}

// === impl EarlyTest ===

impl EarlyTest {
    pub(crate) fn of(pipeline: &Arc<Pipeline>) -> Option<Self> {
        let fields = Arc::new(pipeline.early_fields()?);
        let (field_tests, field_tests_decide) = FieldTest::all_of(pipeline);
        let (field_tests, pipeline) = (field_tests.into(), Arc::clone(pipeline));
        Some(Self { fields, field_tests, field_tests_decide, pipeline })
    }

    pub fn tester(&self) -> Tester {
        Tester { pipeline: Arc::clone(&self.pipeline), work: Work::default(), stream: None }
    }
}

// === impl Tester ===

impl Tester {
    /// Whether an entry may pass; `line` may be reduced to the fields.
    pub fn may_pass(&mut self, stream: &Labels, ts: i64, metadata: &Labels, line: &[u8]) -> bool {
        if self.stream.as_ref() != Some(stream) {
            self.work.start_stream(stream);
            self.stream = Some(stream.clone());
        }
        let entry = LogEntry { timestamp_ns: ts, line: Bytes::new(), metadata: metadata.clone() };
        self.pipeline.may_pass(&mut self.work, &entry, line)
    }
}

/// Takes entries while a source reads them; several threads may call it at once.
pub trait EntrySink: Send + Sync + Debug {
    /// Entries sorted by time within each stream; a stream may come again with others. Computes, so
    /// it is called on the blocking pool. After a break no more are wanted.
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()>;

    /// Times of entries whose lines contain all needles, and of which nothing else is asked, neither
    /// line nor any metadata that they have; otherwise as [`take`](Self::take).
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

    /// About how many stored lines would be looked at, where the needles tell that and nothing need be read.
    async fn lines_to_search(&self, _req: &SelectEntries) -> Result<Option<usize>, SourceError> {
        Ok(None)
    }

    /// As [`select`](Self::select), but hands the entries on as they are read, in
    /// pieces and in no order of streams and pieces; only entries of a stream that have the same time
    /// come in their order. Returns early, without an error, when the sink
    /// breaks off.
    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let streams = self.select(req).await?;
        let taken = skald_runtime::spawn_blocking(move || sink.take(streams)).await;
        taken
            .map(drop)
            .map_err(|e| SourceError { kind: ErrorKind::Internal, message: e.to_string() })
    }
}
