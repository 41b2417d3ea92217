//! All entries of a log block in bounded batches: what compaction reads.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use skald_codec::lines::Lines as PackLines;
use skald_model::{LogEntry, StreamEntries};

use super::directory::Stream;
use super::entries::{Entries, Lines, times};
use super::packed::PackedLines;
use super::packs::{ENOUGH_BYTES, Pack};
use super::read::LogReader;
use super::whole::{LogPiece, PackBytes, PackedEntries};
use super::write::LINE;
use crate::Error;
use crate::object::Scan;
use crate::selection::{Rows, pages};

/// Pages or packs of a window. One holds about a megabyte of lines; fewer than two would read most
/// pages of the other columns twice.
const WINDOW_PAGES: RangeInclusive<usize> = 2..=16;
/// What a page or pack and its entries take in memory, at most but for very long lines.
const PAGE_BYTES: usize = (1 << 20) + (16 << 10) * size_of::<LogEntry>();
const WINDOW_ROWS: usize = 128 << 10;
const BATCH_ROWS: usize = 8 << 10;

/// Entries in block order: by label set, then time. A stream may go on in the next batch.
#[derive(Debug)]
pub struct LogRows {
    reader: LogReader,
    streams: VecDeque<Stream>,
    windows: VecDeque<Range<usize>>,
    packs: Option<Arc<[Pack]>>,
    /// Gram filters and the rows of each, asked for when packs are first handed out; none if there are no usable ones.
    grams: Option<VecDeque<(Range<usize>, Bytes)>>,
    columns: Vec<usize>,
}

/// A pack that is handed out as it is, and its rows.
#[derive(Debug)]
struct Whole {
    rows: Range<usize>,
    pack: PackBytes,
}

/// Which lines of a window are built.
struct Building {
    lines: Option<PackedLines>,
    whole: Vec<Whole>,
}

// === impl LogRows ===

impl LogRows {
    pub(super) fn new(
        reader: LogReader,
        streams: Vec<Stream>,
        packs: Option<Arc<[Pack]>>,
        columns: Vec<usize>,
        memory: usize,
    ) -> Self {
        let n_pages = memory / PAGE_BYTES;
        let windows = match &packs {
            Some(packs) => windows(packs.iter().map(|p| p.rows.clone()), n_pages),
            None => {
                let leaf = reader.object.footer.leaf(LINE).unwrap_or(0);
                windows(pages(reader.object.footer.parquet(), leaf).into_iter(), n_pages)
            }
        };
        Self { reader, streams: streams.into(), windows, packs, grams: None, columns }
    }

    /// The next entries; `None` at the end.
    ///
    /// After an error the stream goes on behind the rows that failed. Cancelling loses the rows
    /// that were being read.
    pub async fn next(&mut self) -> Result<Option<Vec<StreamEntries>>, Error> {
        let Some(window) = self.windows.pop_front() else { return Ok(None) };
        let packs = self.packs_of(&window).await?;
        Ok(Some(self.read(window, packs, Vec::new()).await?.0))
    }

    /// As [`next`](Self::next), but large packs that hold lines of one stream only are not opened.
    pub async fn next_pieces(&mut self) -> Result<Option<Vec<LogPiece>>, Error> {
        let Some(window) = self.windows.pop_front() else { return Ok(None) };
        let mut packs = self.packs_of(&window).await?;
        let whole = match &mut packs {
            Some(packs) => self.take_whole(packs).await?,
            None => Vec::new(),
        };
        let first_row = window.start;
        let (streams, whole) = self.read(window, packs, whole).await?;
        Ok(Some(pieces(streams, first_row, whole)))
    }

    /// The bytes of the packs of a window.
    async fn packs_of(
        &self,
        window: &Range<usize>,
    ) -> Result<Option<VecDeque<(Range<usize>, Bytes)>>, Error> {
        let Some(packs) = &self.packs else { return Ok(None) };
        let at = |row: usize| packs.partition_point(|p| p.rows.start < row);
        let of_window: Vec<&Pack> = packs[at(window.start)..at(window.end)].iter().collect();
        self.reader.fetch_packs(&of_window).await.map(Some)
    }

    /// Takes out the packs that are handed out as they are.
    async fn take_whole(
        &mut self,
        packs: &mut VecDeque<(Range<usize>, Bytes)>,
    ) -> Result<Vec<Whole>, Error> {
        if self.grams.is_none() {
            let grams = self.reader.grams().await?;
            self.grams = Some(grams.iter().flat_map(|grams| grams.runs()).collect());
        }
        let mut whole = Vec::new();
        let streams: Vec<Range<usize>> = match packs.back() {
            Some((last, _)) => self.streams_before(last.end).map(|s| s.rows.clone()).collect(),
            None => Vec::new(),
        };
        for (rows, lines) in std::mem::take(packs) {
            let grams = self.grams_of(&rows);
            let inside = |s: &Range<usize>| s.start <= rows.start && rows.end <= s.end;
            let text_len = PackLines::peek(&lines).ok().filter(|(n, _)| *n == rows.len());
            match (grams, text_len) {
                (Some(grams), Some((_, text_len)))
                    if text_len >= ENOUGH_BYTES && streams.iter().any(inside) =>
                {
                    whole.push(Whole { rows, pack: PackBytes { lines, grams, text_len } });
                }
                _ => packs.push_back((rows, lines)),
            }
        }
        Ok(whole)
    }

    /// The filter of exactly these rows; rows come in order.
    fn grams_of(&mut self, rows: &Range<usize>) -> Option<Bytes> {
        let grams = self.grams.as_mut()?;
        while grams.front().is_some_and(|(of, _)| of.end <= rows.start) {
            grams.pop_front();
        }
        grams.pop_front_if(|(of, _)| of == rows).map(|(_, bytes)| bytes)
    }

    fn streams_before(&self, row: usize) -> impl Iterator<Item = &Stream> {
        self.streams.iter().take_while(move |s| s.rows.start < row)
    }

    /// Reads a window; lines of whole packs are left empty.
    async fn read(
        &mut self,
        window: Range<usize>,
        packs: Option<VecDeque<(Range<usize>, Bytes)>>,
        whole: Vec<Whole>,
    ) -> Result<(Vec<StreamEntries>, Vec<Whole>), Error> {
        while self.streams.front().is_some_and(|s| s.rows.end <= window.start) {
            self.streams.pop_front();
        }
        let streams: Vec<Stream> = self.streams_before(window.end).cloned().collect();
        let lines = packs.map(|packs| {
            let mut lines = PackedLines::new(Vec::new(), true, None);
            lines.packs = packs;
            lines
        });
        let rows = Rows::from_iter([window]);
        let state = (Entries::new(rows.clone().into_numbers(), streams), Building { lines, whole });
        let scan = Scan { columns: &self.columns, rows: &rows, batch_rows: BATCH_ROWS };
        let read = self.reader.object.scan(scan, state, |(entries, building), batch| {
            let rows = entries.take_rows(batch.num_rows())?;
            let keep = vec![true; rows.len()];
            let text = match &mut building.lines {
                Some(lines) => {
                    let is_whole = |row| building.whole.iter().any(|w| w.rows.contains(row));
                    let mut built: Vec<bool> = rows.iter().map(|row| !is_whole(row)).collect();
                    lines.read(&rows, times(batch)?.values(), &[], &mut built)?
                }
                None => Lines::of(batch, &keep)?,
            };
            entries.append(batch, &rows, &keep, &text)
        });
        let (entries, building) = read.await?;
        Ok((entries.out, building.whole))
    }
}

/// Cuts the entries from `row` on into those of whole packs, each of which is of one stream, and others.
fn pieces(streams: Vec<StreamEntries>, mut row: usize, whole: Vec<Whole>) -> Vec<LogPiece> {
    let mut whole = whole.into_iter().peekable();
    let mut pieces = Vec::new();
    for StreamEntries { labels, mut entries } in streams {
        while !entries.is_empty() {
            let packed = whole.next_if(|w| w.rows.start == row);
            let end = match &packed {
                Some(packed) => packed.rows.end,
                None => whole.peek().map_or(usize::MAX, |w| w.rows.start),
            };
            let rest = entries.split_off((end - row).min(entries.len()));
            row += entries.len();
            let (labels, entries) = (labels.clone(), std::mem::replace(&mut entries, rest));
            pieces.push(match packed {
                Some(Whole { pack, .. }) => {
                    LogPiece::Packed(PackedEntries { labels, entries, pack })
                }
                None => LogPiece::Entries(StreamEntries { labels, entries }),
            });
        }
    }
    pieces
}

/// Whole pages of lines, so many and not too many rows at a time.
fn windows(pages: impl Iterator<Item = Range<usize>>, most_pages: usize) -> VecDeque<Range<usize>> {
    let most_pages = most_pages.clamp(*WINDOW_PAGES.start(), *WINDOW_PAGES.end());
    let mut out: VecDeque<Range<usize>> = VecDeque::new();
    let mut n_pages = 0;
    for page in pages {
        n_pages += 1;
        match out.back_mut() {
            Some(last) if n_pages <= most_pages && page.end - last.start <= WINDOW_ROWS => {
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
