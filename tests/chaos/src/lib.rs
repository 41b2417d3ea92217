//! A cluster of real processes that is tortured while it is written to and read, and then asked for everything.
//!
//! Requirements: a seed names the faults (their moments depend on the machine); never more than one zone is down on
//! purpose, so that nothing acknowledged may be missing from any answer that succeeds; what is found at the end is what was
//! acknowledged, and nothing that was not attempted, each once, and each with its own tenant.
//!
//! ```text
//! writers ─▶ 2 distributors ─▶ 3 zones × partitions ─▶ storage ◀─ 2 compactors
//! readers ─▶ 2 queriers ────────▶ (same)    etcd        ▲
//!                       faults ──────────────┴──────────┘
//! ```
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool of tests: a broken assumption ends it, and it talks to whoever reads"
)]

pub mod cluster;
pub mod fault;
pub mod journal;
pub mod node;
pub mod points;
pub mod read;
pub mod report;
pub mod run;
pub mod write;

pub use crate::run::{Options, run};

/// Milliseconds since the epoch, now.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
