//! Sample chunks: a run of one series' samples in self-contained, versioned bytes.
//!
//! Ingesters seal them, blocks store them, readers decode them once per query. Encoding is lossless
//! bit for bit: NaN payloads (stale markers), −0 and infinities survive.
//!
//! ```text
//! chunk  := kind:u8  uvarint(count)  [count > 0:  zigzag(min_ts)  uvarint(max_ts − min_ts)  timestamps  body ]
//! kind   := 0x01 floats, version 1 | 0x41 histograms, version 1
//! body   := values (floats) | uvarint(raw length) zstd frame of { uvarint(len) histogram }* (histograms)
//! ```
//!
//! Invariants: timestamps are strictly ascending; decoding never panics and never allocates for more
//! than [`MAX_SAMPLES`]. Byte by byte: `docs/formats/chunk.md`.

mod blocks;
mod decimal;
mod histogram;
mod time;
mod values;
mod xor;

use std::ops::RangeInclusive;

use skald_model::TimeRange;
use skald_model::labels::{put_uvarint, take_uvarint};

use crate::bits;

use self::blocks::Scratch;
pub use self::histogram::{decode_histograms, encode_histograms};

/// Most samples in one chunk: a decoder refuses more. Writers seal far earlier (120 to 1024).
pub const MAX_SAMPLES: usize = 1 << 20;

const FLOATS_V1: u8 = 0x01;
const HISTOGRAMS_V1: u8 = 0x41;

/// Bytes that are not a chunk of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk ends too early")]
    Truncated,
    #[error("chunk kind {0:#04x} is not known here")]
    Kind(u8),
    #[error("chunk claims {0} samples, at most 1048576 are allowed")]
    TooMany(u64),
    #[error("chunk is malformed: {0}")]
    Malformed(&'static str),
}

/// What samples a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkKind {
    Floats,
    Histograms,
}

/// The head of a chunk, readable without decoding samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    pub kind: ChunkKind,
    pub count: usize,
    /// First timestamp; 0 in an empty chunk.
    pub min_ts: i64,
    /// Last timestamp; 0 in an empty chunk.
    pub max_ts: i64,
}

impl From<bits::Truncated> for ChunkError {
    fn from(_: bits::Truncated) -> Self {
        Self::Truncated
    }
}

// === impl ChunkHeader ===

impl ChunkHeader {
    fn new(kind: ChunkKind, ts: &[i64]) -> Self {
        Self {
            kind,
            count: ts.len(),
            min_ts: ts.first().copied().unwrap_or(0),
            max_ts: ts.last().copied().unwrap_or(0),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            ChunkKind::Floats => FLOATS_V1,
            ChunkKind::Histograms => HISTOGRAMS_V1,
        });
        put_uvarint(out, self.count as u64);
        if self.count > 0 {
            put_uvarint(out, bits::zigzag(self.min_ts));
            put_uvarint(out, self.max_ts.wrapping_sub(self.min_ts).cast_unsigned());
        }
    }

    fn take(rest: &mut &[u8]) -> Result<Self, ChunkError> {
        let (&kind, tail) = rest.split_first().ok_or(ChunkError::Truncated)?;
        *rest = tail;
        let kind = match kind {
            FLOATS_V1 => ChunkKind::Floats,
            HISTOGRAMS_V1 => ChunkKind::Histograms,
            other => return Err(ChunkError::Kind(other)),
        };
        let count = take_uvarint(rest).ok_or(ChunkError::Truncated)?;
        let count = match usize::try_from(count) {
            Ok(n) if n <= MAX_SAMPLES => n,
            _ => return Err(ChunkError::TooMany(count)),
        };
        if count == 0 {
            return Ok(Self { kind, count, min_ts: 0, max_ts: 0 });
        }
        let min_ts = bits::unzigzag(take_uvarint(rest).ok_or(ChunkError::Truncated)?);
        let span = take_uvarint(rest).ok_or(ChunkError::Truncated)?;
        let max_ts = min_ts
            .checked_add_unsigned(span)
            .ok_or(ChunkError::Malformed("time range leaves 64 bits"))?;
        Ok(Self { kind, count, min_ts, max_ts })
    }
}

/// Reads count and time range of a chunk of either kind.
pub fn peek(bytes: &[u8]) -> Result<ChunkHeader, ChunkError> {
    ChunkHeader::take(&mut &*bytes)
}

/// Appends one chunk with the samples `ts[i], vals[i]`.
///
/// `ts` must be strictly ascending, as long as `vals`, and of at most [`MAX_SAMPLES`] entries:
/// other input is a bug of the caller and makes a chunk that decoding refuses.
pub fn encode_floats(ts: &[i64], vals: &[f64], out: &mut Vec<u8>) {
    debug_assert_eq!(ts.len(), vals.len());
    debug_assert!(ts.len() <= MAX_SAMPLES && ts.is_sorted_by(|a, b| a < b));
    let n = ts.len().min(vals.len());
    ChunkHeader::new(ChunkKind::Floats, &ts[..n]).put(out);
    if n > 0 {
        time::encode(&ts[..n], out);
        values::encode(&vals[..n], out);
    }
}

/// Decodes a float chunk, appending to `ts` and `vals`; on an error both are left as they were.
pub fn decode_floats(
    bytes: &[u8],
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    decode_within(bytes, &(i64::MIN..=i64::MAX), ts, vals)
}

/// As [`decode_floats`], of the samples in `range` only; much of what lies outside is passed over.
///
/// What is passed over is not checked.
pub fn decode_floats_range(
    bytes: &[u8],
    range: TimeRange,
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    if range.is_empty() {
        return peek(bytes).map(|_| ());
    }
    decode_within(bytes, &(range.start..=range.end - 1), ts, vals)
}

fn decode_within(
    bytes: &[u8],
    wanted: &RangeInclusive<i64>,
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let (n_ts, n_vals) = (ts.len(), vals.len());
    let result = append_floats(bytes, wanted, ts, vals);
    if result.is_err() {
        ts.truncate(n_ts);
        vals.truncate(n_vals);
    }
    result
}

fn append_floats(
    bytes: &[u8],
    wanted: &RangeInclusive<i64>,
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let mut rest = bytes;
    let header = ChunkHeader::take(&mut rest)?;
    if header.kind != ChunkKind::Floats {
        return Err(ChunkError::Kind(bytes[0]));
    }
    if header.count == 0 {
        return finished(rest);
    }
    if *wanted.end() < header.min_ts || header.max_ts < *wanted.start() {
        return Ok(());
    }
    let mut scratch = Scratch::new();
    let window = time::decode(&header, &mut rest, wanted, &mut scratch, ts)?;
    let all = window == (0..header.count);
    if !window.is_empty() {
        values::decode(header.count, window, &mut rest, &mut scratch, vals)?;
    }
    if all { finished(rest) } else { Ok(()) }
}

fn finished(rest: &[u8]) -> Result<(), ChunkError> {
    if rest.is_empty() { Ok(()) } else { Err(ChunkError::Malformed("bytes after the chunk")) }
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, ChunkError> {
    take_uvarint(rest).ok_or(ChunkError::Truncated)
}

fn take_bytes<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], ChunkError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(ChunkError::Truncated)?;
    *rest = tail;
    Ok(head)
}

fn take_u8(rest: &mut &[u8]) -> Result<u8, ChunkError> {
    take_bytes(rest, 1).map(|b| b[0])
}

fn take_f64(rest: &mut &[u8]) -> Result<f64, ChunkError> {
    let bytes = take_bytes(rest, 8)?.try_into().map_err(|_| ChunkError::Truncated)?;
    Ok(f64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
