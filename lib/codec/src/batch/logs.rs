//! Streams in a batch.

use bytes::Bytes;
use skald_model::{Labels, SeriesId, Signal};

use super::{Item, finish, header, put_head};
use crate::wire::{
    WireError, count, put_bytes, put_ivarint, put_uvarint, take_bytes, take_ivarint, uvarint_len,
};

/// Writes a logs batch: `stream`, then `entry` for each of its lines, and so on.
#[derive(Debug)]
pub struct LogsBuilder {
    out: Vec<u8>,
    base: i64,
    n: u32,
    open: Option<Open>,
    /// Entries of the open stream: their length stands before them.
    body: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    id: SeriesId,
    labels: Option<Labels>,
    n_entries: u64,
    last: i64,
}

/// One stream of a batch; iterates over its entries.
#[derive(Clone, Debug)]
pub struct StreamView<'a> {
    pub id: SeriesId,
    /// Canonical label bytes, not yet validated; absent when the sender expects them to be known.
    pub labels: Option<&'a [u8]>,
    body: &'a [u8],
    n_left: usize,
    last: i64,
    rest: &'a [u8],
}

/// One entry, borrowed from the batch: `Bytes::slice_ref` turns the slices into owned ones without a copy.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    pub timestamp_ns: i64,
    pub line: &'a [u8],
    /// Canonical label bytes, not yet validated; empty when there is none.
    pub metadata: &'a [u8],
}

// === impl LogsBuilder ===

impl LogsBuilder {
    /// `base_ns`: a time near the entries', so that offsets are short.
    pub fn new(base_ns: i64) -> Self {
        Self::reusing(Vec::new(), base_ns, 0)
    }

    /// As [`new`](Self::new) in memory that was used before, with room for so many bytes.
    pub fn reusing(mut out: Vec<u8>, base_ns: i64, n_bytes: usize) -> Self {
        out.clear();
        out.reserve(n_bytes);
        out.extend(header(Signal::Logs, base_ns));
        Self { out, base: base_ns, n: 0, open: None, body: Vec::new() }
    }

    pub fn n_streams(&self) -> u32 {
        self.n + u32::from(self.open.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.n_streams() == 0
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len() + self.body.len()
    }

    /// Begins a stream.
    pub fn stream(&mut self, id: SeriesId, labels: Option<&Labels>) {
        self.close();
        self.open = Some(Open { id, labels: labels.cloned(), n_entries: 0, last: self.base });
    }

    /// Adds an entry to the stream begun last; without one it is ignored.
    pub fn entry(&mut self, timestamp_ns: i64, line: &[u8], metadata: &Labels) {
        let Some(open) = &mut self.open else { return };
        put_ivarint(&mut self.body, timestamp_ns.wrapping_sub(open.last));
        put_bytes(&mut self.body, line);
        put_bytes(&mut self.body, metadata.as_bytes());
        open.last = timestamp_ns;
        open.n_entries += 1;
    }

    pub fn finish(self) -> Bytes {
        self.into_vec().into()
    }

    /// As [`finish`](Self::finish), but for memory that is to be used again.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.close();
        finish(&mut self.out, self.n);
        self.out
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let labels = open.labels.as_ref().map(|l| &l.as_bytes()[..]);
        put_head(&mut self.out, open.id, 0, labels);
        // The count precedes the entries; both stand in one length-prefixed body.
        let n = uvarint_len(open.n_entries) + self.body.len();
        put_uvarint(&mut self.out, n as u64);
        put_uvarint(&mut self.out, open.n_entries);
        self.out.extend_from_slice(&self.body);
        self.body.clear();
        self.n += 1;
    }
}

// === impl StreamView ===

impl<'a> StreamView<'a> {
    /// The entries in a body that was cut out of a batch with this base.
    pub fn of_body(id: SeriesId, base: i64, body: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = body;
        let n_left = if rest.is_empty() { 0 } else { count(&mut rest, 3)? };
        Ok(Self { id, labels: None, body, n_left, last: base, rest })
    }

    pub(super) fn of_item(item: Item<'a>, base: i64) -> Result<Self, WireError> {
        Ok(Self { labels: item.labels, ..Self::of_body(item.id, base, item.body)? })
    }

    /// The bytes that hold the entries, all of them.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    pub fn n_entries(&self) -> usize {
        self.n_left
    }

    /// The next entry; `None` after the last.
    pub fn next_entry(&mut self) -> Result<Option<EntryView<'a>>, WireError> {
        if self.n_left == 0 {
            return Ok(None);
        }
        self.n_left -= 1;
        self.last = self.last.wrapping_add(take_ivarint(&mut self.rest)?);
        let line = take_bytes(&mut self.rest)?;
        let metadata = take_bytes(&mut self.rest)?;
        Ok(Some(EntryView { timestamp_ns: self.last, line, metadata }))
    }
}
