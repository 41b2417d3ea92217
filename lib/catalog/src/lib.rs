//! The catalog: one create-only manifest log per tenant that says which blocks exist, and up to which
//! WAL record of each ingester they reach.
//!
//! Requirements:
//! - A commit counts exactly once, whatever the store answers: lost acknowledgements, time-outs,
//!   "already exists" of one's own object, two processes at once, a process that was paused.
//! - The store needs put-if-absent, get, head, list and delete; nothing is ever replaced but an advisory hint.
//! - Readers see a commit or nothing of it; a view never changes; its blocks stay while it is held.
//! - Damaged or foreign bytes are a `Corrupt` error, bounded before they are read.
//!
//! # The watermark
//!
//! A watermark goes by WAL number, a block by time. Watermark `s` of a replica may be committed for a
//! tenant only if **every** record of that tenant with a number up to `s` is in blocks (of this commit or
//! earlier ones), or was logged again, synced, under a larger number. A late sample that stays behind in
//! the head holds the watermark back. Replay skips records up to the watermark: one that is too large
//! loses data. Nor may it exceed what the WAL has synced (`Wal::durable_seq`), since a number that is lost
//! with the power is given out again. After a start the watermark in the catalog is the one that counts.
//!
//! Format: docs/formats/manifest.md.

mod catalog;
mod commit;
mod config;
mod deletes;
mod error;
mod frame;
mod gc;
mod load;
mod objects;
mod path;
mod view;

#[cfg(test)]
mod tests;

pub use skald_proto::catalog::{
    Author, BlockMeta, DeleteRequest, MetricMetadata, RemovedBlock, Signal,
};

pub use crate::catalog::Catalog;
pub use crate::commit::Change;
pub use crate::config::Config;
pub use crate::deletes::{bound_ns, deleted_times};
pub use crate::error::{CommitError, Error};
pub use crate::gc::{GcOptions, GcReport};
pub use crate::view::View;
