//! Merges the blocks of each tenant into fewer and larger ones, drops what is past its retention, and collects garbage.
//!
//! Requirements: after a merge queries see exactly the union of its inputs, each sample and line once;
//! a crash at any step loses nothing and duplicates nothing (outputs are put first, then one commit
//! swaps them for the inputs, and what a crash leaves unreferenced is collected later); a damaged
//! block is left alone and never stops the rest; memory is bounded by `merge_memory` and an encoded block.
//!
//! ```text
//! view → plan (pure) → per merge: verify inputs → k-way merge → put outputs → commit {adds, removes} → gc
//! ```

pub mod config;
mod merge;
mod meta;
mod metrics;
pub mod plan;
mod quarantine;
mod rules;
pub mod service;
#[cfg(test)]
mod testing;

pub use crate::config::{Config, ConfigError, DeletionDelay};
pub use crate::merge::stored::{Stored, StoredError, StoredLines, StoredSamples};
pub use crate::meta::{BadMeta, from_catalog as block_meta};
pub use crate::plan::{Effort, Merge, Plan, Rules, plan};
pub use crate::rules::BadRequest;
pub use crate::service::{
    Amount, CompactError, Compactor, OfSignal, Parts, Report, Retention, Share,
};
