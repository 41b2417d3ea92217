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
use skald_model::labels::{put_uvarint, take_uvarint};
use skald_model::{Exemplar, Labels};

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

/// Appends one chunk to a cell.
pub(crate) fn put_list_item(chunk: &[u8], out: &mut Vec<u8>) {
    put_uvarint(out, chunk.len() as u64);
    out.extend_from_slice(chunk);
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
