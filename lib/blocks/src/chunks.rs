//! What a binary cell of a metric block holds: a list of chunks, or exemplars.
//!
//! ```text
//! chunks    := { uvarint(len) chunk }*
//! exemplars := uvarint(n) { uvarint(len) labels  zigzag(timestamp_ms)  f64 }*n
//! ```

use arrow_buffer::Buffer;
use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_codec::bits::{unzigzag, zigzag};
use skald_codec::chunk::{self, ChunkError, ChunkHeader, ChunkKind};
use skald_model::labels::{put_uvarint, take_uvarint};
use skald_model::{Exemplar, Labels, Series, TimeRange};

/// Smallest exemplar: no labels, one byte of time, a value.
const MIN_EXEMPLAR: usize = 10;

pub(crate) fn bad(reason: impl ToString) -> ParquetError {
    ParquetError::General(reason.to_string())
}

/// Arrow memory as [`Bytes`], without copying.
pub(crate) fn shared(buffer: &Buffer) -> Bytes {
    struct Owner(Buffer);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    Bytes::from_owner(Owner(buffer.clone()))
}

pub(crate) fn put_list(chunks: &[Bytes], out: &mut Vec<u8>) {
    for chunk in chunks {
        put_uvarint(out, chunk.len() as u64);
        out.extend_from_slice(chunk);
    }
}

/// The chunks of a cell, as ranges of it.
pub(crate) fn list(cell: &[u8]) -> impl Iterator<Item = Result<&[u8], ParquetError>> {
    let mut rest = cell;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = take_uvarint(&mut rest)
            .and_then(|len| usize::try_from(len).ok())
            .and_then(|len| rest.split_at_checked(len));
        let Some((head, tail)) = taken else {
            rest = &[];
            return Some(Err(bad("chunk list ends too early")));
        };
        rest = tail;
        Some(Ok(head))
    })
}

/// Appends the samples of a cell that lie in `range` to `series`, sorted, one per timestamp.
///
/// Of several samples at one time the one of the chunk that stands first stays.
pub(crate) fn append(
    kind: ChunkKind,
    cell: &[u8],
    range: TimeRange,
    series: &mut Series,
) -> Result<(), ParquetError> {
    let mut ascending = true;
    let mut last = None;
    for chunk in list(cell) {
        let chunk = chunk?;
        let header = chunk::peek(chunk).map_err(bad)?;
        if header.count == 0 || !range.overlaps(header.min_ts, header.max_ts) {
            continue;
        }
        decode(header, chunk, series).map_err(bad)?;
        ascending &= last.is_none_or(|last| last < header.min_ts);
        last = Some(header.max_ts);
    }
    match kind {
        ChunkKind::Floats => trim_floats(ascending, range, series),
        ChunkKind::Histograms => {
            let all = &mut series.histograms;
            if !ascending {
                all.sort_by_key(|(t, _)| *t);
                all.dedup_by_key(|(t, _)| *t);
            }
            all.truncate(all.partition_point(|(t, _)| *t < range.end));
            all.drain(..all.partition_point(|(t, _)| *t < range.start));
        }
    }
    Ok(())
}

fn decode(header: ChunkHeader, chunk: &[u8], series: &mut Series) -> Result<(), ChunkError> {
    match header.kind {
        ChunkKind::Floats => {
            chunk::decode_floats(chunk, &mut series.timestamps, &mut series.values)
        }
        ChunkKind::Histograms => chunk::decode_histograms(chunk, &mut series.histograms),
    }
}

fn trim_floats(ascending: bool, range: TimeRange, series: &mut Series) {
    let (ts, vals) = (&mut series.timestamps, &mut series.values);
    if !ascending {
        let mut pairs: Vec<(i64, f64)> = ts.drain(..).zip(vals.drain(..)).collect();
        pairs.sort_by_key(|(t, _)| *t);
        pairs.dedup_by_key(|(t, _)| *t);
        (*ts, *vals) = pairs.into_iter().unzip();
    }
    let end = ts.partition_point(|t| *t < range.end);
    ts.truncate(end);
    vals.truncate(end);
    let start = ts.partition_point(|t| *t < range.start);
    ts.drain(..start);
    vals.drain(..start);
}

pub(crate) fn put_exemplars(exemplars: &[Exemplar], out: &mut Vec<u8>) {
    put_uvarint(out, exemplars.len() as u64);
    for e in exemplars {
        put_uvarint(out, e.labels.as_bytes().len() as u64);
        out.extend_from_slice(e.labels.as_bytes());
        put_uvarint(out, zigzag(e.timestamp_ms));
        out.extend_from_slice(&e.value.to_le_bytes());
    }
}

pub(crate) fn exemplars(cell: &[u8]) -> Result<Vec<Exemplar>, ParquetError> {
    let early = || bad("exemplars end too early");
    let mut rest = cell;
    let n = take_uvarint(&mut rest).and_then(|n| usize::try_from(n).ok()).ok_or_else(early)?;
    if n > rest.len() / MIN_EXEMPLAR {
        return Err(early());
    }
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        let len = take_uvarint(&mut rest).and_then(|n| usize::try_from(n).ok());
        let (head, tail) = len.and_then(|n| rest.split_at_checked(n)).ok_or_else(early)?;
        rest = tail;
        let labels = Labels::from_bytes(Bytes::copy_from_slice(head)).map_err(bad)?;
        let timestamp_ms = unzigzag(take_uvarint(&mut rest).ok_or_else(early)?);
        let (value, tail) = rest.split_first_chunk::<8>().ok_or_else(early)?;
        rest = tail;
        out.push(Exemplar { labels, timestamp_ms, value: f64::from_le_bytes(*value) });
    }
    if rest.is_empty() { Ok(out) } else { Err(bad("bytes after the exemplars")) }
}
