//! All entries of a selector handed to a sink while they are read.
//!
//! ```text
//! heads have any? ─yes→ newest hour: heads and blocks united, as a select; then ask again about the rest
//!                 └no─→ blocks: a stream that is in one block at a time, or in several one after the
//!                       other, goes to the sink batch by batch; streams that overlap are united by the hour
//! ```
//!
//! Invariant: the blocks' view is at least as new as the answer of the heads that said they had nothing.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use parking_lot::RwLock;
use skald_blocks::{Early, LogSearch, LogSelect, LogSpan, Streams};
use skald_catalog::View;
use skald_logql::EntrySink;
use skald_model::{Chain, Labels, Narrowing, Signal, StreamEntries, TimeRange};
use skald_rpc::ingester::SelectEntries;
use tracing::debug;

use crate::blocks::{Block, Blocks, Failure, Wanted};
use crate::fanout::{Fanout, taken};
use crate::memory::Size;
use crate::scope::Scope;
use crate::{Error, merge};

/// What is united in memory covers at most this.
const SLICE_NS: i64 = 3_600_000_000_000;
/// Absurd ranges are not read in millions of slices.
const MAX_SLICES: i64 = 1_000;
/// So many blocks are asked at most how many lines they would look at.
const MOST_TO_ASK: usize = 16;
/// So many even if the answer must be fetched: a search needs it anyway, and once it is known need not come back to
/// the same packs for slice after slice.
const FEW_TO_ASK: usize = 2;

/// One scan under way.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) fanout: Fanout,
    pub(super) scope: Scope,
    pub(super) select: SelectEntries,
    pub(super) wanted: LogSelect,
    pub(super) early: Option<Early>,
    /// What lies outside is of no use any more.
    pub(super) useful: Option<Arc<Narrowing>>,
    /// Of lines only this is looked at: that they contain the needles.
    pub(super) needles_decide: bool,
}

impl Size for LogSpan {
    fn size_bytes(&self) -> usize {
        self.labels.size_bytes() + 2 * size_of::<i64>()
    }
}

/// A sink as long as one attempt lasts: threads that are left over from it bring nothing more.
#[derive(Debug)]
struct Attempt {
    sink: Arc<dyn EntrySink>,
    is_void: RwLock<bool>,
}

/// A sink that one block's break closes for all of them.
#[derive(Debug)]
struct UntilBroken {
    sink: Arc<dyn EntrySink>,
    flag: Arc<AtomicBool>,
}

/// A batch went to the sink already.
struct HandedOn;

/// How many lines of a block are left, if that is known.
struct Left(Option<usize>);

impl Size for Left {
    fn size_bytes(&self) -> usize {
        0
    }
}

impl Size for HandedOn {
    fn size_bytes(&self) -> usize {
        0
    }
}

// === impl Reading ===

impl Reading {
    /// Hands everything to `sink`, until that breaks off.
    pub(super) async fn run(&self, sink: &Arc<dyn EntrySink>) -> Result<(), Error> {
        let first = Arc::new(Attempt { sink: Arc::clone(sink), is_void: RwLock::new(false) });
        let into = Arc::clone(&first) as Arc<dyn EntrySink>;
        let Err(failure) = self.attempt(&into, None).await else { return Ok(()) };
        let Failure::Gone(error) = failure else { return Err(failure.into_error()) };
        debug!(tenant = %self.scope.tenant, error = %Chain(&error), "block is gone, reading anew");
        // Other blocks may still be in the hands of the blocking pool.
        let reset = skald_runtime::spawn_blocking(move || first.reset()).await;
        reset.map_err(|e| Error::Internal(e.to_string()))?;
        let view = self.fanout.blocks.newest(&self.scope.tenant).await?;
        self.attempt(sink, Some(view)).await.map_err(Failure::into_error)
    }

    /// `view` is used when it is as new as heads want it.
    async fn attempt(
        &self,
        sink: &Arc<dyn EntrySink>,
        view: Option<Arc<View>>,
    ) -> Result<(), Failure> {
        let mut rest = self.select.range;
        let width = slice_width(rest);
        while !rest.is_empty() {
            let version = match self.heads(rest).await.map_err(Failure::Other)? {
                Heads::Empty(version) => version,
                Heads::Some => {
                    let start = rest.end.saturating_sub(width).max(rest.start);
                    if self.united(TimeRange::new(start, rest.end), sink).await?.is_break() {
                        return Ok(());
                    }
                    rest.end = start;
                    rest = self.still_useful(rest);
                    continue;
                }
            };
            let view = match view.filter(|view| view.number >= version) {
                Some(view) => view,
                None => {
                    let view = self.fanout.blocks.view(&self.scope.tenant, version).await;
                    view.map_err(Failure::Other)?
                }
            };
            return self.blocks(rest, version, &view, sink).await;
        }
        Ok(())
    }

    fn still_useful(&self, range: TimeRange) -> TimeRange {
        self.useful.as_ref().map_or(range, |useful| range.intersect(useful.get()))
    }

    async fn heads(&self, range: TimeRange) -> Result<Heads, Error> {
        let tenant = self.scope.tenant.clone();
        let matchers: Arc<[_]> = self.select.matchers.clone().into();
        let heads = self
            .fanout
            .ingesters
            .ask(&self.scope, |ingester| {
                let (tenant, matchers) = (tenant.clone(), Arc::clone(&matchers));
                async move { ingester.labels(&tenant, Signal::Logs, &matchers, range).await }
                    .boxed()
            })
            .await?;
        let version = heads.manifest_version;
        let held = self.scope.memory.used();
        let some = taken(&self.scope, heads)?.iter().any(|labels| !labels.is_empty());
        self.scope.memory.return_to(held);
        Ok(if some { Heads::Some } else { Heads::Empty(version) })
    }

    /// A slice of time from heads and blocks.
    async fn united(
        &self,
        range: TimeRange,
        sink: &Arc<dyn EntrySink>,
    ) -> Result<ControlFlow<()>, Failure> {
        let select = Arc::new(SelectEntries { range, ..self.select.clone() });
        let scope = self.scope.with_fresh_memory();
        let streams = self.fanout.entries(&scope, &select, self.wanted.needs_line).await;
        give(sink, streams.map_err(Failure::Other)?).await
    }

    async fn blocks(
        &self,
        range: TimeRange,
        version: u64,
        view: &View,
        sink: &Arc<dyn EntrySink>,
    ) -> Result<(), Failure> {
        let overlapping = Arc::new(self.overlapping(range, version, view).await?);
        let broken_off = Arc::new(AtomicBool::new(false));
        let search = Arc::new(LogSearch {
            matchers: self.select.matchers.clone(),
            range,
            needles: self.select.needles.clone(),
            wanted: self.wanted.clone(),
            streams: Streams::Except(Arc::clone(&overlapping)),
            early: self.early.clone(),
            useful: self.useful.clone(),
        });
        let needles_decide = self.needles_decide;
        let read = |block: Block| {
            let (search, sink, flag) =
                (Arc::clone(&search), Arc::clone(sink), Arc::clone(&broken_off));
            async move {
                let sink = UntilBroken { sink, flag };
                let block = block.logs().await?;
                if needles_decide && !block.has_metadata(&search) {
                    block.times(&search, move |times| sink.take_times(times)).await?;
                } else {
                    block.scan(&search, move |streams| sink.take(streams)).await?;
                }
                Ok(HandedOn)
            }
            .boxed()
        };
        self.fanout.blocks.read_view(&self.scope, wanted(range, version), view, &read).await?;
        if overlapping.is_empty() || broken_off.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.overlapped(range, version, view, &overlapping, sink).await
    }

    /// Streams that have entries of the same time in several blocks.
    async fn overlapping(
        &self,
        range: TimeRange,
        version: u64,
        view: &View,
    ) -> Result<HashSet<Labels>, Failure> {
        let matchers: Arc<[_]> = self.select.matchers.clone().into();
        let needles: Arc<[_]> = self.select.needles.clone().into();
        let read = |block: Block| {
            let (matchers, needles) = (Arc::clone(&matchers), Arc::clone(&needles));
            async move { block.logs().await?.spans(&matchers, range, &needles).await }.boxed()
        };
        let held = self.scope.memory.used();
        let blocks =
            self.fanout.blocks.read_view(&self.scope, wanted(range, version), view, &read).await?;
        self.scope.memory.return_to(held);
        Ok(overlapping(blocks))
    }

    /// Unites the streams that overlap, slice by slice.
    async fn overlapped(
        &self,
        range: TimeRange,
        version: u64,
        view: &View,
        streams: &Arc<HashSet<Labels>>,
        sink: &Arc<dyn EntrySink>,
    ) -> Result<(), Failure> {
        let mut rest = self.still_useful(range);
        let width = slice_width(rest);
        while !rest.is_empty() {
            // As it gets narrower at one end, the other comes first.
            let slice = if self.select.backward {
                TimeRange::new(rest.end.saturating_sub(width).max(rest.start), rest.end)
            } else {
                TimeRange::new(rest.start, rest.start.saturating_add(width).min(rest.end))
            };
            if self.select.backward {
                rest.end = slice.start;
            } else {
                rest.start = slice.end;
            }
            rest = self.still_useful(rest);
            let read = |block: Block| {
                let streams = Streams::Only(Arc::clone(streams));
                // Lines tell copies of an entry apart from its neighbours.
                let search = LogSearch {
                    matchers: self.select.matchers.clone(),
                    range: slice,
                    needles: self.select.needles.clone(),
                    wanted: LogSelect::default(),
                    streams,
                    early: None,
                    useful: None,
                };
                async move { block.logs().await?.found(&search).await }.boxed()
            };
            let scope = self.scope.with_fresh_memory();
            let parts =
                self.fanout.blocks.read_view(&scope, wanted(slice, version), view, &read).await?;
            if give(sink, merge::streams(parts)).await?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// How many lines of blocks a search would look at, if the blocks are few and what tells is at hand, or they are
/// very few.
pub(super) async fn lines_left(
    fanout: &Fanout,
    scope: &Scope,
    select: &SelectEntries,
) -> Result<Option<usize>, Error> {
    let wanted = wanted(select.range, 0);
    let view = fanout.blocks.view(&scope.tenant, 0).await?;
    let n_blocks = Blocks::count_of(&view, wanted)?;
    if n_blocks > MOST_TO_ASK {
        return Ok(None);
    }
    let may_fetch = n_blocks <= FEW_TO_ASK;
    let scope = if may_fetch { &scope.without_blocks() } else { &scope.uncounted() };
    let search = Arc::new(LogSearch {
        matchers: select.matchers.clone(),
        range: select.range,
        needles: select.needles.clone(),
        wanted: LogSelect::default(),
        streams: Streams::All,
        early: None,
        useful: None,
    });
    let read = |block: Block| {
        let search = Arc::clone(&search);
        async move {
            if may_fetch {
                let n = block.logs().await?.count_rows_left(&search).await?;
                return Ok(Left(Some(n)));
            }
            let Some(block) = block.cached_logs().await? else { return Ok(Left(None)) };
            block.rows_left(&search).await.map(Left)
        }
        .boxed()
    };
    match fanout.blocks.read_view(scope, wanted, &view, &read).await {
        Ok(left) => Ok(left.iter().map(|Left(n)| *n).sum()),
        // The search itself reads anew.
        Err(Failure::Gone(_)) => Ok(None),
        Err(other) => Err(other.into_error()),
    }
}

// === impl Attempt ===

impl EntrySink for Attempt {
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()> {
        let is_void = self.is_void.read();
        if *is_void { ControlFlow::Break(()) } else { self.sink.take(streams) }
    }

    fn take_times(&self, streams: Vec<(Labels, Vec<i64>)>) -> ControlFlow<()> {
        let is_void = self.is_void.read();
        if *is_void { ControlFlow::Break(()) } else { self.sink.take_times(streams) }
    }

    fn reset(&self) {
        // Waits for those that are taking.
        let mut is_void = self.is_void.write();
        *is_void = true;
        self.sink.reset();
    }
}

// === impl UntilBroken ===

impl UntilBroken {
    fn unless_broken(&self, take: impl FnOnce() -> ControlFlow<()>) -> ControlFlow<()> {
        if !self.flag.load(Ordering::Relaxed) && take().is_continue() {
            return ControlFlow::Continue(());
        }
        self.flag.store(true, Ordering::Relaxed);
        ControlFlow::Break(())
    }

    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()> {
        self.unless_broken(|| self.sink.take(streams))
    }

    fn take_times(&self, streams: Vec<(Labels, Vec<i64>)>) -> ControlFlow<()> {
        self.unless_broken(|| self.sink.take_times(streams))
    }
}

enum Heads {
    /// With the commit that this relies on.
    Empty(u64),
    Some,
}

fn wanted(range: TimeRange, manifest_version: u64) -> Wanted {
    Wanted { signal: Signal::Logs, range, manifest_version }
}

fn slice_width(range: TimeRange) -> i64 {
    SLICE_NS.max(range.end.saturating_sub(range.start) / MAX_SLICES)
}

async fn give(
    sink: &Arc<dyn EntrySink>,
    streams: Vec<StreamEntries>,
) -> Result<ControlFlow<()>, Failure> {
    let sink = Arc::clone(sink);
    let taken = skald_runtime::spawn_blocking(move || sink.take(streams)).await;
    taken.map_err(|e| Failure::Other(Error::Internal(e.to_string())))
}

fn overlapping(blocks: Vec<Vec<LogSpan>>) -> HashSet<Labels> {
    let mut out = HashSet::new();
    if blocks.len() < 2 {
        return out;
    }
    let mut spans: HashMap<Labels, Vec<(i64, i64)>> = HashMap::new();
    for LogSpan { labels, min_ns, max_ns } in blocks.into_iter().flatten() {
        spans.entry(labels).or_default().push((min_ns, max_ns));
    }
    for (labels, mut times) in spans {
        times.sort_unstable();
        if times.windows(2).any(|w| w[1].0 <= w[0].1) {
            out.insert(labels);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often it was given something.
    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl EntrySink for Count {
        fn take(&self, _: Vec<StreamEntries>) -> ControlFlow<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        }

        fn reset(&self) {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_left_over_from_an_attempt_comes_too_late() {
        let count = Arc::new(Count::default());
        let sink = Arc::clone(&count) as Arc<dyn EntrySink>;
        let first = Attempt { sink, is_void: RwLock::new(false) };
        assert!(first.take(Vec::new()).is_continue());
        first.reset();
        assert!(first.take(Vec::new()).is_break());
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn streams_overlap_where_their_times_meet() {
        let span = |name: &str, min_ns, max_ns| LogSpan {
            labels: Labels::from_pairs([("app", name)]),
            min_ns,
            max_ns,
        };
        let blocks = vec![
            vec![span("a", 0, 10), span("b", 0, 10), span("c", 0, 10)],
            vec![span("a", 11, 20), span("b", 10, 20)],
            vec![span("a", 21, 30), span("c", 5, 6)],
        ];
        let found = overlapping(blocks);
        let expected = ["b", "c"].map(|name| Labels::from_pairs([("app", name)]));
        assert_eq!(found, HashSet::from(expected));
    }
}
