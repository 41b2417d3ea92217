//! Entries as they lie in the log: read run by run, checked, decoded.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use skald_codec::batch::StreamView;
use skald_codec::wire::WireError;
use skald_model::{ErrorKind, Labels, LogEntry, SeriesId, TimeRange};

use super::data::{Batches, Run};

/// Why entries of a head cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("entries in the write-ahead log are not readable")]
    Io(#[source] Arc<io::Error>),
    /// The disk gave back other bytes than it was given.
    #[error("entries in the write-ahead log do not have their checksum")]
    Checksum,
    /// They were checked when they came in: a bug.
    #[error("entries in the write-ahead log do not decode")]
    Decode(#[from] WireError),
}

/// Where an entry lies in a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) ts: i64,
    /// Which push it came with: entries of one time are in the order of pushes.
    pub(super) push: u32,
    /// The number of the body.
    body: u32,
    line: (u32, u32),
    metadata: (u32, u32),
}

/// Bodies that were read, and entries in them.
#[derive(Debug, Default)]
pub(super) struct Hits {
    bodies: Vec<Bytes>,
    pub(super) list: Vec<Hit>,
}

// === impl ReadError ===

impl ReadError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(_) => ErrorKind::Unavailable,
            Self::Checksum => ErrorKind::Corrupt,
            Self::Decode(_) => ErrorKind::Internal,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(e: io::Error) -> Self {
        Self::Io(Arc::new(e))
    }
}

// === impl Hits ===

impl Hits {
    /// Reads a run and adds the entries that are in `range` and `wanted` by time and line.
    pub(super) fn read(
        &mut self,
        (push, run, batches): (u32, &Run, &Batches),
        range: TimeRange,
        wanted: impl Fn(i64, &[u8]) -> bool,
    ) -> Result<(), ReadError> {
        let Some((base, body)) = body_of(run, batches)? else { return Ok(()) };
        let number = u32::try_from(self.bodies.len()).unwrap_or(u32::MAX);
        let before = self.list.len();
        let mut stream = StreamView::of_body(SeriesId(0), base, &body)?;
        let place = |part: &[u8]| {
            let at = if part.is_empty() {
                0
            } else {
                part.as_ptr().addr().wrapping_sub(body.as_ptr().addr())
            };
            // A body has less than 4 GiB.
            (u32::try_from(at).unwrap_or(u32::MAX), u32::try_from(part.len()).unwrap_or(0))
        };
        while let Some(entry) = stream.next_entry()? {
            let ts = entry.timestamp_ns;
            if range.contains(ts) && wanted(ts, entry.line) {
                let (line, metadata) = (place(entry.line), place(entry.metadata));
                self.list.push(Hit { ts, push, body: number, line, metadata });
            }
        }
        if self.list.len() > before {
            self.bodies.push(body);
        }
        Ok(())
    }

    /// Line and metadata of an entry.
    pub(super) fn content(&self, hit: &Hit) -> (&[u8], &[u8]) {
        let body = self.bodies.get(hit.body as usize).map_or(&[][..], |b| b);
        let part = |(at, len): (u32, u32)| {
            body.get(at as usize..at as usize + len as usize).unwrap_or_default()
        };
        (part(hit.line), part(hit.metadata))
    }

    /// The entries of the list. Of a body from which little is wanted that is copied, the rest let go.
    pub(super) fn into_entries(self) -> Vec<LogEntry> {
        let mut wanted = vec![0usize; self.bodies.len()];
        for hit in &self.list {
            if let Some(wanted) = wanted.get_mut(hit.body as usize) {
                *wanted += hit.line.1 as usize + hit.metadata.1 as usize;
            }
        }
        let entry = |hit: &Hit| {
            let (line, metadata) = self.content(hit);
            let at = hit.body as usize;
            let whole = self.bodies.get(at).filter(|b| wanted.get(at) >= Some(&(b.len() / 2)));
            let owned = |part: &[u8]| match whole {
                Some(body) if !part.is_empty() => body.slice_ref(part),
                _ => Bytes::copy_from_slice(part),
            };
            // Checked when the batch was taken.
            let metadata = Labels::from_canonical(owned(metadata));
            LogEntry { timestamp_ns: hit.ts, line: owned(line), metadata }
        };
        self.list.iter().map(entry).collect()
    }
}

/// All entries of a run, in the order in which they came.
pub(crate) fn entries_of(run: &Run, batches: &Batches) -> Result<Vec<LogEntry>, ReadError> {
    let mut entries = Vec::with_capacity(run.n as usize);
    let Some((base, body)) = body_of(run, batches)? else { return Ok(entries) };
    let mut stream = StreamView::of_body(SeriesId(0), base, &body)?;
    while let Some(entry) = stream.next_entry()? {
        entries.push(LogEntry {
            timestamp_ns: entry.timestamp_ns,
            line: body.slice_ref(entry.line),
            metadata: Labels::from_canonical(body.slice_ref(entry.metadata)),
        });
    }
    Ok(entries)
}

fn body_of(run: &Run, batches: &Batches) -> Result<Option<(i64, Bytes)>, ReadError> {
    let Some(batch) = batches.get(run.batch) else { return Ok(None) };
    let body = batch.payload.read(run.span())?;
    if crc32c::crc32c(&body) != run.crc {
        return Err(ReadError::Checksum);
    }
    Ok(Some((batch.base, body)))
}
