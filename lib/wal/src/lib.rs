//! The write-ahead log of an ingester: segments, records, group commit, replay.
//!
//! Requirements:
//! - A record whose `commit` succeeded survives the death of the process and, with `fsync: group`, of
//!   the machine. One sync serves all who wait.
//! - No start needs a human: unfinished writes are cut, damage is set aside, a full disk can be started on.
//! - After a failed sync nothing is acknowledged any more (`failed`): the process exits and replays.
//! - Memory is bounded by two buffers of `buffer_size`.
//! - Who wants to read a payload again ([`Kept`]) need not hold it: it is read from the segment.
//! - Files only through [`Filesystem`], so that tests can take the power away ([`fs::MemFs`]).
//!
//! Format: docs/formats/wal.md.

pub mod config;
pub mod error;
pub mod fs;
pub mod inspect;
pub mod metrics;

mod batch;
mod directory;
mod format;
mod kept;
mod replay;
mod segment;
mod segments;
mod state;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::config::{Config, Fsync};
pub use crate::error::Error;
pub use crate::fs::{File, Filesystem, Lock, MemFs, Space, StdFs};
pub use crate::kept::Kept;
pub use crate::metrics::Metrics;
pub use crate::replay::{Record, Replay, Summary};
pub use crate::wal::{Appended, Wal};
