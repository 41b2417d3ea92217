//! Sample chunks: a run of one series' samples in self-contained, versioned bytes.
//!
//! Ingesters seal them, blocks store them, readers decode them once per query. Encoding is lossless
//! bit for bit: NaN payloads (stale markers), −0 and infinities survive.
//!
//! ```text
//! chunk  := kind:u8  uvarint(count)
//!           [count > 0:  zigzag(min_ts)  uvarint(max_ts − min_ts)  [starts]  timestamps  body ]
//! kind   := 0x01 floats | 0x41 histograms | 0x02 floats with starts | 0x42 histograms with starts
//! starts := uvarint(len)  len bytes: start timestamps
//! body   := values (floats) | uvarint(raw length) zstd frame of { uvarint(len) histogram }* (histograms)
//! ```
//!
//! Invariants: timestamps are strictly ascending; decoding never panics and never allocates for more
//! than [`MAX_SAMPLES`]. Byte by byte: `docs/formats/chunk.md`.

mod blocks;
mod decimal;
pub mod grid;
mod histogram;
mod starts;
mod time;
mod values;
mod xor;

use std::ops::{Range, RangeInclusive};

use skald_model::labels::{put_uvarint, take_uvarint};
use skald_model::{Series, TimeRange};

use crate::bits;

use self::blocks::{Packings, Scratch};
pub use self::histogram::{decode_histograms, encode_histograms, encode_started_histograms};

/// Most samples in one chunk: a decoder refuses more. Writers seal far earlier (120 to 1024).
pub const MAX_SAMPLES: usize = 1 << 20;

const FLOATS_V1: u8 = 0x01;
const HISTOGRAMS_V1: u8 = 0x41;
const STARTED_FLOATS: u8 = 0x02;
const STARTED_HISTOGRAMS: u8 = 0x42;

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
    /// Whether start timestamps follow.
    pub has_starts: bool,
}

impl From<bits::Truncated> for ChunkError {
    fn from(_: bits::Truncated) -> Self {
        Self::Truncated
    }
}

// === impl ChunkHeader ===

impl ChunkHeader {
    fn new(kind: ChunkKind, ts: &[i64], starts: &[i64]) -> Self {
        Self {
            kind,
            has_starts: !ts.is_empty() && starts.iter().any(|start| *start != 0),
            count: ts.len(),
            min_ts: ts.first().copied().unwrap_or(0),
            max_ts: ts.last().copied().unwrap_or(0),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(match (self.kind, self.has_starts) {
            (ChunkKind::Floats, false) => FLOATS_V1,
            (ChunkKind::Floats, true) => STARTED_FLOATS,
            (ChunkKind::Histograms, false) => HISTOGRAMS_V1,
            (ChunkKind::Histograms, true) => STARTED_HISTOGRAMS,
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
        let (kind, has_starts) = match kind {
            FLOATS_V1 => (ChunkKind::Floats, false),
            STARTED_FLOATS => (ChunkKind::Floats, true),
            HISTOGRAMS_V1 => (ChunkKind::Histograms, false),
            STARTED_HISTOGRAMS => (ChunkKind::Histograms, true),
            other => return Err(ChunkError::Kind(other)),
        };
        let count = take_uvarint(rest).ok_or(ChunkError::Truncated)?;
        let count = match usize::try_from(count) {
            Ok(n) if n <= MAX_SAMPLES => n,
            _ => return Err(ChunkError::TooMany(count)),
        };
        if count == 0 {
            return Ok(Self { kind, count, min_ts: 0, max_ts: 0, has_starts: false });
        }
        let min_ts = bits::unzigzag(take_uvarint(rest).ok_or(ChunkError::Truncated)?);
        let span = take_uvarint(rest).ok_or(ChunkError::Truncated)?;
        let max_ts = min_ts
            .checked_add_unsigned(span)
            .ok_or(ChunkError::Malformed("time range leaves 64 bits"))?;
        Ok(Self { kind, count, min_ts, max_ts, has_starts })
    }

    /// As [`Self::take`], with the start timestamps behind it still encoded.
    fn take_with_starts<'a>(rest: &mut &'a [u8]) -> Result<(Self, &'a [u8]), ChunkError> {
        let header = Self::take(rest)?;
        if !header.has_starts {
            return Ok((header, &[]));
        }
        let len = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
        Ok((header, take_bytes(rest, len)?))
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
    encode_started_floats(ts, vals, &[], out);
}

/// As [`encode_floats`], with start timestamps: as many as samples, 0 = unknown, or none.
pub fn encode_started_floats(ts: &[i64], vals: &[f64], starts: &[i64], out: &mut Vec<u8>) {
    debug_assert_eq!(ts.len(), vals.len());
    debug_assert!(ts.len() <= MAX_SAMPLES && ts.is_sorted_by(|a, b| a < b));
    let n = ts.len().min(vals.len());
    let header = ChunkHeader::new(ChunkKind::Floats, &ts[..n], starts);
    header.put(out);
    if n > 0 {
        if header.has_starts {
            starts::put(&ts[..n], starts, out);
        }
        time::encode(&ts[..n], out);
        values::encode(&vals[..n], Packings::Plain, out);
    }
}

/// Decodes a float chunk, appending to `ts` and `vals`; on an error both are left as they were.
pub fn decode_floats(
    bytes: &[u8],
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    decode_within(bytes, &(i64::MIN..=i64::MAX), ts, vals).map(|_| ())
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
    decode_within(bytes, &(range.start..=range.end - 1), ts, vals).map(|_| ())
}

/// Appends the samples of a chunk of either kind that lie in `range`, with their start timestamps.
///
/// Of a float chunk much of what lies outside is passed over and not checked. On an error `into` holds
/// what it held, or samples without start timestamps more.
pub fn decode_into(bytes: &[u8], range: TimeRange, into: &mut Series) -> Result<(), ChunkError> {
    let (header, starts) = ChunkHeader::take_with_starts(&mut &*bytes)?;
    if header.count == 0 || !range.overlaps(header.min_ts, header.max_ts) {
        return Ok(());
    }
    match header.kind {
        ChunkKind::Floats => {
            let from = into.timestamps.len();
            let wanted = range.start..=range.end.saturating_sub(1);
            let Series { timestamps, values, .. } = into;
            let window = decode_within(bytes, &wanted, timestamps, values)?;
            if header.has_starts && !window.is_empty() {
                into.starts.resize(from, 0);
                let times = into.timestamps.get(from..).unwrap_or_default();
                starts::decode(starts, &header, window, times, &mut into.starts)?;
            }
        }
        ChunkKind::Histograms => histogram::decode_into(bytes, &header, starts, range, into)?,
    }
    into.pad_starts();
    Ok(())
}

fn decode_within(
    bytes: &[u8],
    wanted: &RangeInclusive<i64>,
    ts: &mut Vec<i64>,
    vals: &mut Vec<f64>,
) -> Result<Range<usize>, ChunkError> {
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
) -> Result<Range<usize>, ChunkError> {
    let mut rest = bytes;
    let (header, _) = ChunkHeader::take_with_starts(&mut rest)?;
    if header.kind != ChunkKind::Floats {
        return Err(ChunkError::Kind(bytes[0]));
    }
    if header.count == 0 {
        return finished(rest).map(|()| 0..0);
    }
    if *wanted.end() < header.min_ts || header.max_ts < *wanted.start() {
        return Ok(0..0);
    }
    let mut scratch = Scratch::new();
    let window = time::decode(&header, &mut rest, wanted, &mut scratch, ts)?;
    let all = window == (0..header.count);
    if !window.is_empty() {
        values::decode(header.count, window.clone(), &mut rest, &mut scratch, vals)?;
    }
    if all {
        finished(rest)?;
    }
    Ok(window)
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
