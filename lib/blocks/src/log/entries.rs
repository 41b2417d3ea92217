//! Decoded batches of a log block as entries of the streams that their rows belong to.
//!
//! Lines share memory with the batch unless few of it are kept.

use std::ops::Range;

use arrow_array::types::TimestampNanosecondType;
use arrow_array::{PrimitiveArray, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_model::{LogEntry, StreamEntries};

use super::directory::Stream;
use super::write::{LINE, TIMESTAMP};
use crate::chunks::{bad, shared};
use crate::columns::{LabelBatch, METADATA_PREFIX};

/// Entries found so far, while a scan goes through rows that belong to known streams.
pub(super) struct Entries<N> {
    pub(super) numbers: N,
    pub(super) streams: std::vec::IntoIter<Stream>,
    pub(super) current: Option<Stream>,
    pub(super) out: Vec<StreamEntries>,
}

/// The lines of a batch, as far as they are wanted.
pub(super) enum Text<'a> {
    None,
    Column(Lines<'a>),
    /// Line `i` ends at `ends[i]`; those that are not kept are empty.
    Built {
        text: Bytes,
        ends: Vec<u32>,
    },
}

// === impl Text ===

impl Text<'_> {
    fn get(&self, row: usize) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::Column(lines) => lines.get(row),
            Self::Built { text, ends } => {
                let end = |i: usize| ends.get(i).map_or(0, |e| *e as usize);
                text.slice(row.checked_sub(1).map_or(0, end)..end(row))
            }
        }
    }
}

// === impl Entries ===

impl<N: Iterator<Item = usize>> Entries<N> {
    /// For rows of these numbers, which belong to these streams.
    pub(super) fn new(numbers: N, streams: Vec<Stream>) -> Self {
        Self { numbers, streams: streams.into_iter(), current: None, out: Vec::new() }
    }

    /// The numbers of the next `n` rows.
    pub(super) fn take_rows(&mut self, n: usize) -> Result<Vec<usize>, ParquetError> {
        let rows: Vec<usize> = self.numbers.by_ref().take(n).collect();
        if rows.len() == n { Ok(rows) } else { Err(bad("more rows than selected")) }
    }

    /// Adds the rows of `batch` to keep.
    pub(super) fn append(
        &mut self,
        batch: &RecordBatch,
        rows: &[usize],
        keep: &[bool],
        text: &Text<'_>,
    ) -> Result<(), ParquetError> {
        let times = times(batch)?;
        let metadata = LabelBatch::of(batch, METADATA_PREFIX)?;
        let metadata = metadata.sets(keep.len(), |row| keep[row])?;
        for ((row, keep), metadata) in keep.iter().enumerate().zip(metadata) {
            if !keep {
                continue;
            }
            let number = rows.get(row).ok_or_else(|| bad("more rows than selected"))?;
            let entry = LogEntry { timestamp_ns: times.value(row), line: text.get(row), metadata };
            self.stream_of(*number)?.entries.push(entry);
        }
        Ok(())
    }

    /// The stream that a row belongs to; rows come in order.
    fn stream_of(&mut self, row: usize) -> Result<&mut StreamEntries, ParquetError> {
        let goes_on = self.current.as_ref().is_some_and(|s| s.rows.contains(&row));
        if !goes_on {
            self.current = self.streams.find(|s| s.rows.contains(&row));
        }
        let stream = self.current.as_ref().ok_or_else(|| bad("row outside of the streams"))?;
        if !goes_on || self.out.is_empty() {
            self.out.push(StreamEntries { labels: stream.labels.clone(), entries: Vec::new() });
        }
        self.out.last_mut().ok_or_else(|| bad("row outside of the streams"))
    }
}

/// The lines of a batch as shared bytes.
pub(super) struct Lines<'a> {
    bytes: Bytes,
    array: &'a StringArray,
    /// Where each kept line stands in `bytes`, when only those were copied.
    copied: Option<Vec<Range<usize>>>,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    /// Shares the batch's memory, or copies the lines to keep when they are a small part of it.
    pub(super) fn of(batch: &'a RecordBatch, keep: &[bool]) -> Result<Text<'a>, ParquetError> {
        let Some(array) = lines(batch)? else { return Ok(Text::None) };
        let kept: usize =
            (0..keep.len()).filter(|row| keep[*row]).map(|row| array.value(row).len()).sum();
        if kept >= array.values().len() / 4 {
            return Ok(Text::Column(Self { bytes: shared(array.values()), array, copied: None }));
        }
        let mut bytes = Vec::with_capacity(kept);
        let copied = (0..keep.len())
            .map(|row| {
                let start = bytes.len();
                if keep[row] {
                    bytes.extend_from_slice(array.value(row).as_bytes());
                }
                start..bytes.len()
            })
            .collect();
        Ok(Text::Column(Self { bytes: bytes.into(), array, copied: Some(copied) }))
    }

    fn get(&self, row: usize) -> Bytes {
        match &self.copied {
            Some(ranges) => self.bytes.slice(ranges[row].clone()),
            None => self.bytes.slice_ref(self.array.value(row).as_bytes()),
        }
    }
}

pub(super) fn lines(batch: &RecordBatch) -> Result<Option<&StringArray>, ParquetError> {
    let Some(column) = batch.column_by_name(LINE) else { return Ok(None) };
    column.as_any().downcast_ref().map(Some).ok_or_else(|| bad("lines are no strings"))
}

pub(super) fn times(
    batch: &RecordBatch,
) -> Result<&PrimitiveArray<TimestampNanosecondType>, ParquetError> {
    batch
        .column_by_name(TIMESTAMP)
        .and_then(|c| c.as_any().downcast_ref())
        .ok_or_else(|| bad("time column missing"))
}
