//! Chunks without timestamps: series of one scrape target have the same ones, which are kept once, as a grid.
//!
//! Metric blocks keep chunks so (`docs/formats/metric-block.md`); everywhere else chunks are self-contained.
//! Taking one apart and putting it together again gives the same bytes and decodes no sample.
//!
//! ```text
//! grid    := uvarint(count) zigzag(min_ts − base) uvarint(max_ts − min_ts) uvarint(len) timestamps
//! on grid := kind:u8 uvarint(number of the grid) [starts | base] body
//! kind    := 0x03 floats | 0x04 floats with starts | 0x43 histograms | 0x44 histograms with starts
//!          | 0x05 floats that are predicted from those of another row: see `base`
//! ```

mod base;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};

use skald_model::labels::put_uvarint;
use skald_model::{Series, TimeRange};

pub use self::base::{Base, ONE};
use super::blocks::{Packings, Scratch};
use super::{
    ChunkError, ChunkHeader, ChunkKind, MAX_SAMPLES, finished, histogram, starts, take_bytes,
    take_u8, take_varint, time, values,
};
use crate::bits::{unzigzag, zigzag};

const FLOATS: u8 = 0x03;
const STARTED_FLOATS: u8 = 0x04;
const PREDICTED_FLOATS: u8 = 0x05;
const HISTOGRAMS: u8 = 0x43;
const STARTED_HISTOGRAMS: u8 = 0x44;

/// Bytes of the smallest grid.
pub const MIN_GRID: usize = 5;

/// The timestamps of a chunk, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid<'a> {
    /// At least 1, at most [`MAX_SAMPLES`].
    pub count: usize,
    pub min_ts: i64,
    pub max_ts: i64,
    timestamps: &'a [u8],
}

/// Those timestamps of a grid that lie in some range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Position in the grid of the first.
    first: usize,
    timestamps: Vec<i64>,
}

/// What of a chunk is not timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffGrid<'a> {
    pub kind: ChunkKind,
    has_starts: bool,
    /// Length included; empty when there are none.
    starts: &'a [u8],
    /// What the body has the differences to.
    base: Option<Base>,
    body: &'a [u8],
}

/// Turns the differences of a window of the grid into values, given what they are differences to.
pub type Complete<'a> = &'a mut dyn FnMut(Base, Range<usize>, &mut [f64]) -> Result<(), ChunkError>;

/// Takes a self-contained chunk apart; `None` when it has no samples.
pub fn split(chunk: &[u8]) -> Result<Option<(Grid<'_>, OffGrid<'_>)>, ChunkError> {
    let mut rest = chunk;
    let header = ChunkHeader::take(&mut rest)?;
    if header.count == 0 {
        return Ok(None);
    }
    let starts = take_starts(header.has_starts, &mut rest)?;
    let before = rest;
    time::skip(header.count, &mut rest)?;
    let timestamps = &before[..before.len() - rest.len()];
    let ChunkHeader { kind, has_starts, count, min_ts, max_ts } = header;
    let grid = Grid { count, min_ts, max_ts, timestamps };
    Ok(Some((grid, OffGrid { kind, has_starts, starts, base: None, body: rest })))
}

/// Appends floats on the grid with this number as their `differences` to what `base` predicts.
pub fn put_predicted(number: u32, base: Base, differences: &[f64], out: &mut Vec<u8>) {
    out.push(PREDICTED_FLOATS);
    put_uvarint(out, u64::from(number));
    base.put(out);
    if !differences.is_empty() {
        values::encode(differences, Packings::Dense, out);
    }
}

/// The start timestamps in front of `rest`, with their length.
fn take_starts<'a>(has_starts: bool, rest: &mut &'a [u8]) -> Result<&'a [u8], ChunkError> {
    if !has_starts {
        return Ok(&[]);
    }
    let before = *rest;
    let len = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
    take_bytes(rest, len)?;
    Ok(&before[..before.len() - rest.len()])
}

fn within(range: TimeRange) -> RangeInclusive<i64> {
    range.start..=range.end.saturating_sub(1)
}

// === impl Grid ===

impl<'a> Grid<'a> {
    /// Appends it, its first time as the distance from `base`.
    pub fn put(&self, base: i64, out: &mut Vec<u8>) {
        put_uvarint(out, self.count as u64);
        put_uvarint(out, zigzag(self.min_ts.wrapping_sub(base)));
        put_uvarint(out, self.max_ts.wrapping_sub(self.min_ts).cast_unsigned());
        put_uvarint(out, self.timestamps.len() as u64);
        out.extend_from_slice(self.timestamps);
    }

    /// Takes what [`put`](Self::put) wrote; its timestamps are checked when they are decoded.
    pub fn take(base: i64, rest: &mut &'a [u8]) -> Result<Self, ChunkError> {
        let count = take_varint(rest)?;
        let count = match usize::try_from(count) {
            Ok(n) if (1..=MAX_SAMPLES).contains(&n) => n,
            _ => return Err(ChunkError::TooMany(count)),
        };
        let min_ts = base.wrapping_add(unzigzag(take_varint(rest)?));
        let span = take_varint(rest)?;
        let max_ts = min_ts.checked_add_unsigned(span);
        let max_ts = max_ts.ok_or(ChunkError::Malformed("time range leaves 64 bits"))?;
        let len = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
        Ok(Self { count, min_ts, max_ts, timestamps: take_bytes(rest, len)? })
    }

    /// Bytes of the encoded timestamps.
    pub fn timestamps_len(&self) -> usize {
        self.timestamps.len()
    }

    /// Decodes those that lie in `range`; much of what lies outside is passed over.
    pub fn times(&self, range: TimeRange) -> Result<Times, ChunkError> {
        let mut times = Times::default();
        if range.overlaps(self.min_ts, self.max_ts) {
            let mut scratch = Scratch::new();
            times.first = self.append(within(range), &mut scratch, &mut times.timestamps)?.start;
        }
        Ok(times)
    }

    fn append(
        &self,
        wanted: RangeInclusive<i64>,
        scratch: &mut Scratch,
        out: &mut Vec<i64>,
    ) -> Result<Range<usize>, ChunkError> {
        let Self { count, min_ts, max_ts, timestamps } = *self;
        let header =
            ChunkHeader { kind: ChunkKind::Floats, count, min_ts, max_ts, has_starts: false };
        let before = out.len();
        let mut rest = timestamps;
        let mut found = time::decode(&header, &mut rest, &wanted, scratch, out);
        if found.as_ref().is_ok_and(|window| window.len() == count) {
            found = finished(rest).and(found);
        }
        if found.is_err() {
            out.truncate(before);
        }
        found
    }
}

// === impl Times ===

impl Times {
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends those in `range`, and answers which of the grid they are.
    fn append(&self, range: TimeRange, out: &mut Vec<i64>) -> Range<usize> {
        let all = &self.timestamps;
        let inside = |t: Option<&i64>| t.is_none_or(|t| range.contains(*t));
        let (from, to) = if inside(all.first()) && inside(all.last()) {
            (0, all.len())
        } else {
            let from = all.partition_point(|t| *t < range.start);
            (from, all.partition_point(|t| *t < range.end).max(from))
        };
        out.extend_from_slice(all.get(from..to).unwrap_or_default());
        self.first + from..self.first + to
    }
}

// === impl OffGrid ===

impl<'a> OffGrid<'a> {
    /// Appends it as a chunk on the grid with this number. Not for one that is predicted.
    pub fn put(&self, grid: u32, out: &mut Vec<u8>) {
        out.push(match (self.kind, self.has_starts) {
            (ChunkKind::Floats, false) => FLOATS,
            (ChunkKind::Floats, true) => STARTED_FLOATS,
            (ChunkKind::Histograms, false) => HISTOGRAMS,
            (ChunkKind::Histograms, true) => STARTED_HISTOGRAMS,
        });
        put_uvarint(out, u64::from(grid));
        out.extend_from_slice(self.starts);
        out.extend_from_slice(self.body);
    }

    /// As [`put`](Self::put), but in a form that is smaller, takes longer to make, and is read by
    /// no build that does not know blocks of version 3.
    pub fn put_dense(
        &self,
        grid: &Grid<'_>,
        number: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        if self.kind == ChunkKind::Floats && values::may_be_denser(self.body) {
            let (mut all, mut body) = (Vec::new(), Vec::new());
            let window = 0..grid.count;
            values::decode(grid.count, window, &mut &*self.body, &mut Scratch::new(), &mut all)?;
            if values::encode_dense(self.body, &all, &mut body) {
                OffGrid { body: &body, ..*self }.put(number, out);
                return Ok(());
            }
        }
        self.put(number, out);
        Ok(())
    }

    /// Takes what [`put`](Self::put) wrote and the number of its grid; `None` when `chunk` is no chunk on a grid.
    pub fn take(chunk: &'a [u8]) -> Result<Option<(u32, Self)>, ChunkError> {
        let mut rest = chunk;
        let byte = take_u8(&mut rest)?;
        let (kind, has_starts) = match byte {
            FLOATS | PREDICTED_FLOATS => (ChunkKind::Floats, false),
            STARTED_FLOATS => (ChunkKind::Floats, true),
            HISTOGRAMS => (ChunkKind::Histograms, false),
            STARTED_HISTOGRAMS => (ChunkKind::Histograms, true),
            _ => return Ok(None),
        };
        let number = u32::try_from(take_varint(&mut rest)?);
        let number = number.map_err(|_| ChunkError::Malformed("number of the grid"))?;
        let starts = take_starts(has_starts, &mut rest)?;
        let base = if byte == PREDICTED_FLOATS { Some(Base::take(&mut rest)?) } else { None };
        Ok(Some((number, Self { kind, has_starts, starts, base, body: rest })))
    }

    /// Bytes of its values.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// What its values are predicted from.
    pub fn base(&self) -> Option<Base> {
        self.base
    }

    /// What the head of the chunk with these timestamps says.
    pub fn header(&self, grid: &Grid<'_>) -> ChunkHeader {
        let Grid { count, min_ts, max_ts, .. } = *grid;
        ChunkHeader { kind: self.kind, count, min_ts, max_ts, has_starts: self.has_starts }
    }

    /// Appends a self-contained chunk: the one that [`split`] took apart, or one with the values that `complete` makes.
    pub fn join(
        &self,
        grid: &Grid<'_>,
        complete: Complete<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        let values = match self.base {
            None => None,
            Some(_) => {
                let mut values = Vec::new();
                self.values(grid, 0..grid.count, complete, &mut values)?;
                Some(values)
            }
        };
        self.header(grid).put(out);
        out.extend_from_slice(self.starts);
        out.extend_from_slice(grid.timestamps);
        match values {
            None => out.extend_from_slice(self.body),
            Some(values) => values::encode(&values, Packings::Plain, out),
        }
        Ok(())
    }

    /// Appends the floats of a window of the grid, which lies in it; on an error also some.
    pub fn values(
        &self,
        grid: &Grid<'_>,
        window: Range<usize>,
        complete: Complete<'_>,
        out: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        if self.kind != ChunkKind::Floats {
            return Err(ChunkError::Malformed("histograms where floats are wanted"));
        }
        self.append(grid, window, &mut Scratch::new(), complete, out)
    }

    fn append(
        &self,
        grid: &Grid<'_>,
        window: Range<usize>,
        scratch: &mut Scratch,
        complete: Complete<'_>,
        out: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        let from = out.len();
        let mut rest = self.body;
        values::decode(grid.count, window.clone(), &mut rest, scratch, out)?;
        if window.len() == grid.count {
            finished(rest)?;
        }
        match self.base {
            Some(base) => complete(base, window, out.get_mut(from..).unwrap_or_default()),
            None => Ok(()),
        }
    }

    /// As [`super::decode_into`]; `times` are those of its grid in a range that has all of `range`, when they are
    /// decoded already. `complete` is called when the chunk is predicted.
    pub fn decode_into(
        &self,
        grid: &Grid<'_>,
        times: Option<&Times>,
        range: TimeRange,
        complete: Complete<'_>,
        into: &mut Series,
    ) -> Result<(), ChunkError> {
        if !range.overlaps(grid.min_ts, grid.max_ts) {
            return Ok(());
        }
        let before = (into.timestamps.len(), into.values.len());
        let decoded = match self.kind {
            ChunkKind::Floats => self.floats(grid, times, range, complete, into),
            ChunkKind::Histograms => self.histograms(grid, times, range, into),
        };
        if decoded.is_err() {
            into.timestamps.truncate(before.0);
            into.values.truncate(before.1);
        }
        decoded?;
        into.pad_starts();
        Ok(())
    }

    fn floats(
        &self,
        grid: &Grid<'_>,
        times: Option<&Times>,
        range: TimeRange,
        complete: Complete<'_>,
        into: &mut Series,
    ) -> Result<(), ChunkError> {
        let Series { timestamps, values: vals, starts: known, .. } = into;
        let from = timestamps.len();
        let mut scratch = Scratch::new();
        let window = match times {
            Some(times) => times.append(range, timestamps),
            None => grid.append(within(range), &mut scratch, timestamps)?,
        };
        if window.is_empty() {
            return Ok(());
        }
        self.append(grid, window.clone(), &mut scratch, complete, vals)?;
        if self.has_starts {
            known.resize(from, 0);
            let times = timestamps.get(from..).unwrap_or_default();
            starts::decode(self.starts()?, &self.header(grid), window, times, known)?;
        }
        Ok(())
    }

    fn histograms(
        &self,
        grid: &Grid<'_>,
        times: Option<&Times>,
        range: TimeRange,
        into: &mut Series,
    ) -> Result<(), ChunkError> {
        let mut all = Vec::with_capacity(grid.count.min(4096));
        match times.filter(|times| times.len() == grid.count) {
            Some(times) => all.extend_from_slice(&times.timestamps),
            None => {
                grid.append(i64::MIN..=i64::MAX, &mut Scratch::new(), &mut all)?;
            }
        }
        let starts = if self.has_starts { self.starts()? } else { &[] };
        histogram::decode_body(self.body, &self.header(grid), &all, starts, range, into)
    }

    /// Without their length.
    fn starts(&self) -> Result<&'a [u8], ChunkError> {
        let mut rest = self.starts;
        take_varint(&mut rest)?;
        Ok(rest)
    }
}
