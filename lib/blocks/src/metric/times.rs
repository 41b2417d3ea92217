//! Decoded grids of one query: series that share timestamps share the work of decoding them.
//!
//! Invariant: memory is bounded by [`SLOTS`] and [`MAX_LEN`] whatever the block says; where slots do not
//! suffice, a grid is decoded more than once.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use skald_codec::chunk::grid::{Base, Grid, OffGrid, Times};
use skald_codec::chunk::{self, ChunkError};
use skald_model::{Series, TimeRange};

use super::bases::Bases;
use super::grids::Grids;

/// Most grids that are kept decoded.
const SLOTS: usize = 4096;
/// Longer grids are not kept: no writer of ours makes them.
const MAX_LEN: usize = 2048;

type Slot = Mutex<Option<(u32, Arc<Times>)>>;

/// Turns differences of a chunk on a grid into values.
pub(super) type Complete<'a> =
    &'a mut dyn FnMut(u32, &Grid<'_>, Base, Range<usize>, &mut [f64]) -> Result<(), ChunkError>;

/// The grids of a block, and those that a query decoded.
#[derive(Clone, Debug)]
pub(super) struct QueryTimes {
    range: TimeRange,
    grids: Arc<Grids>,
    /// Empty when no two chunks of the query have the same grid.
    decoded: Arc<[Slot]>,
    /// What the decoded ones take at most.
    size_bytes: usize,
}

/// Counts which grids a query needs.
#[derive(Debug)]
pub(super) struct Uses {
    grids: Arc<Grids>,
    /// One bit for each grid.
    seen: Vec<u64>,
    n_distinct: usize,
    /// Chunks that are predicted from others, and the values of the longest.
    n_predicted: usize,
    longest: usize,
    n_chunks: usize,
    size_bytes: usize,
}

// === impl Uses ===

impl Uses {
    pub(super) fn new(grids: Arc<Grids>) -> Self {
        let seen = vec![0; grids.len().div_ceil(64)];
        Self { grids, seen, n_distinct: 0, n_predicted: 0, longest: 0, n_chunks: 0, size_bytes: 0 }
    }

    /// Counts a chunk; one that cannot be read is noticed when it is decoded.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        let Ok(Some((number, off))) = OffGrid::take(chunk) else { return };
        if off.base().is_some() {
            self.n_predicted += 1;
            let count = self.grids.get(number).map_or(0, |grid| grid.count);
            self.longest = self.longest.max(count);
        }
        let Some(word) = self.seen.get_mut(number as usize / 64) else { return };
        let bit = 1 << (number % 64);
        self.n_chunks += 1;
        if *word & bit == 0 {
            *word |= bit;
            self.n_distinct += 1;
            let count = self.grids.get(number).map_or(0, |grid| grid.count);
            self.size_bytes += if count > MAX_LEN { 0 } else { count * size_of::<i64>() };
        }
    }

    /// Room for what chunks are predicted from that of other rows.
    pub(super) fn bases(&self) -> Bases {
        Bases::new(self.n_predicted, self.longest)
    }

    /// For chunks of which only what lies in `range` is wanted.
    pub(super) fn finish(self, range: TimeRange) -> QueryTimes {
        let n_slots = if self.n_distinct == self.n_chunks {
            0
        } else {
            self.n_distinct.next_power_of_two().min(SLOTS)
        };
        let decoded: Arc<[Slot]> = (0..n_slots).map(|_| Slot::default()).collect();
        let bound = n_slots * (size_of::<Slot>() + MAX_LEN * size_of::<i64>());
        let size_bytes = (self.size_bytes + n_slots * size_of::<Slot>()).min(bound);
        QueryTimes { range, grids: self.grids, decoded, size_bytes }
    }
}

// === impl QueryTimes ===

impl QueryTimes {
    pub(super) fn empty(range: TimeRange) -> Self {
        Uses::new(Arc::default()).finish(range)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Appends the samples of a chunk, on a grid or not, that lie in `range`, which the range of the query covers.
    /// `complete` is called with its grid when it is predicted.
    pub(super) fn decode_into(
        &self,
        chunk: &[u8],
        range: TimeRange,
        complete: Complete<'_>,
        into: &mut Series,
    ) -> Result<(), ChunkError> {
        let Some((number, off)) = OffGrid::take(chunk)? else {
            return chunk::decode_into(chunk, range, into);
        };
        let grid = self.grids.get(number)?;
        let times = self.times(number, &grid)?;
        let mut complete =
            |base, window, values: &mut [f64]| complete(number, &grid, base, window, values);
        off.decode_into(&grid, times.as_deref(), range, &mut complete, into)
    }

    /// The times of a grid in the range of the query, if they are worth keeping.
    fn times(&self, number: u32, grid: &Grid<'_>) -> Result<Option<Arc<Times>>, ChunkError> {
        if grid.count > MAX_LEN {
            return Ok(None);
        }
        let Some(slot) = (number as usize).checked_rem(self.decoded.len()) else { return Ok(None) };
        let Some(slot) = self.decoded.get(slot) else { return Ok(None) };
        let mut kept = slot.lock();
        if let Some((_, times)) = kept.as_ref().filter(|(kept, _)| *kept == number) {
            return Ok(Some(Arc::clone(times)));
        }
        let times = Arc::new(grid.times(self.range)?);
        *kept = Some((number, Arc::clone(&times)));
        Ok(Some(times))
    }
}
