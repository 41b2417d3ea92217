//! All entries of a log block in bounded batches: what compaction reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use skald_model::StreamEntries;

use super::directory::Stream;
use super::entries::{Entries, Lines, times};
use super::packed::PackedLines;
use super::packs::Pack;
use super::read::LogReader;
use super::write::LINE;
use crate::Error;
use crate::object::Scan;
use crate::selection::{Rows, pages};

/// A page or pack holds about a megabyte of lines.
const WINDOW_PAGES: usize = 16;
const WINDOW_ROWS: usize = 128 << 10;
const BATCH_ROWS: usize = 8 << 10;

/// Entries in block order: by label set, then time. A stream may go on in the next batch.
#[derive(Debug)]
pub struct LogRows {
    reader: LogReader,
    streams: VecDeque<Stream>,
    windows: VecDeque<Range<usize>>,
    packs: Option<Arc<[Pack]>>,
    columns: Vec<usize>,
}

// === impl LogRows ===

impl LogRows {
    pub(super) fn new(
        reader: LogReader,
        streams: Vec<Stream>,
        packs: Option<Arc<[Pack]>>,
        columns: Vec<usize>,
    ) -> Self {
        let windows = match &packs {
            Some(packs) => windows(packs.iter().map(|p| p.rows.clone())),
            None => {
                let leaf = reader.object.footer.leaf(LINE).unwrap_or(0);
                windows(pages(reader.object.footer.parquet(), leaf).into_iter())
            }
        };
        Self { reader, streams: streams.into(), windows, packs, columns }
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
        let mut packed = None;
        if let Some(packs) = &self.packs {
            let at = |row: usize| packs.partition_point(|p| p.rows.start < row);
            let of_window: Vec<&Pack> = packs[at(window.start)..at(window.end)].iter().collect();
            let mut lines = PackedLines::new(Vec::new(), true, None);
            lines.packs = self.reader.fetch_packs(&of_window).await?;
            packed = Some(lines);
        }
        let rows = Rows::from_iter([window]);
        let entries = Entries::new(rows.clone().into_numbers(), streams);
        let scan = Scan { columns: &self.columns, rows: &rows, batch_rows: BATCH_ROWS };
        let read = self.reader.object.scan(scan, (entries, packed), |(entries, packed), batch| {
            let rows = entries.take_rows(batch.num_rows())?;
            let mut keep = vec![true; rows.len()];
            let text = match packed {
                Some(lines) => lines.read(&rows, times(batch)?.values(), &[], &mut keep)?,
                None => Lines::of(batch, &keep)?,
            };
            entries.append(batch, &rows, &keep, &text)
        });
        let (entries, _) = read.await?;
        Ok(Some(entries.out))
    }
}

/// Whole pages of lines, as many as fit the bounds.
fn windows(pages: impl Iterator<Item = Range<usize>>) -> VecDeque<Range<usize>> {
    let mut out: VecDeque<Range<usize>> = VecDeque::new();
    let mut n_pages = 0;
    for page in pages {
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
