//! The timestamps of a block's chunks, each run of them once however many chunks have it.
//!
//! Series of one scrape target have equal timestamps, which take more room than most values. A chunk whose
//! timestamps some other chunk of the block has, too, is kept without them and says the number of a grid. The
//! table lies behind the last row group; the footer says where (`skald.grids.offset`, `skald.grids.length`).
//!
//! ```text
//! grids := uvarint(n) grid*n          numbered from 0; each first time is the distance from that of the one before
//! ```
//!
//! `docs/formats/metric-block.md`, and `docs/formats/chunk.md` for grids and chunks on them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_codec::chunk::grid::{self, Base, Grid, MIN_GRID, OffGrid};
use skald_codec::chunk::{self, ChunkError, ChunkHeader};
use skald_model::labels::{put_uvarint, take_uvarint};

use super::SeriesRow;
use crate::ValueForm;
use crate::chunks::{bad, put_list_item};
use crate::object::Footer;

pub(super) const KEY_OFFSET: &str = "skald.grids.offset";
pub(super) const KEY_LENGTH: &str = "skald.grids.length";

/// The table of a block in memory, still encoded. The default is that of a block without one.
#[derive(Debug, Default)]
pub(crate) struct Grids {
    bytes: Bytes,
    all: Vec<Place>,
}

/// Where a grid begins, and the first time of the one before.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    base: i64,
}

/// The table of a block that is being written: what at least two of its chunks share.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    numbers: HashMap<Grid<'a>, u32>,
    base: i64,
    bytes: Vec<u8>,
}

/// Where the table of a block lies, when it has one.
pub(crate) fn lies_at(footer: &Footer) -> Option<Range<u64>> {
    let (offset, len) = footer.number(KEY_OFFSET).zip(footer.number(KEY_LENGTH))?;
    Some(offset..offset.checked_add(len)?)
}

// === impl Grids ===

impl Grids {
    /// Takes the bytes of a table apart.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, ParquetError> {
        let mut rest: &[u8] = &bytes;
        let n = take_uvarint(&mut rest).and_then(|n| usize::try_from(n).ok());
        let n = n.filter(|n| *n <= rest.len() / MIN_GRID);
        let n = n.ok_or_else(|| bad("table of grids ends too early"))?;
        let mut all = Vec::with_capacity(n);
        let mut base = 0;
        for _ in 0..n {
            let at = u32::try_from(bytes.len() - rest.len()).map_err(bad)?;
            let grid = Grid::take(base, &mut rest).map_err(bad)?;
            all.push(Place { at, base });
            base = grid.min_ts;
        }
        if rest.is_empty() { Ok(Self { bytes, all }) } else { Err(bad("bytes after the grids")) }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.all.capacity() * size_of::<Place>()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: u32) -> Result<Grid<'_>, ChunkError> {
        let place = self.all.get(number as usize);
        let rest = place.and_then(|place| self.bytes.get(place.at as usize..));
        let (Some(place), Some(mut rest)) = (place, rest) else {
            return Err(ChunkError::Malformed("a grid that the block does not have"));
        };
        Grid::take(place.base, &mut rest)
    }

    /// The head of a chunk of either kind, on a grid or not.
    pub(super) fn peek(&self, chunk: &[u8]) -> Result<ChunkHeader, ChunkError> {
        match OffGrid::take(chunk)? {
            Some((number, off)) => Ok(off.header(&self.get(number)?)),
            None => chunk::peek(chunk),
        }
    }

    /// Appends `chunk` as one that needs neither a grid nor another row; `above` are the rows of its page before
    /// its own, the last one last.
    pub(super) fn join(
        &self,
        chunk: &[u8],
        above: &[SeriesRow],
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        let Some((number, off)) = OffGrid::take(chunk)? else {
            out.extend_from_slice(chunk);
            return Ok(());
        };
        let grid = self.get(number)?;
        let mut complete = |base: Base, _, values: &mut [f64]| {
            let row = above.len().checked_sub(base.rows_up as usize).and_then(|i| above.get(i));
            let at_its_time = |c: &&Bytes| {
                let head = chunk::peek(c);
                head.is_ok_and(|h| h.count == grid.count && h.min_ts == grid.min_ts)
            };
            let on_grid = |c: &&Bytes| {
                at_its_time(c) && matches!(grid::split(c), Ok(Some((g, _))) if g == grid)
            };
            let found = row.and_then(|row| row.floats.iter().find(on_grid));
            let found = found.ok_or(ChunkError::Malformed("a row to predict from is missing"))?;
            let (mut times, mut under) = (Vec::new(), Vec::new());
            chunk::decode_floats(found, &mut times, &mut under)?;
            base.add(&under, values)
        };
        off.join(&grid, &mut complete, out)
    }
}

// === impl Table ===

impl<'a> Table<'a> {
    /// Of the chunks of a block, in the order in which they will stand in it.
    pub(super) fn of(chunks: impl Iterator<Item = &'a Bytes> + Clone) -> Self {
        let mut this = Self::default();
        // Hashes first: what nobody shares is not worth a place in the table, nor memory for its key.
        let hasher = std::hash::RandomState::new();
        let mut uses: HashMap<u64, bool> = HashMap::new();
        let grids = chunks.filter_map(|chunk| Some(grid::split(chunk).ok()??.0));
        for grid in grids.clone() {
            let shared = uses.entry(hasher.hash_one(grid));
            shared.and_modify(|shared| *shared = true).or_insert(false);
        }
        for grid in grids {
            if uses.get(&hasher.hash_one(grid)) == Some(&true) {
                this.add(grid);
            }
        }
        this
    }

    fn add(&mut self, grid: Grid<'a>) {
        let Ok(next) = u32::try_from(self.numbers.len()) else { return };
        if let Entry::Vacant(vacant) = self.numbers.entry(grid) {
            vacant.insert(next);
            grid.put(self.base, &mut self.bytes);
            self.base = grid.min_ts;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// What is stored of it.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 5);
        put_uvarint(&mut out, self.numbers.len() as u64);
        out.extend_from_slice(&self.bytes);
        out
    }

    /// The number of the grid of a chunk, how long the rest of it is, and whether it has start timestamps.
    pub(super) fn number(&self, chunk: &Bytes) -> Option<(u32, usize, bool)> {
        let (grid, off) = grid::split(chunk).ok()??;
        Some((*self.numbers.get(&grid)?, off.body_len(), off.header(&grid).has_starts))
    }

    /// Appends a cell with these chunks, on grids as far as those are in the table.
    pub(super) fn put_list(&self, chunks: &[Bytes], form: ValueForm, out: &mut Vec<u8>) {
        let mut detached = Vec::new();
        for chunk in chunks {
            let split = grid::split(chunk).ok().flatten();
            let number = split.and_then(|(grid, off)| Some((*self.numbers.get(&grid)?, grid, off)));
            match number {
                Some((number, grid, off)) => {
                    detached.clear();
                    let dense = form == ValueForm::Dense;
                    if !dense || off.put_dense(&grid, number, &mut detached).is_err() {
                        detached.clear();
                        off.put(number, &mut detached);
                    }
                    put_list_item(&detached, out);
                }
                None => put_list_item(chunk, out),
            }
        }
    }
}
