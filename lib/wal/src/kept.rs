//! A payload that its owner wants to read again: in memory until it is in a segment, from then on there.
//!
//! What was written a moment ago lies in the page cache, so reading costs a copy; in return the process
//! holds next to nothing of it. The file stays open as long as somebody may read, whether or not the log
//! has deleted its name.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::File;

/// The payload of a record. Owners share it.
#[derive(Debug)]
pub struct Kept {
    place: RwLock<Place>,
    len: usize,
}

enum Place {
    Memory(Bytes),
    File { file: Arc<dyn File>, offset: u64 },
}

// === impl Kept ===

impl Kept {
    /// A payload that no segment has, or not yet.
    pub fn in_memory(payload: Bytes) -> Arc<Self> {
        Arc::new(Self { len: payload.len(), place: RwLock::new(Place::Memory(payload)) })
    }

    pub(crate) fn in_file(file: Arc<dyn File>, offset: u64, len: usize) -> Arc<Self> {
        Arc::new(Self { len, place: RwLock::new(Place::File { file, offset }) })
    }

    /// The payload is at `offset` of `file` by now, and its memory is given back.
    pub(crate) fn settle(&self, file: &Arc<dyn File>, offset: u64) {
        *self.place.write() = Place::File { file: Arc::clone(file), offset };
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the payload takes.
    pub fn memory(&self) -> usize {
        match &*self.place.read() {
            Place::Memory(payload) => payload.len(),
            Place::File { .. } => 0,
        }
    }

    /// Reads a part of the payload; blocks if the page cache has lost it. What lies in memory is shared.
    pub fn read(&self, range: Range<usize>) -> io::Result<Bytes> {
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= self.len);
        let len = len.ok_or_else(|| io::Error::other("read beyond the end of a record"))?;
        let (file, offset) = match &*self.place.read() {
            Place::Memory(payload) => return Ok(payload.slice(range)),
            Place::File { file, offset } => (Arc::clone(file), offset + range.start as u64),
        };
        let mut out = vec![0; len];
        let mut at = 0;
        while at < len {
            let n = file.read_at(&mut out[at..], offset + at as u64)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += n;
        }
        Ok(out.into())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("Memory"),
            Self::File { offset, .. } => write!(f, "File({offset})"),
        }
    }
}
