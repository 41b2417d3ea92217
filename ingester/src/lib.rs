//! Owns recent data: takes batches, answers queries from memory, and turns memory into blocks.
//!
//! Requirements: a batch is acknowledged once its WAL record is on stable storage; what is
//! acknowledged is queryable at once and is flushed exactly once, whatever crashes in between; a
//! repeated batch changes nothing; memory stays within a budget; one tenant's data never meets
//! another's.
//!
//! ```text
//! push  → parse → head lock { apply, append to WAL } → commit → answer
//! read  → head lock { pick buffers, manifest version } → decode
//! flush → cut → blocks → manifest commit → truncate WAL
//! ```

mod admission;
mod apply;
pub mod config;
mod error;
mod flush;
mod head;
mod index;
mod ingester;
mod metrics;
mod parsed;
mod push;
mod replay;
mod select;
mod service;
mod tail;
mod tenant;
mod usage;

pub use crate::config::Config;
pub use crate::error::Error;
pub use crate::ingester::{Dependencies, Ingester};
