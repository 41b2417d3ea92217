//! Random LogQL, asked of Skald and of a real Loki over the same lines: every difference is a bug, or is
//! explained in `docs/logql-differences.md`.
//!
//! Requirements: a seed names a query for ever, on every machine; lines hold what is hard (broken JSON,
//! Unicode, colours, emptiness, equal times, clashing names, numbers that are none); what is compared is
//! what a client sees.
//!
//! ```text
//! seed ─▶ query ─┬─▶ Loki ──┐
//!                └─▶ Skald ─┴─▶ compare ─▶ difference, made smaller
//! ```

pub mod compare;
pub mod dataset;
pub mod explained;
pub mod expr;
pub mod rewrite;
pub mod run;
pub mod shrink;
mod verify;
