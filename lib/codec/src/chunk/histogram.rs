//! Histogram chunks: the histograms of one series, each as the codec writes it, together in one zstd frame.

use skald_model::labels::put_uvarint;
use skald_model::{Histogram, Series, TimeRange};

use super::blocks::Scratch;
use super::{
    ChunkError, ChunkHeader, ChunkKind, MAX_SAMPLES, finished, starts, take_bytes, take_varint,
    time,
};
use crate::histogram;

/// Largest decompressed body; a writer must seal before.
pub(super) const MAX_RAW: usize = 64 << 20;
const LEVEL: i32 = 1;

/// Appends one chunk with the samples `ts[i], hs[i]`.
///
/// The same contract as [`super::encode_floats`]; moreover the histograms must take less than
/// 64 MiB. Should compression fail (it does not, short of memory) the chunk is not decodable.
pub fn encode_histograms(ts: &[i64], hs: &[Histogram], out: &mut Vec<u8>) {
    encode_started_histograms(ts, hs, &[], out);
}

/// As [`encode_histograms`], with start timestamps: as many as samples, 0 = unknown, or none.
pub fn encode_started_histograms(ts: &[i64], hs: &[Histogram], starts: &[i64], out: &mut Vec<u8>) {
    debug_assert_eq!(ts.len(), hs.len());
    debug_assert!(ts.len() <= MAX_SAMPLES && ts.is_sorted_by(|a, b| a < b));
    let n = ts.len().min(hs.len());
    let header = ChunkHeader::new(ChunkKind::Histograms, &ts[..n], starts);
    header.put(out);
    if n == 0 {
        return;
    }
    if header.has_starts {
        starts::put(&ts[..n], starts, out);
    }
    time::encode(&ts[..n], out);
    let mut raw = Vec::new();
    let mut one = Vec::new();
    for h in &hs[..n] {
        one.clear();
        histogram::encode(h, &mut one);
        put_uvarint(&mut raw, one.len() as u64);
        raw.extend_from_slice(&one);
    }
    put_uvarint(out, raw.len() as u64);
    if let Ok(frame) = zstd::bulk::compress(&raw, LEVEL) {
        out.extend_from_slice(&frame);
    }
}

/// Decodes a histogram chunk, appending to `out`; on an error `out` is left as it was.
pub fn decode_histograms(bytes: &[u8], out: &mut Vec<(i64, Histogram)>) -> Result<(), ChunkError> {
    let before = out.len();
    let result = append(bytes, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Appends the histograms in `range` of a chunk that has some there, with their `starts`.
pub(super) fn decode_into(
    bytes: &[u8],
    header: &ChunkHeader,
    starts: &[u8],
    range: TimeRange,
    into: &mut Series,
) -> Result<(), ChunkError> {
    let mut all = Vec::new();
    decode_histograms(bytes, &mut all)?;
    keep(all, header, starts, range, into)
}

/// As [`decode_into`], of a chunk's `body` and its timestamps.
pub(super) fn decode_body(
    body: &[u8],
    header: &ChunkHeader,
    ts: &[i64],
    starts: &[u8],
    range: TimeRange,
    into: &mut Series,
) -> Result<(), ChunkError> {
    let mut all = Vec::new();
    append_body(body, ts, &mut all)?;
    keep(all, header, starts, range, into)
}

fn keep(
    all: Vec<(i64, Histogram)>,
    header: &ChunkHeader,
    starts: &[u8],
    range: TimeRange,
    into: &mut Series,
) -> Result<(), ChunkError> {
    let mut known = Vec::new();
    if header.has_starts {
        let times: Vec<i64> = all.iter().map(|(t, _)| *t).collect();
        starts::decode(starts, header, 0..header.count, &times, &mut known)?;
    }
    for ((t, h), start) in all.into_iter().zip(known.into_iter().chain(std::iter::repeat(0))) {
        if range.contains(t) {
            into.push_histogram(t, h, start);
        }
    }
    Ok(())
}

fn append(bytes: &[u8], out: &mut Vec<(i64, Histogram)>) -> Result<(), ChunkError> {
    let mut rest = bytes;
    let (header, _) = ChunkHeader::take_with_starts(&mut rest)?;
    if header.kind != ChunkKind::Histograms {
        return Err(ChunkError::Kind(bytes[0]));
    }
    if header.count == 0 {
        return finished(rest);
    }
    let mut ts = Vec::new();
    time::decode(&header, &mut rest, &(i64::MIN..=i64::MAX), &mut Scratch::new(), &mut ts)?;
    append_body(rest, &ts, out)
}

fn append_body(body: &[u8], ts: &[i64], out: &mut Vec<(i64, Histogram)>) -> Result<(), ChunkError> {
    let mut rest = body;
    let raw_len = usize::try_from(take_varint(&mut rest)?).unwrap_or(usize::MAX);
    if raw_len > MAX_RAW {
        return Err(ChunkError::Malformed("histograms decompress to more than 64 MiB"));
    }
    let raw = zstd::bulk::decompress(rest, raw_len)
        .map_err(|_| ChunkError::Malformed("zstd frame of histograms"))?;
    if raw.len() != raw_len {
        return Err(ChunkError::Malformed("length of the decompressed histograms"));
    }
    let mut rest = raw.as_slice();
    for &t in ts {
        let len = usize::try_from(take_varint(&mut rest)?).unwrap_or(usize::MAX);
        let mut one = take_bytes(&mut rest, len)?;
        let h = histogram::decode(&mut one).map_err(|_| ChunkError::Malformed("histogram"))?;
        finished(one)?;
        out.push((t, h));
    }
    finished(rest)
}
