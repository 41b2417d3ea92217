//! Pages of a chunk column in memory: chunks still encoded, with their heads read once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_codec::chunk::grid::{Grid, OffGrid};
use skald_codec::chunk::{ChunkError, ChunkKind};
use skald_model::TimeRange;

use super::grids::Grids;
use super::read::binary;
use crate::Error;
use crate::chunks::{bad, list};
use crate::object::{Object, Scan};
use crate::selection::{Rows, pages};

/// Most rows of a page in memory, whatever the block's own pages are.
const PAGE_ROWS: usize = 256;
const BATCH: usize = 1024;

/// Consecutive rows of one chunk column.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: Bytes,
    chunks: Vec<Chunk>,
    /// Where the chunks of each row end.
    ends: Vec<u32>,
}

/// Where a chunk lies in its page, and what its head says.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    at: u32,
    count: u32,
    min_ts: i64,
    max_ts: i64,
}

/// How the rows of a block are divided into pages.
#[derive(Clone, Debug)]
pub(super) struct Layout(Vec<Range<usize>>);

/// Pages under construction.
#[derive(Debug)]
struct Builder {
    kind: ChunkKind,
    grids: Arc<Grids>,
    /// The pages still to come, the next one last.
    wanted: Vec<(u32, Range<usize>)>,
    bytes: Vec<u8>,
    page: Page,
    done: Vec<(u32, Arc<Page>)>,
}

// === impl Page ===

impl Page {
    fn new() -> Self {
        Self { bytes: Bytes::new(), chunks: Vec::new(), ends: Vec::new() }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes.len()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.ends.capacity() * size_of::<u32>()
    }

    /// The chunks of a row from the first to the last one that meets `range`.
    pub(super) fn chunks(&self, row: usize, range: TimeRange) -> Range<u32> {
        let Range { start, end } = self.of_row(row);
        let chunks = self.chunks.get(start as usize..end as usize).unwrap_or_default();
        let meets = |c: &Chunk| range.overlaps(c.min_ts, c.max_ts);
        let Some(first) = chunks.iter().position(meets) else { return 0..0 };
        let last = chunks.iter().rposition(meets).unwrap_or(first);
        let number = |i: usize| start + u32::try_from(i).unwrap_or(0);
        number(first)..number(last + 1)
    }

    /// Samples in the chunks that meet `range`.
    pub(super) fn n_samples(&self, chunks: Range<u32>, range: TimeRange) -> usize {
        self.heads(chunks, range).map(|(_, c)| c.count as usize).sum()
    }

    /// The first chunk of a row on `grid`, which has this number, and its number in the page.
    pub(super) fn on_grid(
        &self,
        row: u32,
        number: u32,
        grid: &Grid<'_>,
    ) -> Result<Option<(u32, OffGrid<'_>)>, ChunkError> {
        for i in self.of_row(row as usize) {
            // Mostly that of another time.
            let meets = |c: &Chunk| c.min_ts == grid.min_ts && c.count as usize == grid.count;
            if self.chunks.get(i as usize).is_some_and(meets)
                && let Some((found, off)) = OffGrid::take(self.bytes_of(i as usize))?
                && found == number
            {
                return Ok(Some((i, off)));
            }
        }
        Ok(None)
    }

    fn of_row(&self, row: usize) -> Range<u32> {
        let end = |row: usize| self.ends.get(row).copied().unwrap_or(0);
        row.checked_sub(1).map_or(0, end)..end(row)
    }

    fn bytes_of(&self, chunk: usize) -> &[u8] {
        let at = |i: usize| self.chunks.get(i).map_or(self.bytes.len(), |c| c.at as usize);
        self.bytes.get(at(chunk)..at(chunk + 1)).unwrap_or_default()
    }

    /// The number and the bytes of the chunks that meet `range`, and whether each begins behind the end of
    /// the one before.
    pub(super) fn encoded(
        &self,
        chunks: Range<u32>,
        range: TimeRange,
    ) -> impl Iterator<Item = (u32, &[u8], bool)> {
        let mut last = None;
        self.heads(chunks, range).map(move |(i, chunk)| {
            let ascends = last.is_none_or(|last| last < chunk.min_ts);
            last = Some(chunk.max_ts);
            (narrow(i), self.bytes_of(i), ascends)
        })
    }

    fn heads(&self, chunks: Range<u32>, range: TimeRange) -> impl Iterator<Item = (usize, Chunk)> {
        let numbers = chunks.start as usize..chunks.end as usize;
        let found = self.chunks.get(numbers.clone()).unwrap_or_default();
        let numbered = numbers.zip(found.iter().copied());
        numbered.filter(move |(_, c)| range.overlaps(c.min_ts, c.max_ts))
    }
}

#[cfg(test)]
impl Page {
    /// A page of float cells.
    pub(super) fn of_floats(grids: Arc<Grids>, cells: &[Vec<u8>]) -> Self {
        let (kind, wanted) = (ChunkKind::Floats, vec![(0, 0..cells.len())]);
        let (page, done) = (Self::new(), Vec::new());
        let mut builder = Builder { kind, grids, wanted, bytes: Vec::new(), page, done };
        let cells: BinaryArray = cells.iter().map(|c| Some(&c[..])).collect();
        builder.push(&cells).unwrap();
        Arc::into_inner(builder.done.pop().unwrap().1).unwrap()
    }
}

// === impl Layout ===

impl Layout {
    pub(super) fn of(object: &Object, leaf: usize) -> Self {
        let cut = |page: Range<usize>| {
            let end = page.end;
            page.step_by(PAGE_ROWS).map(move |start| start..end.min(start + PAGE_ROWS))
        };
        Self(pages(object.footer.parquet(), leaf).into_iter().flat_map(cut).collect())
    }

    /// Numbers of the pages with some of `rows` (ascending), and where each row lies: in which of
    /// those, and in which row of it.
    pub(super) fn locate(&self, rows: &[u32]) -> (Vec<u32>, Vec<(u32, u32)>) {
        let mut numbers: Vec<u32> = Vec::new();
        let mut places = Vec::with_capacity(rows.len());
        let mut current = 0..0;
        for &row in rows {
            if !current.contains(&(row as usize)) {
                let at = self.0.partition_point(|page| page.end <= row as usize);
                current = self.0.get(at).cloned().unwrap_or(0..0);
                numbers.push(narrow(at));
            }
            places.push((narrow(numbers.len().saturating_sub(1)), row - narrow(current.start)));
        }
        (numbers, places)
    }

    /// The pages with these numbers of a column, from the cache as far as they are there.
    pub(super) async fn load(
        &self,
        object: &Object,
        name: &str,
        kind: ChunkKind,
        grids: &Arc<Grids>,
        numbers: &[u32],
    ) -> Result<Vec<Arc<Page>>, Error> {
        let Some(column) = object.footer.column(name) else { return Ok(Vec::new()) };
        let key = narrow(column);
        let cached = |n: &u32| object.cache.page(object.path(), key, *n);
        let mut found: Vec<Option<Arc<Page>>> = numbers.iter().map(cached).collect();
        let lacks = |(n, page): (&u32, &Option<Arc<Page>>)| page.is_none().then_some(*n);
        let missing: Vec<u32> = numbers.iter().zip(&found).filter_map(lacks).collect();
        object.stats.add_pages(numbers.len() - missing.len(), missing.len());
        if !missing.is_empty() {
            let read = self.read(object, (name, column, kind), grids, &missing).await?;
            for (number, page) in read {
                object.cache.put_page(object.path(), key, number, Arc::clone(&page));
                if let Ok(at) = numbers.binary_search(&number) {
                    found[at] = Some(page);
                }
            }
        }
        let found: Option<Vec<_>> = found.into_iter().collect();
        found.ok_or_else(|| object.corrupt("rows of a page are missing"))
    }

    async fn read(
        &self,
        object: &Object,
        (name, column, kind): (&str, usize, ChunkKind),
        grids: &Arc<Grids>,
        missing: &[u32],
    ) -> Result<Vec<(u32, Arc<Page>)>, Error> {
        let page = |n: &u32| Some((*n, self.0.get(*n as usize)?.clone()));
        let mut wanted: Vec<(u32, Range<usize>)> = missing.iter().filter_map(page).collect();
        let rows: Rows = wanted.iter().map(|(_, rows)| rows.clone()).collect();
        wanted.reverse();
        let builder = Builder {
            kind,
            grids: Arc::clone(grids),
            wanted,
            bytes: Vec::new(),
            page: Page::new(),
            done: Vec::new(),
        };
        let scan = Scan { columns: &[column], rows: &rows, batch_rows: BATCH };
        let name = name.to_owned();
        let builder = object
            .scan(scan, builder, move |builder, batch| {
                let cells = binary(batch, &name)?.ok_or_else(|| bad("column missing"))?;
                builder.push(cells)
            })
            .await?;
        Ok(builder.done)
    }
}

// === impl Builder ===

impl Builder {
    fn push(&mut self, cells: &BinaryArray) -> Result<(), ParquetError> {
        for row in 0..cells.len() {
            if cells.is_valid(row) {
                self.cell(cells.value(row))?;
            }
            self.page.ends.push(u32::try_from(self.page.chunks.len()).map_err(bad)?);
            let full = self.wanted.last().is_some_and(|(_, r)| r.len() == self.page.ends.len());
            if full && let Some((number, _)) = self.wanted.pop() {
                self.finish(number);
            }
        }
        Ok(())
    }

    fn cell(&mut self, cell: &[u8]) -> Result<(), ParquetError> {
        for chunk in list(cell) {
            let chunk = chunk?;
            let head = self.grids.peek(chunk).map_err(bad)?;
            if head.count == 0 {
                continue;
            }
            if head.kind != self.kind {
                return Err(bad("chunk of another kind"));
            }
            self.page.chunks.push(Chunk {
                at: u32::try_from(self.bytes.len()).map_err(bad)?,
                count: u32::try_from(head.count).map_err(bad)?,
                min_ts: head.min_ts,
                max_ts: head.max_ts,
            });
            self.bytes.extend_from_slice(chunk);
        }
        Ok(())
    }

    fn finish(&mut self, number: u32) {
        let mut page = std::mem::replace(&mut self.page, Page::new());
        self.bytes.shrink_to_fit();
        page.bytes = std::mem::take(&mut self.bytes).into();
        page.chunks.shrink_to_fit();
        self.done.push((number, Arc::new(page)));
    }
}

/// Rows, pages and columns of a block are far below 2^32.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
