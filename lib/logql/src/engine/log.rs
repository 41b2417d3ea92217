//! Log queries: lines in order, up to a limit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::{Labels, Narrowing, StreamEntries, TimeRange};
use skald_vector::CancelFlag;

use super::lines::Lines;
use super::{CancelOnDrop, EngineOptions, RangeParams, blocking, empty};
use crate::ast::LogExpr;
use crate::error::QueryError;
use crate::pipeline::labels::Category;
use crate::pipeline::{Pipeline, Work};
use crate::result::{QueryResult, ResultEntry, ResultStream, Stats, Value};
use crate::source::{Direction, EarlyTest, EntrySink, EntrySource, SelectEntries};

/// The first slice is this part of the range.
const FIRST_SLICE: i64 = 64;
/// Each slice is so many times as long as the last one. A slice costs the pages that meet its time, and
/// pages of quiet streams reach far: few slices read them few times.
const GROWTH: i64 = 4;
/// The same where the last slice gave next to nothing.
const GROWTH_OF_RARE: i64 = 16;
/// Slices in which so many lines pass are long enough, though `distinct` or an interval keeps few of them.
const MANY_LINES: usize = 64 << 10;
/// So few lines that may have a text are searched at once, wherever they are: each slice looks for them anew.
const FEW_TO_SEARCH: usize = 128 << 10;
/// So few lines are put in order on the spot.
const FEW_LINES: usize = 256;
/// But not shorter than this.
const MIN_SLICE_NS: i64 = 1_000_000_000;
/// How many lines are processed between two looks at the flag.
pub(super) const CHECK_EVERY: usize = 256;

/// A line that passed, with the place of its stream in the slice's list.
pub(super) struct Passed {
    pub(super) stream: usize,
    pub(super) entry: ResultEntry,
}

/// What one slice gave: streams as the pipeline left them, and lines in query direction.
pub(super) struct Slice {
    pub(super) streams: Vec<Labels>,
    pub(super) lines: Vec<Passed>,
    pub(super) stats: Stats,
}

pub(super) async fn run(
    options: &EngineOptions,
    source: &dyn EntrySource,
    log: &LogExpr,
    params: &RangeParams,
) -> Result<QueryResult, QueryError> {
    let limit = params.limit;
    let max = options.max_entries;
    if limit == 0 {
        return Err(QueryError::Invalid("limit must be a positive value".to_owned()));
    }
    if limit > max {
        return Err(QueryError::Limit(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {max})"
        )));
    }
    let (stages, distinct) = log.split_distinct();
    let pipeline = Arc::new(Pipeline::of_stages(stages)?);
    let guard = CancelOnDrop::default();
    let mut out = Collected::new(params, distinct);
    let distinct = distinct.is_some();
    let mut slices = Slices::new(params);
    if params.interval_ns <= 0 && !distinct {
        let whole = TimeRange::new(params.start_ns, params.end_ns);
        let whole = request(log, &pipeline, params, whole);
        if !whole.needles.is_empty()
            && source.lines_to_search(&whole).await?.is_some_and(|n| n <= FEW_TO_SEARCH)
        {
            slices.grow(FIRST_SLICE);
        }
    }
    while let Some(range) = slices.next() {
        let hint = pipeline.keeps_all() && params.interval_ns <= 0 && !distinct;
        let useful = Arc::new(Narrowing::new(range));
        let req = SelectEntries {
            limit_hint: hint.then(|| limit - out.n_lines),
            useful: Some(Arc::clone(&useful)),
            ..request(log, &pipeline, params, range)
        };
        // Without an interval no more than what is missing can come from any one stream.
        let most =
            if params.interval_ns > 0 || distinct { usize::MAX } else { limit - out.n_lines };
        let (pipeline, cancel, direction) = (Arc::clone(&pipeline), guard.flag(), params.direction);
        let slice = if pipeline.drops_behind_stages() || most < usize::MAX {
            // What is dropped only here, or comes behind enough others, need not be held until all is read.
            let state = Mutex::default();
            let max_bytes = options.max_line_bytes.saturating_sub(out.n_bytes);
            let sink = Lines { pipeline, range, useful, direction, most, max_bytes, cancel, state };
            let sink = Arc::new(sink);
            source.scan(&req, Arc::clone(&sink) as Arc<dyn EntrySink>).await?;
            // Few lines are sorted sooner than another thread is woken for it.
            if sink.n_held() <= FEW_LINES {
                sink.finish()?
            } else {
                blocking(move || sink.finish()).await?
            }
        } else {
            let streams = source.select(&req).await?;
            blocking(move || process(&pipeline, streams, range, direction, most, &cancel)).await?
        };
        let n_passed = slice.lines.len();
        if out.add(slice) {
            break;
        }
        slices.grow(match n_passed {
            n if n.saturating_mul(64) < limit => GROWTH_OF_RARE,
            n if n < MANY_LINES => GROWTH,
            _ => 1,
        });
    }
    let mut result = empty(Value::Streams(Vec::new()));
    result.stats = out.stats;
    result.stats.entries_returned = u64::try_from(out.n_lines).unwrap_or(u64::MAX);
    result.value = Value::Streams(out.finish());
    Ok(result)
}

/// The entries of a part of the range.
fn request(
    log: &LogExpr,
    pipeline: &Arc<Pipeline>,
    params: &RangeParams,
    range: TimeRange,
) -> SelectEntries {
    SelectEntries {
        matchers: log.matchers.clone(),
        range,
        needles: pipeline.needles().to_vec(),
        direction: params.direction,
        limit_hint: None,
        needs_line: true,
        metadata: None,
        fields: None,
        early: EarlyTest::of(pipeline),
        useful: None,
        needles_decide: false,
    }
}

/// Pieces of the range from the asked end, each longer than the last.
struct Slices {
    start: i64,
    end: i64,
    width: i64,
    direction: Direction,
}

impl Slices {
    fn new(params: &RangeParams) -> Self {
        let range = params.end_ns.saturating_sub(params.start_ns);
        Self {
            start: params.start_ns,
            end: params.end_ns,
            // Rounded up, so that so many of them are all.
            width: (range / FIRST_SLICE + 1).max(MIN_SLICE_NS),
            direction: params.direction,
        }
    }

    fn grow(&mut self, times: i64) {
        self.width = self.width.saturating_mul(times);
    }

    fn next(&mut self) -> Option<TimeRange> {
        if self.start >= self.end {
            return None;
        }
        let width = self.width.min(self.end - self.start);
        Some(match self.direction {
            Direction::Forward => {
                self.start += width;
                TimeRange::new(self.start - width, self.start)
            }
            Direction::Backward => {
                self.end -= width;
                TimeRange::new(self.end, self.end + width)
            }
        })
    }
}

fn process(
    pipeline: &Pipeline,
    mut streams: Vec<StreamEntries>,
    range: TimeRange,
    direction: Direction,
    most: usize,
    cancel: &CancelFlag,
) -> Result<Slice, QueryError> {
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out = Slice { streams: Vec::new(), lines: Vec::new(), stats: Stats::default() };
    out.stats.selects = 1;
    let mut index: HashMap<Labels, usize> = HashMap::new();
    let mut work = Work::default();
    for stream in &streams {
        work.start_stream(&stream.labels);
        let mut n_passed = 0;
        for i in 0..stream.entries.len() {
            if i % CHECK_EVERY == 0 && cancel.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
            if n_passed >= most {
                break;
            }
            let at = if direction == Direction::Forward { i } else { stream.entries.len() - 1 - i };
            let entry = &stream.entries[at];
            if !range.contains(entry.timestamp_ns) {
                continue;
            }
            out.stats.lines_processed += 1;
            out.stats.bytes_processed += entry.line.len() as u64;
            out.stats.structured_metadata_bytes_processed += entry.metadata.as_bytes().len() as u64;
            if !pipeline.process(&mut work, entry) {
                continue;
            }
            n_passed += 1;
            let labels = work.labels.category(Category::Stream);
            let stream = *index.entry(labels).or_insert_with_key(|labels| {
                out.streams.push(labels.clone());
                out.streams.len() - 1
            });
            out.lines.push(Passed { stream, entry: work.result(entry) });
        }
        out.stats.post_filter_lines += n_passed as u64;
    }
    // Stable: lines of one stream at the same time keep their order.
    match direction {
        Direction::Forward => out.lines.sort_by_key(|l| l.entry.timestamp_ns),
        Direction::Backward => out.lines.sort_by_key(|l| std::cmp::Reverse(l.entry.timestamp_ns)),
    }
    Ok(out)
}

/// The answer as it grows.
struct Collected<'a> {
    /// Labels whose values no two lines share.
    distinct: Option<&'a [String]>,
    seen: HashSet<Vec<String>>,
    streams: Vec<ResultStream>,
    index: HashMap<Labels, usize>,
    n_lines: usize,
    n_bytes: usize,
    limit: usize,
    interval_ns: i64,
    last_ns: Option<i64>,
    stats: Stats,
}

impl<'a> Collected<'a> {
    fn new(params: &RangeParams, distinct: Option<&'a [String]>) -> Self {
        Self {
            distinct,
            seen: HashSet::new(),
            streams: Vec::new(),
            index: HashMap::new(),
            n_lines: 0,
            n_bytes: 0,
            limit: params.limit,
            interval_ns: params.interval_ns,
            last_ns: None,
            stats: Stats::default(),
        }
    }

    /// `true` when the limit is met.
    fn add(&mut self, slice: Slice) -> bool {
        self.stats.add(&slice.stats);
        for line in slice.lines {
            if self.n_lines >= self.limit {
                return true;
            }
            let t = line.entry.timestamp_ns;
            let near = |last: i64| t.abs_diff(last) < self.interval_ns.unsigned_abs();
            if self.interval_ns > 0 && self.last_ns.is_some_and(near) {
                continue;
            }
            if let Some(names) = self.distinct {
                let labels = line.entry.merged_labels(&slice.streams[line.stream]);
                let value = |n: &String| labels.get(n).unwrap_or("").to_owned();
                if !self.seen.insert(names.iter().map(value).collect()) {
                    continue;
                }
            }
            self.last_ns = Some(t);
            self.n_lines += 1;
            self.n_bytes += line.entry.size_bytes();
            let streams = &mut self.streams;
            let at =
                *self.index.entry(slice.streams[line.stream].clone()).or_insert_with_key(|l| {
                    streams.push(ResultStream { stream_labels: l.clone(), entries: Vec::new() });
                    streams.len() - 1
                });
            self.streams[at].entries.push(line.entry);
        }
        self.n_lines >= self.limit
    }

    fn finish(mut self) -> Vec<ResultStream> {
        self.streams.sort_by_cached_key(|stream| stream.stream_labels.to_string());
        self.streams
    }
}
