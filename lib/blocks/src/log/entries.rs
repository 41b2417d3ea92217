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

// === impl Entries ===

impl<N: Iterator<Item = usize>> Entries<N> {
    /// Adds the rows of `batch` to keep; all rows of it are taken from `numbers`.
    pub(super) fn append(
        &mut self,
        batch: &RecordBatch,
        keep: &[bool],
        with_line: bool,
    ) -> Result<(), ParquetError> {
        let times = times(batch)?;
        let lines = if with_line { Lines::of(batch, keep)? } else { None };
        let metadata = LabelBatch::of(batch, METADATA_PREFIX)?;
        let metadata = metadata.sets(keep.len(), |row| keep[row])?;
        for ((row, keep), metadata) in keep.iter().enumerate().zip(metadata) {
            let number = self.numbers.next().ok_or_else(|| bad("more rows than selected"))?;
            if !keep {
                continue;
            }
            let entry = LogEntry {
                timestamp_ns: times.value(row),
                line: lines.as_ref().map_or_else(Bytes::new, |l| l.get(row)),
                metadata,
            };
            self.stream_of(number)?.entries.push(entry);
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
struct Lines<'a> {
    bytes: Bytes,
    array: &'a StringArray,
    /// Where each kept line stands in `bytes`, when only those were copied.
    copied: Option<Vec<Range<usize>>>,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    /// Shares the batch's memory, or copies the lines to keep when they are a small part of it.
    fn of(batch: &'a RecordBatch, keep: &[bool]) -> Result<Option<Self>, ParquetError> {
        let Some(array) = lines(batch)? else { return Ok(None) };
        let kept: usize =
            (0..keep.len()).filter(|row| keep[*row]).map(|row| array.value(row).len()).sum();
        if kept >= array.values().len() / 4 {
            return Ok(Some(Self { bytes: shared(array.values()), array, copied: None }));
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
        Ok(Some(Self { bytes: bytes.into(), array, copied: Some(copied) }))
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
