//! Log lines and the stream they belong to.

use bytes::Bytes;

use crate::Labels;

/// One line. Its identity within a stream is all three fields: an equal entry is the same entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEntry {
    /// Nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// Valid UTF-8.
    pub line: Bytes,
    /// Structured metadata.
    pub metadata: Labels,
}

impl LogEntry {
    /// The line as text; empty if the bytes should not be UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or_default()
    }

    /// A number that grows with memory use, for accounting.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.line.len() + self.metadata.as_bytes().len()
    }
}

/// Entries of one stream, sorted by (timestamp, then as written), no two equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEntries {
    pub labels: Labels,
    pub entries: Vec<LogEntry>,
}
