//! Paging through any number of lines: `cursor` in a request, `nextCursor` in its answer.
//!
//! A page ends at a line, and the cursor says which: its time, and its place among the lines of that
//! time, which are ordered by what they are. So lines with equal times are neither lost nor repeated,
//! however many there are. An empty `cursor` asks for the first page; whoever names none never sees
//! a cursor. To a client it is opaque:
//!
//! ```text
//! 1 <f|b> <time ns> . <hash of the line, 16 hex digits> . <lines of that time and hash returned>
//! ```

use std::cmp::Ordering;
use std::collections::HashMap;
use std::str::FromStr;

use skald_logql::{
    Direction, Engine, EngineOptions, EntrySource, Expr, QueryResult, RangeParams, ResultEntry,
    ResultStream, Stats, Value,
};
use skald_model::Labels;
use xxhash_rust::xxh3::Xxh3;

use super::query::{of_engine, options};
use crate::Error;
use crate::http::params::Params;
use crate::scope::Scope;

/// A line behind which a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    direction: Direction,
    time_ns: i64,
    hash: u64,
    /// Lines of this time and hash that were returned.
    nth: u64,
}

/// That and where the client pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    after: Option<Cursor>,
}

/// A page, and where the next one begins.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) result: QueryResult,
    pub(super) next_cursor: Option<String>,
}

/// A line and the labels of its stream.
type Line = (Labels, ResultEntry);

// === impl Cursor ===

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let direction = match self.direction {
            Direction::Forward => 'f',
            Direction::Backward => 'b',
        };
        write!(f, "1{direction}{}.{:016x}.{}", self.time_ns, self.hash, self.nth)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (direction, rest) = match text.split_at_checked(2).ok_or(())? {
            ("1f", rest) => (Direction::Forward, rest),
            ("1b", rest) => (Direction::Backward, rest),
            _ => return Err(()),
        };
        let mut parts = rest.split('.');
        let mut part = || parts.next().ok_or(());
        let time_ns = part()?.parse().map_err(drop)?;
        let hash = u64::from_str_radix(part()?, 16).map_err(drop)?;
        let nth = part()?.parse().map_err(drop)?;
        if part().is_ok() {
            return Err(());
        }
        Ok(Self { direction, time_ns, hash, nth })
    }
}

// === impl Paging ===

impl Paging {
    /// How the client pages, if it does.
    pub(super) fn of(params: &Params, request: &RangeParams) -> Result<Option<Self>, Error> {
        let Some(text) = params.all("cursor").next() else { return Ok(None) };
        let refuse = |text: &str| Err(Error::Invalid(text.to_owned()));
        if request.interval_ns > 0 {
            return refuse("cursor and interval cannot be used together");
        }
        match skald_logql::parse(&request.query) {
            // A page does not know what the ones before it had.
            Ok(Expr::Log(log)) if log.distinct().is_some() => {
                return refuse("cursor and distinct cannot be used together");
            }
            Ok(Expr::Log(_)) => {}
            Ok(Expr::Metric(_)) => return refuse("cursor needs a log query, not a metric query"),
            // The engine says it in its own words.
            Err(_) => return Ok(None),
        }
        if text.is_empty() {
            return Ok(Some(Self { after: None }));
        }
        let Ok(cursor) = text.parse::<Cursor>() else {
            return refuse("cursor is not one that a nextCursor named");
        };
        if cursor.direction != request.direction {
            return refuse("cursor belongs to the other direction");
        }
        Ok(Some(Self { after: Some(cursor) }))
    }
}

/// Reads the page that `paging` names.
pub(super) async fn read(
    scope: &Scope,
    source: &dyn EntrySource,
    request: &RangeParams,
    paging: Paging,
) -> Result<Page, Error> {
    let most = options(scope).max_entries;
    if request.limit > most {
        return Err(Error::Limit(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {most})",
            request.limit
        )));
    }
    let max_entries = usize::MAX;
    let engine = Engine::new(EngineOptions { max_entries, ..options(scope) });
    let mut reader = Reader { engine, source, request, stats: Stats::default() };
    let (mut lines, next) = reader.page(paging.after).await?;
    reader.stats.entries_returned = lines.len() as u64;
    let value = Value::Streams(grouped(&mut lines));
    let result = QueryResult { value, stats: reader.stats, warnings: Vec::new() };
    Ok(Page { result, next_cursor: next.map(|c| c.to_string()) })
}

struct Reader<'a> {
    engine: Engine,
    source: &'a dyn EntrySource,
    request: &'a RangeParams,
    stats: Stats,
}

// === impl Reader ===

impl Reader<'_> {
    async fn page(&mut self, after: Option<Cursor>) -> Result<(Vec<Line>, Option<Cursor>), Error> {
        let request = self.request;
        // One more than wanted tells whether there is more.
        let enough = request.limit.saturating_add(1);
        let (mut start, mut end) = (request.start_ns, request.end_ns);
        let mut lines = Vec::new();
        if let Some(cursor) = after.filter(|c| (start..end).contains(&c.time_ns)) {
            lines = self.at(cursor.time_ns).await?;
            lines.drain(..behind(&lines, cursor));
            lines.truncate(enough);
        }
        match (after, request.direction) {
            (Some(c), Direction::Forward) => start = start.max(c.time_ns.saturating_add(1)),
            (Some(c), Direction::Backward) => end = end.min(c.time_ns),
            (None, _) => {}
        }
        if lines.len() < enough && start < end {
            let more = self.lines(start, end, enough - lines.len()).await?;
            lines.extend(more);
        }
        let Some(cut) = lines.get(request.limit).map(|(_, e)| e.timestamp_ns) else {
            return Ok((lines, None));
        };
        let Some(last) = lines.get(request.limit.saturating_sub(1)) else {
            return Ok((lines, None));
        };
        let time_ns = last.1.timestamp_ns;
        if time_ns == cut {
            // The page ends between equal times: which of them it has, the order decides.
            let mut equal = self.at(time_ns).await?;
            if let Some(cursor) = after.filter(|c| c.time_ns == time_ns) {
                equal.drain(..behind(&equal, cursor));
            }
            lines.retain(|(_, e)| e.timestamp_ns != time_ns);
            lines.extend(equal);
        }
        lines.truncate(request.limit);
        let next = cursor_behind(&lines, after, request.direction);
        Ok((lines, next))
    }

    /// All lines of one time, in the order of pages.
    async fn at(&mut self, time_ns: i64) -> Result<Vec<Line>, Error> {
        let mut lines = self.lines(time_ns, time_ns.saturating_add(1), usize::MAX).await?;
        lines.sort_by_cached_key(hash);
        Ok(lines)
    }

    /// Lines in the query's direction; those of one time ordered by what they are.
    async fn lines(
        &mut self,
        start_ns: i64,
        end_ns: i64,
        limit: usize,
    ) -> Result<Vec<Line>, Error> {
        let request = RangeParams { start_ns, end_ns, limit, ..self.request.clone() };
        let result = self.engine.query_range(self.source, &request).await.map_err(of_engine)?;
        let s = &mut self.stats;
        s.lines_processed += result.stats.lines_processed;
        s.bytes_processed += result.stats.bytes_processed;
        s.structured_metadata_bytes_processed += result.stats.structured_metadata_bytes_processed;
        s.post_filter_lines += result.stats.post_filter_lines;
        s.selects += result.stats.selects;
        let Value::Streams(streams) = result.value else { return Ok(Vec::new()) };
        let of_stream = |s: ResultStream| {
            let labels = s.stream_labels;
            s.entries.into_iter().map(move |e| (labels.clone(), e))
        };
        let mut lines: Vec<Line> = streams.into_iter().flat_map(of_stream).collect();
        lines.sort_by(|(_, a), (_, b)| match self.request.direction {
            Direction::Forward => a.timestamp_ns.cmp(&b.timestamp_ns),
            Direction::Backward => b.timestamp_ns.cmp(&a.timestamp_ns),
        });
        for equal in lines.chunk_by_mut(|(_, a), (_, b)| a.timestamp_ns == b.timestamp_ns) {
            if equal.len() > 1 {
                equal.sort_by_cached_key(hash);
            }
        }
        Ok(lines)
    }
}

/// How many of the sorted lines of the cursor's time are not behind it.
fn behind(lines: &[Line], cursor: Cursor) -> usize {
    let mut nth = 0;
    let passed = |line: &&Line| match hash(line).cmp(&cursor.hash) {
        Ordering::Less => true,
        Ordering::Equal => {
            nth += 1;
            nth <= cursor.nth
        }
        Ordering::Greater => false,
    };
    lines.iter().take_while(passed).count()
}

fn cursor_behind(lines: &[Line], after: Option<Cursor>, direction: Direction) -> Option<Cursor> {
    let last = lines.last()?;
    let (time_ns, hash_of_last) = (last.1.timestamp_ns, hash(last));
    let alike = |l: &&Line| l.1.timestamp_ns == time_ns && hash(l) == hash_of_last;
    let here = lines.iter().rev().take_while(alike).count() as u64;
    let before = after.filter(|c| c.time_ns == time_ns && c.hash == hash_of_last);
    let nth = here + before.map_or(0, |c| c.nth);
    Some(Cursor { direction, time_ns, hash: hash_of_last, nth })
}

/// What a line is: labels and text. The same in every process.
fn hash((labels, entry): &Line) -> u64 {
    let mut hash = Xxh3::new();
    let parts: [&[u8]; 4] = [
        labels.as_bytes(),
        entry.structured_metadata.as_bytes(),
        entry.parsed.as_bytes(),
        &entry.line,
    ];
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.digest()
}

/// Lines by stream, streams in label order, lines as they were.
fn grouped(lines: &mut Vec<Line>) -> Vec<ResultStream> {
    let mut streams: Vec<ResultStream> = Vec::new();
    let mut index: HashMap<Labels, usize> = HashMap::new();
    for (labels, entry) in lines.drain(..) {
        let at = *index.entry(labels).or_insert_with_key(|labels| {
            streams.push(ResultStream { stream_labels: labels.clone(), entries: Vec::new() });
            streams.len() - 1
        });
        if let Some(stream) = streams.get_mut(at) {
            stream.entries.push(entry);
        }
    }
    streams.sort_by(|a, b| a.stream_labels.cmp(&b.stream_labels));
    streams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for direction in [Direction::Forward, Direction::Backward] {
            let cursor = Cursor { direction, time_ns: -5, hash: u64::MAX, nth: 3 };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["", "1", "1f", "2f5.0.1", "1x5.0.1", "1f5.0", "1f5.0.1.1", "1f5.x.1", "ä1"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
