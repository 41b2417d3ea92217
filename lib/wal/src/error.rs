//! What can go wrong with the log, in kinds a caller can act on.

use std::io;
use std::sync::Arc;

use skald_model::ErrorKind;

/// An error of the write-ahead log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid setting: {0}")]
    Config(String),
    /// Another process has the directory.
    #[error("directory {0} is in use by another process")]
    Locked(String),
    #[error("{op} {path} failed")]
    Io {
        op: &'static str,
        path: String,
        #[source]
        source: Arc<io::Error>,
    },
    /// A newer release wrote the log.
    #[error("segment {path} has format version {version}, newer than this release reads")]
    Version { path: String, version: u8 },
    /// The record can never be stored.
    #[error("record of {bytes} bytes exceeds buffer_size {limit} (err-skald-wal-record-too-large)")]
    TooLarge { bytes: u64, limit: u64 },
    /// The disk is behind; the client should retry.
    #[error("{bytes} bytes wait for the disk, buffer_size is {limit} (err-skald-wal-buffer-full)")]
    BufferFull { bytes: u64, limit: u64 },
    /// The disk is full or nearly so.
    #[error("{free} bytes are free on the disk, min_free is {min_free} (err-skald-wal-disk-full)")]
    DiskFull { free: u64, min_free: u64 },
    /// The log reached its own limit.
    #[error("the log has {bytes} bytes, max_total_size is {limit} (err-skald-wal-full)")]
    Full { bytes: u64, limit: u64 },
    /// A write or sync failed earlier. Nothing works any more: the process must exit.
    #[error("log is out of order since {op} failed")]
    Poisoned {
        op: &'static str,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("log is closed")]
    Closed,
    /// A sequence number that was never given out.
    #[error("sequence number {seq} was not appended, the last is {last}")]
    UnknownSeq { seq: u64, last: u64 },
}

// === impl Error ===

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::BufferFull { .. }
            | Self::DiskFull { .. }
            | Self::Full { .. }
            | Self::Locked(_)
            | Self::Closed
            | Self::Poisoned { .. } => ErrorKind::Unavailable,
            Self::Io { .. } | Self::Version { .. } | Self::UnknownSeq { .. } => ErrorKind::Internal,
        }
    }

    /// The stable id of errors that clients see.
    pub fn id(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } => Some("err-skald-wal-record-too-large"),
            Self::BufferFull { .. } => Some("err-skald-wal-buffer-full"),
            Self::DiskFull { .. } => Some("err-skald-wal-disk-full"),
            Self::Full { .. } => Some("err-skald-wal-full"),
            _ => None,
        }
    }

    pub(crate) fn io(op: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io { op, path: path.display().to_string(), source: Arc::new(source) }
    }
}
