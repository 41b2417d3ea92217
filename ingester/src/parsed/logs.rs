//! A checked logs batch.

use std::ops::Range;

use bytes::Bytes;
use skald_codec::batch::{Batch, EntryView};
use skald_model::{Labels, SeriesId};

use super::{InvalidBatch, labels, position};
use crate::head::logs::Entry;

/// All streams of a batch; the entries of all stand in one column.
#[derive(Debug)]
pub(crate) struct LogsBatch {
    pub(crate) bytes: Bytes,
    pub(crate) items: Vec<LogsItem>,
    /// Their `batch` is set when a head takes hold of the bytes.
    pub(crate) entries: Vec<Entry>,
}

/// One stream of a batch.
#[derive(Debug)]
pub(crate) struct LogsItem {
    pub(crate) id: SeriesId,
    pub(crate) labels: Option<Labels>,
    entries: (u32, u32),
}

// === impl LogsBatch ===

impl LogsBatch {
    pub(super) fn parse(mut batch: Batch<'_>, bytes: &Bytes) -> Result<Self, InvalidBatch> {
        let mut out = Self {
            bytes: bytes.clone(),
            items: Vec::with_capacity(batch.n_items()),
            entries: Vec::new(),
        };
        while let Some(mut stream) = batch.next_stream()? {
            let item = out.items.len();
            let labels = labels(bytes, stream.labels, stream.id, item)?;
            let start = position(out.entries.len());
            out.entries.reserve(stream.n_entries());
            while let Some(entry) = stream.next_entry()? {
                out.entries.push(checked(bytes, &entry, item)?);
            }
            let entries = (start, position(out.entries.len()));
            out.items.push(LogsItem { id: stream.id, labels, entries });
        }
        Ok(out)
    }

    /// The line of an entry.
    pub(crate) fn line(&self, entry: &Entry) -> Bytes {
        self.bytes.slice(span(entry.line, entry.line_len))
    }

    /// The structured metadata of an entry.
    pub(crate) fn metadata(&self, entry: &Entry) -> Labels {
        if entry.metadata_len == 0 {
            return Labels::empty();
        }
        let bytes = self.bytes.slice(span(entry.metadata, entry.metadata_len));
        // Validated by `checked`.
        Labels::from_bytes(bytes).unwrap_or_default()
    }
}

fn span(at: u32, len: u32) -> Range<usize> {
    at as usize..at as usize + len as usize
}

fn checked(bytes: &Bytes, entry: &EntryView<'_>, item: usize) -> Result<Entry, InvalidBatch> {
    if std::str::from_utf8(entry.line).is_err() {
        return Err(InvalidBatch::NotUtf8 { item });
    }
    if entry.timestamp_ns == i64::MAX {
        return Err(InvalidBatch::Timestamp { item });
    }
    if !entry.metadata.is_empty() {
        Labels::from_bytes(bytes.slice_ref(entry.metadata))
            .map_err(|source| InvalidBatch::Metadata { item, source })?;
    }
    let offset = |part: &[u8]| {
        if part.is_empty() {
            return 0;
        }
        position(part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr()))
    };
    Ok(Entry {
        timestamp_ns: entry.timestamp_ns,
        batch: 0,
        line: offset(entry.line),
        line_len: position(entry.line.len()),
        metadata: offset(entry.metadata),
        metadata_len: position(entry.metadata.len()),
    })
}

// === impl LogsItem ===

impl LogsItem {
    pub(crate) fn entries(&self) -> Range<usize> {
        self.entries.0 as usize..self.entries.1 as usize
    }
}
