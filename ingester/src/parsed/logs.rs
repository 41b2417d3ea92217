//! A checked logs batch.

use std::ops::Range;

use bytes::Bytes;
use skald_codec::batch::{Batch, EntryView, StreamView};
use skald_model::{Labels, LogEntry, SeriesId};

use super::{InvalidBatch, labels, position};
use crate::head::logs::Run;

/// All streams of a batch. Entries stay where they are, in the batch.
#[derive(Debug)]
pub(crate) struct LogsBatch {
    pub(crate) bytes: Bytes,
    /// What the times of each stream begin from.
    pub(crate) base: i64,
    pub(crate) items: Vec<LogsItem>,
}

/// One stream of a batch.
#[derive(Debug)]
pub(crate) struct LogsItem {
    pub(crate) id: SeriesId,
    pub(crate) labels: Option<Labels>,
    /// Its `batch` is set when a head takes hold of the bytes.
    pub(crate) run: Run,
}

// === impl LogsBatch ===

impl LogsBatch {
    pub(crate) fn parse(mut batch: Batch<'_>, bytes: &Bytes) -> Result<Self, InvalidBatch> {
        let base = batch.base();
        let mut items = Vec::with_capacity(batch.n_items());
        // Of the entry before: the next one often has the same.
        let mut metadata: &[u8] = &[];
        while let Some(stream) = batch.next_stream()? {
            let item = items.len();
            let labels = labels(bytes, stream.labels, stream.id, item)?;
            let id = stream.id;
            let run = checked(bytes, stream, item, &mut metadata)?;
            items.push(LogsItem { id, labels, run });
        }
        Ok(Self { bytes: bytes.clone(), base, items })
    }

    /// The entries of an item, in the order in which they came.
    pub(crate) fn entries(&self, item: &LogsItem) -> Vec<LogEntry> {
        let mut entries = Vec::with_capacity(item.run.n as usize);
        let body = self.bytes.get(item.run.span()).unwrap_or_default();
        // Decoded once before, by `checked`.
        let Ok(mut stream) = StreamView::of_body(item.id, self.base, body) else { return entries };
        while let Ok(Some(entry)) = stream.next_entry() {
            entries.push(LogEntry {
                timestamp_ns: entry.timestamp_ns,
                line: self.bytes.slice_ref(entry.line),
                metadata: Labels::from_canonical(self.bytes.slice_ref(entry.metadata)),
            });
        }
        entries
    }
}

/// Checks all entries of a stream and says what they are as a whole.
fn checked<'a>(
    bytes: &Bytes,
    mut stream: StreamView<'a>,
    item: usize,
    metadata: &mut &'a [u8],
) -> Result<Run, InvalidBatch> {
    let body = stream.body();
    let mut run = Run {
        n: position(stream.n_entries()),
        at: position(offset(bytes, body)),
        len: position(body.len()),
        crc: crc32c::crc32c(body),
        ..Run::EMPTY
    };
    while let Some(entry) = stream.next_entry()? {
        check(bytes, &entry, item, metadata)?;
        run.note(entry.timestamp_ns, entry.line.len());
    }
    Ok(run)
}

fn check<'a>(
    bytes: &Bytes,
    entry: &EntryView<'a>,
    item: usize,
    metadata: &mut &'a [u8],
) -> Result<(), InvalidBatch> {
    if std::str::from_utf8(entry.line).is_err() {
        return Err(InvalidBatch::NotUtf8 { item });
    }
    if entry.timestamp_ns == i64::MAX {
        return Err(InvalidBatch::Timestamp { item });
    }
    if !entry.metadata.is_empty() && entry.metadata != *metadata {
        Labels::from_bytes(bytes.slice_ref(entry.metadata))
            .map_err(|source| InvalidBatch::Metadata { item, source })?;
        *metadata = entry.metadata;
    }
    Ok(())
}

fn offset(bytes: &Bytes, part: &[u8]) -> usize {
    if part.is_empty() { 0 } else { part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr()) }
}

// === impl LogsItem ===

impl LogsItem {
    pub(crate) fn n_entries(&self) -> u64 {
        u64::from(self.run.n)
    }
}

impl Run {
    /// Where in its batch the body lies.
    pub(crate) fn span(&self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}
