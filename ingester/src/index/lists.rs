//! The label pairs of each series, as numbers.
//!
//! They stand one behind another in parts of some hundred series: a list of its own for each would
//! cost a pointer, a length and what the allocator rounds up to.

use super::{Ref, varint};

/// Series of a full part.
const PART: usize = 256;

/// By `Ref`, in label name order.
#[derive(Debug, Default)]
pub(super) struct PairLists {
    parts: Vec<Part>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// Where the list of each series ends.
    ends: Vec<u32>,
    /// Numbers as varints.
    numbers: Vec<u8>,
}

/// Goes through the pairs of a series.
#[derive(Clone, Debug)]
pub(super) struct PairIter<'a>(&'a [u8]);

// === impl PairLists ===

impl PairLists {
    /// Adds the list of the next series.
    pub(super) fn push(&mut self, pairs: impl Iterator<Item = u32>) {
        if self.parts.last().is_none_or(|part| part.ends.len() >= PART) {
            self.parts.push(Part { ends: Vec::with_capacity(PART), ..Part::default() });
            self.bytes += size_of::<Part>() + PART * size_of::<u32>();
        }
        let Some(part) = self.parts.last_mut() else { return };
        let before = part.numbers.capacity();
        pairs.for_each(|pair| varint::put(&mut part.numbers, pair));
        // A label set has less than 64 KiB.
        part.ends.push(u32::try_from(part.numbers.len()).unwrap_or(u32::MAX));
        if part.ends.len() == PART {
            part.numbers.shrink_to_fit();
        }
        self.bytes = (self.bytes + part.numbers.capacity()).saturating_sub(before);
    }

    #[inline]
    pub(super) fn of(&self, r: Ref) -> PairIter<'_> {
        let (at, i) = (r as usize / PART, r as usize % PART);
        let numbers = self.parts.get(at).and_then(|part| {
            let start = i.checked_sub(1).map_or(Some(0), |i| part.ends.get(i).copied())?;
            part.numbers.get(start as usize..*part.ends.get(i)? as usize)
        });
        PairIter(numbers.unwrap_or_default())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

// === impl PairIter ===

impl Iterator for PairIter<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        varint::take(&mut self.0)
    }
}
