//! Times of entries without the entries: what counting lines by stream needs.
//!
//! A block is read so when neither lines nor any of its metadata are wanted: one column, and a slice
//! of it for each stream.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use parquet::errors::ParquetError;
use skald_model::{Labels, StreamEntries, TimeRange};

use super::directory::Stream;
use super::entries::times;
use super::read::{BATCH_ROWS, LogReader, LogSelect};
use super::scan::LogSearch;
use crate::Error;
use crate::chunks::bad;
use crate::object::Scan;

/// Which rows come next, and whose they are.
struct Cursor {
    rows: VecDeque<Range<usize>>,
    streams: VecDeque<Stream>,
    range: TimeRange,
}

// === impl Cursor ===

impl Cursor {
    /// Splits the times of the next rows by stream, without those outside of the range.
    fn split(&mut self, mut times: &[i64]) -> Result<Vec<(Labels, Vec<i64>)>, ParquetError> {
        let mut out = Vec::new();
        while !times.is_empty() {
            let outside = || bad("more rows than selected");
            let rows = self.rows.front_mut().ok_or_else(outside)?;
            while self.streams.front().is_some_and(|s| s.rows.end <= rows.start) {
                self.streams.pop_front();
            }
            let stream = self.streams.front().filter(|s| s.rows.contains(&rows.start));
            let stream = stream.ok_or_else(|| bad("row outside of the streams"))?;
            let n = rows.end.min(stream.rows.end) - rows.start;
            let (some, rest) = times.split_at(n.min(times.len()));
            let start = some.partition_point(|t| *t < self.range.start);
            let end = some.partition_point(|t| *t < self.range.end);
            if start < end {
                out.push((stream.labels.clone(), some[start..end].to_vec()));
            }
            rows.start += some.len();
            if rows.start >= rows.end {
                self.rows.pop_front();
            }
            times = rest;
        }
        Ok(out)
    }
}

// === impl LogReader ===

impl LogReader {
    /// Whether the block has any metadata that a search wants.
    pub fn has_metadata(&self, search: &LogSearch) -> bool {
        self.columns(false, &search.wanted.metadata).len() > 1
    }

    /// Hands the times of the entries of a search to `each`, as [`scan`](Self::scan) would hand the
    /// entries: streams in label order, times sorted; a stream may go on in the next call.
    pub async fn times(
        &self,
        search: &LogSearch,
        mut each: impl FnMut(Vec<(Labels, Vec<i64>)>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(), Error> {
        if search.needles.iter().any(|n| !n.is_empty()) {
            let wanted =
                LogSelect { needs_line: false, metadata: super::Metadata::none(), fields: None };
            let search = LogSearch { wanted, early: None, ..search.clone() };
            let times = |stream: StreamEntries| {
                (stream.labels, stream.entries.iter().map(|e| e.timestamp_ns).collect())
            };
            return self
                .scan(&search, move |streams| each(streams.into_iter().map(times).collect()))
                .await;
        }
        let (streams, rows) = self.wanted_rows(search).await?;
        let columns = self.columns(false, &super::Metadata::none());
        let cursor =
            Cursor { rows: rows.ranges().into(), streams: streams.into(), range: search.range };
        let scan = Scan { columns: &columns, rows: &rows, batch_rows: BATCH_ROWS };
        let read = self.object.scan_until(scan, cursor, move |cursor, batch| {
            let found = cursor.split(times(batch)?.values())?;
            Ok(if found.is_empty() { ControlFlow::Continue(()) } else { each(found) })
        });
        read.await
    }
}
