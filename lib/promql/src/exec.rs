//! Streaming execution: series go one at a time from the source through a chain of operations that
//! look at one series only, into a matrix or into the accumulators of an aggregation.
//!
//! ```text
//! SeriesSet ─read─▶ samples ─window function or latest sample─▶ column ─maps─▶ column ─▶ group accumulator
//!            (buffers used again)                                                    └─▶ matrix
//! ```
//!
//! Invariant: what streams equals what would come out if every operation were applied to all series
//! at once. Where series could collide after losing their names, nothing streams.

mod batches;
mod chain;
mod common;
mod fetched;
mod lanes;
mod memory;
mod pipeline;
mod run;
mod siblings;
mod sink;

pub(crate) use self::chain::chain;
pub(crate) use self::common::{Common, Kept, address};
pub(crate) use self::fetched::Fetched;
pub(crate) use self::memory::Memory;
pub(crate) use self::run::Target;
pub(crate) use self::siblings::Siblings;
