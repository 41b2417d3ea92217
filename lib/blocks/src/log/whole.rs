//! Entries whose lines are still in the pack that their block has them in, for a merge that may copy it.

use std::ops::Range;

use bytes::Bytes;
use skald_model::{Labels, LogEntry, StreamEntries};

use super::packed::open_lines;

/// Entries of one stream, and all lines of one pack.
#[derive(Clone, Debug)]
pub struct PackedEntries {
    pub(super) labels: Labels,
    /// Sorted by time, never none; their lines are empty.
    pub(super) entries: Vec<LogEntry>,
    pub(super) pack: PackBytes,
}

/// A pack as it stands in its block.
#[derive(Clone, Debug)]
pub(super) struct PackBytes {
    pub(super) lines: Bytes,
    /// The run of gram filters of the same rows.
    pub(super) grams: Bytes,
    /// Length of all lines.
    pub(super) text_len: usize,
}

/// Lines that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a damaged pack of lines: {0}")]
pub struct DamagedPack(String);

/// What comes next in a block.
#[derive(Clone, Debug)]
pub enum LogPiece {
    Entries(StreamEntries),
    Packed(PackedEntries),
}

/// Entries of a stream on their way into a block: the lines in them, or in a pack.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) entries: Vec<LogEntry>,
    pub(super) pack: Option<PackBytes>,
}

// === impl PackedEntries ===

impl PackedEntries {
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// First and last time.
    pub fn times(&self) -> (i64, i64) {
        let ns = |e: Option<&LogEntry>| e.map_or(0, |e| e.timestamp_ns);
        (ns(self.entries.first()), ns(self.entries.last()))
    }

    /// The lines as they are encoded: `docs/formats/lines.md`.
    pub fn lines(&self) -> &Bytes {
        &self.pack.lines
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let metadata: usize = self.entries.iter().map(|e| e.metadata.as_bytes().len()).sum();
        let entries = self.entries.len() * size_of::<LogEntry>() + metadata;
        entries + self.pack.lines.len() + self.pack.grams.len()
    }

    /// The entries with their lines.
    pub fn unpack(mut self) -> Result<StreamEntries, DamagedPack> {
        let lines = open_lines(self.pack.lines, self.entries.len());
        let lines = lines.map_err(|e| DamagedPack(e.to_string()))?;
        let mut text = Vec::with_capacity(lines.text_len());
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(lines.len());
        for (row, entry) in self.entries.iter().enumerate() {
            let start = text.len();
            lines.append(row, entry.timestamp_ns, &mut text);
            if text.len() > lines.text_len() {
                return Err(DamagedPack("lines longer than it says".to_owned()));
            }
            ranges.push(start..text.len());
        }
        let text = Bytes::from(text);
        for (entry, range) in self.entries.iter_mut().zip(ranges) {
            entry.line = text.slice(range);
        }
        Ok(StreamEntries { labels: self.labels, entries: self.entries })
    }
}

// === impl LogPiece ===

impl LogPiece {
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Entries(stream) => &stream.labels,
            Self::Packed(packed) => &packed.labels,
        }
    }

    /// Times and metadata, and the lines unless they are in a pack.
    pub fn entries(&self) -> &[LogEntry] {
        match self {
            Self::Entries(stream) => &stream.entries,
            Self::Packed(packed) => &packed.entries,
        }
    }
}

// === impl Run ===

impl Run {
    pub(super) fn first_ns(&self) -> i64 {
        self.entries.first().map_or(0, |e| e.timestamp_ns)
    }

    pub(super) fn last_ns(&self) -> i64 {
        self.entries.last().map_or(0, |e| e.timestamp_ns)
    }

    /// Lengths of all lines.
    pub(super) fn text_len(&self) -> u64 {
        match &self.pack {
            Some(pack) => pack.text_len as u64,
            None => self.entries.iter().map(|e| e.line.len() as u64).sum(),
        }
    }
}
