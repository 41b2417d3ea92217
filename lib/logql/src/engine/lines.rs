//! Takes the lines that pass a pipeline from entries while a source reads them.
//!
//! Only what passes is held, as copies that share no memory with the pages it came from, and no more
//! of it than the query can use.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::{Labels, Narrowing, StreamEntries, TimeRange};
use skald_vector::CancelFlag;

use super::log::{CHECK_EVERY, Passed, Slice};
use crate::error::QueryError;
use crate::pipeline::labels::{Category, sorted_labels};
use crate::pipeline::{Pipeline, Work};
use crate::result::{ResultEntry, Stats};
use crate::source::{Direction, EntrySink};

/// So many lines more than twice the useful ones are held before the others are dropped.
const SLACK: usize = 1024;

/// The sink of one slice of a log query.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) range: TimeRange,
    /// Ends where the useful lines do, once there are enough; the source looks at it, too.
    pub(super) useful: Arc<Narrowing>,
    pub(super) direction: Direction,
    /// No more than so many lines of the slice are of use.
    pub(super) most: usize,
    /// Bytes that may be held.
    pub(super) max_bytes: usize,
    pub(super) cancel: CancelFlag,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    idle: Vec<Work>,
    found: Vec<Found>,
    /// Bytes of what was found.
    n_bytes: usize,
    /// These were too many.
    is_full: bool,
    /// Lines found so far, dropped ones too.
    n_found: usize,
    stats: Stats,
    /// How often the source began anew; what older threads bring back is void.
    round: usize,
}

/// A line that passed.
#[derive(Debug)]
struct Found {
    /// Of the stream as it is stored.
    origin: Labels,
    /// Place among the lines of its stream.
    number: usize,
    /// The stream as the pipeline left it.
    stream: Labels,
    entry: ResultEntry,
}

// === impl Lines ===

impl Lines {
    /// How many lines are held now.
    pub(super) fn n_held(&self) -> usize {
        self.state.lock().found.len()
    }

    /// What was found, in query direction; call it when nobody brings entries any more.
    pub(super) fn finish(&self) -> Result<Slice, QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        let mut state = std::mem::take(&mut *self.state.lock());
        if state.is_full {
            return Err(too_many_bytes(self.max_bytes));
        }
        self.keep_useful(&mut state.found);
        let mut out = Slice { streams: Vec::new(), lines: Vec::new(), stats: state.stats };
        out.stats.selects = 1;
        let mut index: HashMap<Labels, usize> = HashMap::new();
        for Found { stream, entry, .. } in state.found {
            let stream = *index.entry(stream).or_insert_with_key(|labels| {
                out.streams.push(labels.clone());
                out.streams.len() - 1
            });
            out.lines.push(Passed { stream, entry });
        }
        Ok(out)
    }

    /// Sorts, and drops what comes behind the last useful line.
    fn keep_useful(&self, found: &mut Vec<Found>) {
        let written = |a: &Found, b: &Found| a.number.cmp(&b.number);
        let order = |a: &Found, b: &Found| -> Ordering {
            let by_time = a.entry.timestamp_ns.cmp(&b.entry.timestamp_ns);
            match self.direction {
                Direction::Forward => {
                    by_time.then_with(|| a.origin.cmp(&b.origin)).then_with(|| written(a, b))
                }
                Direction::Backward => {
                    let by_time = by_time.reverse();
                    by_time.then_with(|| a.origin.cmp(&b.origin)).then_with(|| written(b, a))
                }
            }
        };
        found.sort_unstable_by(order);
        found.truncate(self.most);
        if found.len() == self.most
            && let Some(last) = found.last()
        {
            let ns = last.entry.timestamp_ns;
            match self.direction {
                Direction::Forward => self.useful.lower_end(ns.saturating_add(1)),
                Direction::Backward => self.useful.raise_start(ns),
            }
        }
    }

    /// The lines that pass; `None` when nobody waits for them any more.
    fn passing(
        &self,
        work: &mut Work,
        streams: &[StreamEntries],
        stats: &mut Stats,
    ) -> Option<Vec<Found>> {
        let mut out = Vec::new();
        let useful = self.range.intersect(self.useful.get());
        for stream in streams {
            work.start_stream(&stream.labels);
            for (i, entry) in stream.entries.iter().enumerate() {
                if i % CHECK_EVERY == 0 && self.cancel.is_cancelled() {
                    return None;
                }
                if !useful.contains(entry.timestamp_ns) {
                    continue;
                }
                stats.lines_processed += 1;
                stats.bytes_processed += entry.line.len() as u64;
                stats.structured_metadata_bytes_processed += entry.metadata.as_bytes().len() as u64;
                if self.pipeline.process(work, entry) {
                    stats.post_filter_lines += 1;
                    out.push(Found {
                        origin: stream.labels.clone(),
                        number: 0,
                        stream: work.labels.category(Category::Stream),
                        entry: copied(work.result(entry)),
                    });
                }
            }
        }
        Some(out)
    }
}

/// The error of a query that holds more than it may.
fn too_many_bytes(max: usize) -> QueryError {
    QueryError::Limit(format!(
        "the query needs more than the limit of {max} bytes of memory (err-skald-max-query-memory); \
         narrow the selector or the time range, lower limit, or raise max_query_memory"
    ))
}

/// The same line in memory of its own: one line must not hold a page.
fn copied(entry: ResultEntry) -> ResultEntry {
    let labels = |l: &Labels| {
        if l.is_empty() { Labels::empty() } else { sorted_labels(l.iter().collect()) }
    };
    ResultEntry {
        timestamp_ns: entry.timestamp_ns,
        line: Bytes::copy_from_slice(&entry.line),
        structured_metadata: labels(&entry.structured_metadata),
        parsed: entry.parsed,
    }
}

impl EntrySink for Lines {
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()> {
        let mut state = self.state.lock();
        let (mut work, round) = (state.idle.pop().unwrap_or_default(), state.round);
        drop(state);
        let mut stats = Stats::default();
        let Some(found) = self.passing(&mut work, &streams, &mut stats) else {
            return ControlFlow::Break(());
        };
        let mut state = self.state.lock();
        if state.round != round {
            return ControlFlow::Break(());
        }
        state.idle.push(work);
        state.stats.add(&stats);
        let first = state.n_found;
        state.n_found += found.len();
        state.n_bytes += found.iter().map(|line| line.entry.size_bytes()).sum::<usize>();
        let numbered = found.into_iter().zip(first..);
        state.found.extend(numbered.map(|(line, number)| Found { number, ..line }));
        let many = self.most.saturating_mul(2).saturating_add(SLACK);
        if state.found.len() > many || state.n_bytes > self.max_bytes {
            self.keep_useful(&mut state.found);
            state.n_bytes = state.found.iter().map(|line| line.entry.size_bytes()).sum();
            state.is_full = state.n_bytes > self.max_bytes;
        }
        if state.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn reset(&self) {
        let mut state = self.state.lock();
        let round = state.round + 1;
        *state = State { round, ..State::default() };
        self.useful.reset(self.range);
    }
}
