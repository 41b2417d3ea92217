//! All entries of a log block in bounded batches: what compaction reads.

use std::collections::VecDeque;
use std::ops::Range;

use skald_model::StreamEntries;

use super::directory::Stream;
use super::entries::Entries;
use super::write::LINE;
use crate::Error;
use crate::object::{Object, Scan};
use crate::selection::{Rows, pages};

/// A page holds about a megabyte of lines.
const WINDOW_PAGES: usize = 16;
const WINDOW_ROWS: usize = 128 << 10;
const BATCH_ROWS: usize = 8 << 10;

/// Entries in block order: by label set, then time. A stream may go on in the next batch.
#[derive(Debug)]
pub struct LogRows {
    object: Object,
    streams: VecDeque<Stream>,
    windows: VecDeque<Range<usize>>,
    columns: Vec<usize>,
}

// === impl LogRows ===

impl LogRows {
    pub(super) fn new(object: Object, streams: Vec<Stream>, columns: Vec<usize>) -> Self {
        let windows = windows(&object);
        Self { object, streams: streams.into(), windows, columns }
    }

    /// The next entries; `None` at the end.
    ///
    /// After an error the stream goes on behind the rows that failed. Cancelling loses the rows
    /// that were being read.
    pub async fn next(&mut self) -> Result<Option<Vec<StreamEntries>>, Error> {
        let Some(window) = self.windows.pop_front() else { return Ok(None) };
        while self.streams.front().is_some_and(|s| s.rows.end <= window.start) {
            self.streams.pop_front();
        }
        let inside = self.streams.iter().take_while(|s| s.rows.start < window.end);
        let streams: Vec<Stream> = inside.cloned().collect();
        let rows = Rows::from_iter([window]);
        let entries = Entries {
            numbers: rows.clone().into_numbers(),
            streams: streams.into_iter(),
            current: None,
            out: Vec::new(),
        };
        let scan = Scan { columns: &self.columns, rows: &rows, batch_rows: BATCH_ROWS };
        let entries = self
            .object
            .scan(scan, entries, |entries, batch| {
                entries.append(batch, &vec![true; batch.num_rows()], true)
            })
            .await?;
        Ok(Some(entries.out))
    }
}

/// Whole pages of lines, as many as fit the bounds.
fn windows(object: &Object) -> VecDeque<Range<usize>> {
    let leaf = object.footer.leaf(LINE).unwrap_or(0);
    let mut out: VecDeque<Range<usize>> = VecDeque::new();
    let mut n_pages = 0;
    for page in pages(object.footer.parquet(), leaf) {
        n_pages += 1;
        match out.back_mut() {
            Some(last) if n_pages <= WINDOW_PAGES && page.end - last.start <= WINDOW_ROWS => {
                last.end = page.end;
            }
            _ => {
                out.push_back(page);
                n_pages = 1;
            }
        }
    }
    out
}
