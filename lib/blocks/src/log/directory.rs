//! The stream directory of a log block: which rows belong to which stream.
//!
//! It lies between the last row group and the page index; the footer says where
//! (`skald.streams.offset`, `skald.streams.length`).
//!
//! ```text
//! directory := frame*
//! frame     := raw_len:u32  len:u32  crc32c(zstd):u32  zstd(entry*)           little endian
//! entry     := uvarint(len) labels  uvarint(n_rows)  zigzag(min_ns)  uvarint(max_ns − min_ns)  uvarint(line bytes)
//! ```
//!
//! Entries stand in row order, so the first row of a stream is the sum of the counts before it.

use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_codec::bits::{unzigzag, zigzag};
use skald_model::Labels;
use skald_model::labels::{put_uvarint, take_uvarint};

use crate::chunks::bad;

const FRAME_BYTES: usize = 256 << 10;
/// One label set is far smaller than this.
const MAX_FRAME: usize = 64 << 20;
const LEVEL: i32 = 3;
const HEAD: usize = 12;

/// One stream of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) labels: Labels,
    pub(super) rows: Range<usize>,
    pub(super) min_ns: i64,
    /// Inclusive.
    pub(super) max_ns: i64,
    /// Lengths of all lines.
    pub(super) bytes: u64,
}

/// Collects entries into frames.
#[derive(Debug, Default)]
pub(super) struct DirectoryWriter {
    raw: Vec<u8>,
    out: Vec<u8>,
}

// === impl DirectoryWriter ===

impl DirectoryWriter {
    pub(super) fn push(&mut self, stream: &Stream) -> Result<(), ParquetError> {
        let raw = &mut self.raw;
        put_uvarint(raw, stream.labels.as_bytes().len() as u64);
        raw.extend_from_slice(stream.labels.as_bytes());
        put_uvarint(raw, stream.rows.len() as u64);
        put_uvarint(raw, zigzag(stream.min_ns));
        put_uvarint(raw, stream.max_ns.wrapping_sub(stream.min_ns).cast_unsigned());
        put_uvarint(raw, stream.bytes);
        if raw.len() >= FRAME_BYTES { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), ParquetError> {
        let frame = zstd::bulk::compress(&self.raw, LEVEL).map_err(bad)?;
        let head =
            [u32::try_from(self.raw.len()).map_err(bad)?, u32::try_from(frame.len()).map_err(bad)?];
        for number in [head[0], head[1], crc32c::crc32c(&frame)] {
            self.out.extend_from_slice(&number.to_le_bytes());
        }
        self.out.extend_from_slice(&frame);
        self.raw.clear();
        Ok(())
    }

    /// Bytes of memory that grow with what was added.
    pub(super) fn memory(&self) -> usize {
        self.raw.len() + self.out.len()
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        if !self.raw.is_empty() {
            self.seal()?;
        }
        Ok(self.out)
    }
}

/// Hands every stream to `each`, in row order; memory is bounded by one frame.
pub(super) fn read(directory: &[u8], mut each: impl FnMut(Stream)) -> Result<(), ParquetError> {
    let mut rest = directory;
    let mut row = 0usize;
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<HEAD>().ok_or_else(early)?;
        let number =
            |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let (raw_len, len) = (number(0) as usize, number(4) as usize);
        let (frame, tail) = tail.split_at_checked(len).ok_or_else(early)?;
        rest = tail;
        if raw_len > MAX_FRAME || crc32c::crc32c(frame) != number(8) {
            return Err(bad("stream directory fails its checksum"));
        }
        let raw = Bytes::from(zstd::bulk::decompress(frame, raw_len).map_err(bad)?);
        let mut entries: &[u8] = &raw;
        while !entries.is_empty() {
            let stream = take(&raw, &mut entries, row)?;
            row = stream.rows.end;
            each(stream);
        }
    }
    Ok(())
}

fn take(frame: &Bytes, rest: &mut &[u8], row: usize) -> Result<Stream, ParquetError> {
    let len = take_size(rest)?;
    let (labels, tail) = rest.split_at_checked(len).ok_or_else(early)?;
    *rest = tail;
    let labels = Labels::from_bytes(frame.slice_ref(labels)).map_err(bad)?;
    let end = row.checked_add(take_size(rest)?).ok_or_else(early)?;
    let min_ns = unzigzag(take_uvarint(rest).ok_or_else(early)?);
    let span = take_uvarint(rest).ok_or_else(early)?;
    let bytes = take_uvarint(rest).ok_or_else(early)?;
    let max_ns = min_ns.checked_add_unsigned(span).ok_or_else(early)?;
    Ok(Stream { labels, rows: row..end, min_ns, max_ns, bytes })
}

fn take_size(rest: &mut &[u8]) -> Result<usize, ParquetError> {
    take_uvarint(rest).and_then(|n| usize::try_from(n).ok()).ok_or_else(early)
}

fn early() -> ParquetError {
    bad("stream directory ends too early")
}
