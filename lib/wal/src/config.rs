//! The settings of a write-ahead log.

use serde::{Deserialize, Serialize};
use skald_runtime::ByteSize;

use crate::Error;
use crate::format::MAX_RECORD;

/// The settings of a write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When an append counts as committed: `group` after fdatasync, `os` after write. Default group.
    pub fsync: Fsync,
    /// A segment is closed once it has this many bytes. Default 128MiB.
    pub segment_size: ByteSize,
    /// Bytes waiting for the disk before appends are refused; also the largest record. Default 64MiB.
    pub buffer_size: ByteSize,
    /// Appends are refused while the file system has less free, or less than a tenth of its size if
    /// that is smaller. 0 switches the guard off. Default 256MiB.
    pub min_free: ByteSize,
    /// Space held by a file that is given up when a start finds the disk full. 0 = none. Default 64MiB.
    pub ballast: ByteSize,
    /// Appends are refused once all segments together have this many bytes. 0 = unlimited. Default 0.
    pub max_total_size: ByteSize,
}

/// When an append counts as committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// After one fdatasync for all who wait: survives power loss.
    #[default]
    Group,
    /// After the operating system took the bytes: survives a crash of the process only.
    Os,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fsync: Fsync::Group,
            segment_size: ByteSize(128 << 20),
            buffer_size: ByteSize(64 << 20),
            min_free: ByteSize(256 << 20),
            ballast: ByteSize(64 << 20),
            max_total_size: ByteSize(0),
        }
    }
}

impl Config {
    /// Refuses settings that cannot work.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::Config(what.to_owned()));
        if self.segment_size.0 < 1 << 10 {
            return refuse("segment_size must be at least 1KiB");
        }
        if !(1 << 10..=MAX_RECORD).contains(&self.buffer_size.0) {
            return refuse("buffer_size must be between 1KiB and 256MiB");
        }
        if self.max_total_size.0 != 0 && self.max_total_size.0 < self.segment_size.0 {
            return refuse("max_total_size must be 0 or at least segment_size");
        }
        Ok(())
    }
}
