//! Completes chunks that are predicted from other rows of their page, for one query.
//!
//! A query of all buckets of a histogram needs the values of each row again for the next: they are kept for a while.
//! Invariant: memory is bounded by [`SLOTS`] and [`MAX_LEN`], work by [`MAX_DEPTH`], whatever the block says.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use skald_codec::chunk::ChunkError;
use skald_codec::chunk::grid::{Base, Grid, OffGrid};

use super::page::Page;

/// Most chunks that are kept decoded.
const SLOTS: usize = 256;
/// Longer ones are not kept: no writer of ours makes them.
const MAX_LEN: usize = 2048;
/// Most chunks to decode for one. Writers stay at [`super::predict::MAX_DEPTH`].
const MAX_DEPTH: usize = 16;

type Slot = Mutex<Kept>;

/// Values of chunks that others may be predicted from.
#[derive(Clone, Debug)]
pub(super) struct Bases {
    slots: Arc<[Slot]>,
    /// Values of the longest chunk that is kept.
    longest: usize,
}

/// Values of a window of a chunk; none when the window is empty.
#[derive(Debug, Default)]
struct Kept {
    page: u32,
    chunk: u32,
    window: Range<usize>,
    values: Vec<f64>,
}

/// A row, and the grid that its chunk in question is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) page: &'a Page,
    pub(super) number_of_page: u32,
    /// Counted in the page.
    pub(super) row: u32,
    /// Number of the chunk in the page.
    pub(super) chunk: u32,
    pub(super) grid: u32,
}

// === impl Bases ===

impl Bases {
    /// For queries that find so many chunks to be completed, of at most `longest` values.
    pub(super) fn new(n_predicted: usize, longest: usize) -> Self {
        // Each has another one beside it.
        let n_slots = match n_predicted {
            0 => 0,
            n => n.saturating_mul(2).min(SLOTS).next_power_of_two(),
        };
        let slots = (0..n_slots).map(|_| Slot::default()).collect();
        Self { slots, longest: longest.min(MAX_LEN) }
    }

    /// What it takes at most.
    pub(super) fn size_bytes(&self) -> usize {
        self.slots.len() * (size_of::<Slot>() + self.longest * size_of::<f64>())
    }

    /// Turns differences of the chunk `at` into values.
    pub(super) fn complete(
        &self,
        at: At<'_>,
        grid: &Grid<'_>,
        (base, window): (Base, Range<usize>),
        values: &mut [f64],
    ) -> Result<(), ChunkError> {
        self.add(at, grid, (base, window), MAX_DEPTH, values)
    }

    fn add(
        &self,
        at: At<'_>,
        grid: &Grid<'_>,
        (base, window): (Base, Range<usize>),
        depth: usize,
        values: &mut [f64],
    ) -> Result<(), ChunkError> {
        let missing = ChunkError::Malformed("a row to predict from that the page does not have");
        let row = at.row.checked_sub(base.rows_up).ok_or_else(|| missing.clone())?;
        let (chunk, off) = at.page.on_grid(row, at.grid, grid)?.ok_or(missing)?;
        let below = At { row, chunk, ..at };
        let slot = self.slot(below);
        if let Some(slot) = slot {
            let kept = slot.lock();
            if (kept.page, kept.chunk) == (at.number_of_page, chunk) && kept.window == window {
                base.add(&kept.values, values)?;
                drop(kept);
                self.keep(at, window, values);
                return Ok(());
            }
        }
        let mut under = Vec::with_capacity(window.len());
        self.decode(below, &off, grid, window.clone(), depth, &mut under)?;
        base.add(&under, values)?;
        if slot.is_some() {
            self.keep(below, window.clone(), &under);
            self.keep(at, window, values);
        }
        Ok(())
    }

    fn decode(
        &self,
        at: At<'_>,
        off: &OffGrid<'_>,
        grid: &Grid<'_>,
        window: Range<usize>,
        depth: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        let mut complete = |base, window, values: &mut [f64]| {
            let depth = depth.checked_sub(1);
            let depth = depth.ok_or(ChunkError::Malformed("too many rows to predict from"))?;
            self.add(at, grid, (base, window), depth, values)
        };
        off.values(grid, window, &mut complete, out)
    }

    fn slot(&self, at: At<'_>) -> Option<&Slot> {
        self.slots.get((at.chunk as usize).checked_rem(self.slots.len())?)
    }

    fn keep(&self, at: At<'_>, window: Range<usize>, values: &[f64]) {
        if values.len() > self.longest {
            return;
        }
        if let Some(slot) = self.slot(at) {
            let mut kept = slot.lock();
            kept.values.clear();
            kept.values.extend_from_slice(values);
            (kept.page, kept.chunk, kept.window) = (at.number_of_page, at.chunk, window);
        }
    }
}

#[cfg(test)]
mod tests;
