//! Packs: consecutive lines of a block encoded together, and the index that says where each lies.
//!
//! They lie behind the row groups, which have no column of lines then. A pack holds about a megabyte
//! of lines; it ends early at the end of a stream if it is not much shorter.
//!
//! ```text
//! index := version:u8 = 1  pack*           pack := uvarint(n_rows)  uvarint(len)  zigzag(min_ns)  uvarint(max_ns − min_ns)
//! ```
//!
//! Packs stand in row order, one behind the other: `docs/formats/lines.md` has their bytes.

use std::ops::Range;
use std::sync::Arc;

use parquet::errors::ParquetError;
use skald_codec::bits::{unzigzag, zigzag};
use skald_codec::lines::{LinesEncoder, TARGET_BYTES};
use skald_model::labels::{put_uvarint, take_uvarint};
use skald_model::{LogEntry, TimeRange};

use super::grams::GramsWriter;
use super::whole::PackBytes;
use crate::Error;
use crate::chunks::bad;

const VERSION: u8 = 1;
/// A pack of so many bytes ends with its stream.
pub(super) const ENOUGH_BYTES: usize = TARGET_BYTES / 4;
/// Most lines of a pack: a batch or two.
const MAX_ROWS: usize = 16 << 10;
const LEVEL: i32 = 1;

/// Where a pack lies and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pack {
    pub(super) rows: Range<usize>,
    /// Bytes of the object.
    pub(super) at: Range<u64>,
    pub(super) min_ns: i64,
    /// Inclusive.
    pub(super) max_ns: i64,
}

/// Collects lines in row order, and their grams.
#[derive(Debug)]
pub(super) struct PacksWriter {
    encoder: LinesEncoder,
    text: Vec<u8>,
    ends: Vec<u32>,
    times: Vec<i64>,
    /// Each on its own: one buffer of all would be moved again and again as it grows.
    packs: Vec<Vec<u8>>,
    packs_len: usize,
    scratch: Vec<u8>,
    index: Vec<u8>,
    grams: GramsWriter,
}

/// What a [`PacksWriter`] wrote.
#[derive(Debug)]
pub(super) struct Packs {
    pub(super) packs: Vec<Vec<u8>>,
    pub(super) index: Vec<u8>,
    /// Filters, a run of rows for each pack.
    pub(super) grams: Vec<u8>,
}

// === impl Pack ===

impl Pack {
    pub(super) fn meets(&self, range: TimeRange) -> bool {
        // `ALL` leaves out the very last nanosecond; compaction must not.
        range == TimeRange::ALL || range.overlaps(self.min_ns, self.max_ns)
    }
}

// === impl PacksWriter ===

impl Default for PacksWriter {
    fn default() -> Self {
        Self {
            encoder: LinesEncoder::new(LEVEL),
            text: Vec::new(),
            ends: Vec::new(),
            times: Vec::new(),
            packs: Vec::new(),
            packs_len: 0,
            scratch: Vec::new(),
            index: vec![VERSION],
            grams: GramsWriter::default(),
        }
    }
}

impl PacksWriter {
    /// Takes over a pack with the times of its lines, as another block has it.
    pub(super) fn copy(&mut self, entries: &[LogEntry], pack: &PackBytes) -> Result<(), Error> {
        self.seal()?;
        self.times.extend(entries.iter().map(|e| e.timestamp_ns));
        self.grams.append(&pack.grams);
        self.add(pack.lines.to_vec());
        self.times.clear();
        Ok(())
    }

    /// Adds lines of a stream, which may go on.
    pub(super) fn encode(&mut self, entries: &[LogEntry]) -> Result<(), Error> {
        for entry in entries {
            let full = self.text.len() + entry.line.len() > TARGET_BYTES;
            if full || self.ends.len() == MAX_ROWS {
                self.seal()?;
            }
            self.text.extend_from_slice(&entry.line);
            self.ends.push(u32::try_from(self.text.len()).map_err(internal)?);
            self.times.push(entry.timestamp_ns);
            self.grams.push(&entry.line);
        }
        Ok(())
    }

    /// Says that the next lines are of another stream.
    pub(super) fn end_stream(&mut self) -> Result<(), Error> {
        if self.text.len() >= ENOUGH_BYTES { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), Error> {
        if self.times.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        let encoded = self.encoder.encode(&self.text, &self.ends, &self.times, &mut self.scratch);
        encoded.map_err(internal)?;
        self.add(self.scratch.to_vec());
        self.grams.seal();
        self.text.clear();
        self.ends.clear();
        self.times.clear();
        Ok(())
    }

    /// Adds the pack of the lines at hand.
    fn add(&mut self, pack: Vec<u8>) {
        let min = self.times.iter().copied().min().unwrap_or(0);
        let max = self.times.iter().copied().max().unwrap_or(0);
        put_uvarint(&mut self.index, self.times.len() as u64);
        put_uvarint(&mut self.index, pack.len() as u64);
        put_uvarint(&mut self.index, zigzag(min));
        put_uvarint(&mut self.index, max.wrapping_sub(min).cast_unsigned());
        self.packs_len += pack.len();
        self.packs.push(pack);
    }

    /// Bytes of memory that grow with what was added.
    pub(super) fn memory(&self) -> usize {
        let open = self.text.len() + size_of_val(self.ends.as_slice());
        let packs = self.packs_len + self.packs.len() * size_of::<Vec<u8>>();
        packs + open + size_of_val(self.times.as_slice()) + self.index.len() + self.grams.memory()
    }

    pub(super) fn finish(mut self) -> Result<Packs, Error> {
        self.seal()?;
        Ok(Packs { packs: self.packs, index: self.index, grams: self.grams.finish() })
    }
}

fn internal(e: impl ToString) -> Error {
    Error::Internal(e.to_string())
}

/// The packs of an index, which lie from `start` to `end` and cover `n_rows` rows.
pub(super) fn read(
    index: &[u8],
    bytes: Range<u64>,
    n_rows: usize,
) -> Result<Arc<[Pack]>, ParquetError> {
    let (version, mut rest) = index.split_first().ok_or_else(|| bad("no index of packs"))?;
    if *version != VERSION {
        return Err(bad("index of packs of an unknown version"));
    }
    let (mut row, mut at) = (0usize, bytes.start);
    let mut packs = Vec::new();
    while !rest.is_empty() {
        let pack = take(&mut rest, row, at).ok_or_else(|| bad("damaged index of packs"))?;
        (row, at) = (pack.rows.end, pack.at.end);
        packs.push(pack);
    }
    if row == n_rows && at == bytes.end {
        Ok(packs.into())
    } else {
        Err(bad("index of packs does not cover the lines"))
    }
}

fn take(rest: &mut &[u8], row: usize, at: u64) -> Option<Pack> {
    let n_rows = usize::try_from(take_uvarint(rest)?).ok()?;
    let len = take_uvarint(rest)?;
    let min_ns = unzigzag(take_uvarint(rest)?);
    let max_ns = min_ns.checked_add(i64::try_from(take_uvarint(rest)?).ok()?)?;
    Some(Pack { rows: row..row.checked_add(n_rows)?, at: at..at.checked_add(len)?, min_ns, max_ns })
}

#[cfg(test)]
mod tests {
    use skald_model::Labels;

    use super::*;

    fn entry(ts: i64, len: usize) -> LogEntry {
        let line = format!("{ts} {}", "x".repeat(len)).into_bytes().into();
        LogEntry { timestamp_ns: ts, line, metadata: Labels::empty() }
    }

    #[test]
    fn packs_end_when_full_and_with_long_streams() {
        let mut writer = PacksWriter::default();
        let long: Vec<LogEntry> = (0..700).map(|i| entry(i, 2000)).collect();
        let short: Vec<LogEntry> = (5..9).map(|i| entry(-i, 10)).rev().collect();
        for entries in [&long[..], &short, &short] {
            writer.encode(entries).unwrap();
            writer.end_stream().unwrap();
        }
        let Packs { packs, index, .. } = writer.finish().unwrap();
        let end = 100 + packs.concat().len() as u64;
        let read_back = read(&index, 100..end, 708).unwrap();
        let rows: Vec<_> = read_back.iter().map(|p| p.rows.clone()).collect();
        assert_eq!(rows, [0..523, 523..700, 700..708]);
        assert_eq!((read_back[2].min_ns, read_back[2].max_ns), (-8, -5));
        assert_eq!(read_back[2].at.end, end);
        assert!(read(&index, 100..end, 709).is_err() && read(&index, 100..end + 1, 708).is_err());
        for len in 0..index.len() {
            assert!(read(&index[..len], 100..end, 708).is_err(), "{len}");
        }
        assert!(read(&[2], 0..0, 0).is_err());
    }
}
