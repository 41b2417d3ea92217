//! A look at pages before they are decoded: what their headers say must be possible, for the decoder takes memory as
//! they say, and reads for ever where they promise more repetition levels than there are.
//!
//! A header is a struct in Thrift's compact protocol: kind, bytes unpacked and packed, and by kind the number of values
//! and how they are encoded; the page follows.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use skald_model::labels::take_uvarint;

use crate::chunks::bad;

/// Unpacked, a page has no more than this, or than so many times what it has packed.
const MAX_PAGE: u64 = 16 << 20;
const MAX_RATIO: u64 = 1024;
/// … and however well; memory is taken before it is unpacked.
const MOST: u64 = 256 << 20;
/// Structs within structs: a header has two.
const MAX_DEPTH: usize = 4;
/// Levels are encoded in runs.
const RLE: u64 = 3;

const DATA: u64 = 0;
const DICTIONARY: u64 = 2;

/// What a header says.
#[derive(Debug, Default)]
struct Header {
    kind: u64,
    unpacked: u64,
    packed: u64,
    n_values: u64,
    repetition: u64,
}

/// Checks the pages of the leaf columns that `wanted` accepts and that begin in `range`, of which `bytes` are.
pub(super) fn check(
    meta: &ParquetMetaData,
    wanted: impl Fn(usize) -> bool,
    range: &Range<u64>,
    bytes: &Bytes,
) -> Result<(), ParquetError> {
    for (i, group) in meta.row_groups().iter().enumerate() {
        for (leaf, column) in group.columns().iter().enumerate().filter(|(leaf, _)| wanted(*leaf)) {
            let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = u64::try_from(first).map_err(bad)?;
            let len = u64::try_from(column.compressed_size()).map_err(bad)?;
            let end = start.saturating_add(len);
            if start >= range.end || end <= range.start {
                continue;
            }
            let repeats = column.column_descr().max_rep_level() > 0;
            let page = Page {
                most_rows: u64::try_from(group.num_rows()).unwrap_or(0),
                repeats: repeats.then(|| column.column_descr().max_rep_level()),
                compression: column.compression(),
            };
            let index = meta.page_index().and_then(|p| p.offset_index(i, leaf));
            let data = index.and_then(|i| i.page_locations().first()).map(|p| p.offset);
            let data = data.and_then(|at| u64::try_from(at).ok());
            // Without an index all pages are read at once; the dictionary lies before those of an index.
            let walk_to = if index.is_some() { data.unwrap_or(start).min(end) } else { end };
            let mut at = start;
            while at < walk_to && range.contains(&at) {
                at = at.saturating_add(page.check(part(bytes, range, at)?)?);
            }
            for location in index.into_iter().flat_map(|i| i.page_locations()) {
                let at = u64::try_from(location.offset).map_err(bad)?;
                if range.contains(&at) {
                    page.check(part(bytes, range, at)?)?;
                }
            }
        }
    }
    Ok(())
}

fn part<'a>(bytes: &'a Bytes, range: &Range<u64>, at: u64) -> Result<&'a [u8], ParquetError> {
    let from = usize::try_from(at.saturating_sub(range.start)).map_err(bad)?;
    bytes.get(from..).ok_or_else(early)
}

/// What the footer says of a page.
struct Page {
    most_rows: u64,
    /// The highest repetition level if values repeat.
    repeats: Option<i16>,
    compression: Compression,
}

// === impl Page ===

impl Page {
    /// Checks the page at the front; answers its length with the header.
    fn check(&self, bytes: &[u8]) -> Result<u64, ParquetError> {
        let mut rest = bytes;
        let header = Header::take(&mut rest)?;
        let body = usize::try_from(header.packed).ok().and_then(|n| rest.get(..n));
        let body = body.ok_or_else(early)?;
        let len = (bytes.len() - rest.len() + body.len()) as u64;
        if header.unpacked > MAX_PAGE.max(header.packed.saturating_mul(MAX_RATIO)).min(MOST) {
            return Err(bad("page too large"));
        }
        let possible = match (header.kind, self.repeats) {
            // Of any type the values of a dictionary take a byte, but for booleans, which have none.
            (DICTIONARY, _) => header.n_values <= header.unpacked,
            (DATA, None) => header.n_values <= self.most_rows,
            (DATA, Some(highest)) => self.has_levels(&header, highest, body)?,
            _ => false,
        };
        if possible { Ok(len) } else { Err(bad("page header that cannot be")) }
    }

    /// Whether the page has a repetition level for each value.
    fn has_levels(&self, header: &Header, highest: i16, body: &[u8]) -> Result<bool, ParquetError> {
        let len = usize::try_from(header.unpacked).map_err(bad)?;
        let unpacked;
        let page = match self.compression {
            Compression::UNCOMPRESSED => body,
            Compression::ZSTD(_) => {
                unpacked = zstd::bulk::decompress(body, len).map_err(bad)?;
                &unpacked
            }
            _ => return Ok(false),
        };
        let Some((n_bytes, levels)) = page.split_first_chunk::<4>() else { return Ok(false) };
        let n_bytes = usize::try_from(u32::from_le_bytes(*n_bytes)).map_err(bad)?;
        let Some(levels) = levels.get(..n_bytes) else { return Ok(false) };
        let width = u64::from(i16::BITS - highest.leading_zeros());
        Ok(header.repetition == RLE && count(levels, width) >= Some(header.n_values))
    }
}

/// How many values of `width` bits there are in runs of equal ones and of packed ones.
fn count(mut runs: &[u8], width: u64) -> Option<u64> {
    let mut n = 0u64;
    while !runs.is_empty() {
        let head = take_uvarint(&mut runs)?;
        let bytes = if head & 1 == 0 {
            n = n.saturating_add(head >> 1);
            width.div_ceil(8)
        } else {
            let bytes = (head >> 1).checked_mul(width)?;
            n = n.saturating_add(bytes.min(runs.len() as u64) * 8 / width.max(1));
            // The last may be cut behind the last value.
            bytes.min(runs.len() as u64)
        };
        runs = runs.get(usize::try_from(bytes).ok()?..)?;
    }
    Some(n)
}

// === impl Header ===

impl Header {
    fn take(rest: &mut &[u8]) -> Result<Self, ParquetError> {
        let mut out = Self::default();
        // Of a page of data and of a dictionary, whatever the kind; other pages are refused.
        let mut n_values = (0, 0);
        walk(rest, &mut Vec::new(), &mut |path, value| match path {
            [1] => out.kind = value,
            [2] => out.unpacked = value,
            [3] => out.packed = value,
            [5, 1] => n_values.0 = value,
            [7, 1] => n_values.1 = value,
            [5, 4] => out.repetition = value,
            _ => {}
        })
        .ok_or_else(|| bad("damaged page header"))?;
        out.n_values = if out.kind == DICTIONARY { n_values.1 } else { n_values.0 };
        Ok(out)
    }
}

/// Hands the integers of a struct to `each`, with the numbers of the fields that lead there; negative ones are as the
/// largest.
fn walk(rest: &mut &[u8], path: &mut Vec<i16>, each: &mut impl FnMut(&[i16], u64)) -> Option<()> {
    if path.len() >= MAX_DEPTH {
        return None;
    }
    let mut id = 0i16;
    loop {
        let head = take_byte(rest)?;
        if head == 0 {
            return Some(());
        }
        id = match i16::from(head >> 4) {
            0 => i16::try_from(integer(rest)?).ok()?,
            step => id.checked_add(step)?,
        };
        path.push(id);
        match head & 15 {
            // Booleans are in the head.
            1 | 2 => {}
            3 => drop(take_byte(rest)?),
            4..=6 => {
                let value = integer(rest)?;
                each(path, u64::try_from(value).unwrap_or(u64::MAX));
            }
            7 => *rest = rest.get(8..)?,
            8 => {
                let len = usize::try_from(take_uvarint(rest)?).ok()?;
                *rest = rest.get(len..)?;
            }
            12 => walk(rest, path, each)?,
            // A header has no lists and no maps.
            _ => return None,
        }
        path.pop();
    }
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(*byte)
}

fn integer(rest: &mut &[u8]) -> Option<i64> {
    take_uvarint(rest).map(skald_codec::bits::unzigzag)
}

fn early() -> ParquetError {
    bad("page ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_as_far_as_they_are_there() {
        // Twelve equal ones; two groups of eight; one group, cut.
        assert_eq!(count(&[24, 1], 1), Some(12));
        assert_eq!(count(&[5, 0xaa, 0xaa, 4, 0], 1), Some(18));
        assert_eq!(count(&[5, 0xaa], 1), Some(8));
        assert_eq!(count(&[], 1), Some(0));
        assert_eq!(count(&[24], 1), None);
        assert_eq!(count(&[0x80], 1), None);
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        let page = Page { most_rows: 5, repeats: None, compression: Compression::UNCOMPRESSED };
        // kind 0, unpacked n, packed 2, data page {n_values, encoding 0, levels by runs}.
        let header = |unpacked: &[u8], n_values: u8| {
            let head =
                [&[0x15, 0][..], &[0x15], unpacked, &[0x15, 4, 0x2c, 0x15, n_values]].concat();
            [&head[..], &[0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 7, 7, 9]].concat()
        };
        let whole = header(&[4], 10);
        assert_eq!(page.check(&whole).unwrap(), whole.len() as u64 - 1, "without what follows");
        assert!(page.check(&header(&[4], 12)).is_err(), "more values than rows");
        assert!(page.check(&header(&[0xfe, 0xff, 0xff, 0xff, 0x0f], 10)).is_err(), "two gigabytes");
        assert!(page.check(&header(&[3], 10)).is_err(), "less than nothing");
        for cut in 0..whole.len() - 1 {
            assert!(page.check(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
