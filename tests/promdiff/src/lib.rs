//! Random PromQL, asked of Skald and of a real Prometheus over the same data: every difference is a bug, or
//! is explained in `docs/promql-differences.md`.
//!
//! Requirements: a seed names an expression for ever, on every machine; data holds what is hard (resets, gaps,
//! stale markers, NaN, infinities, −0, classic and native histograms, start timestamps left out); what is
//! compared is what a client sees.
//!
//! ```text
//! seed ─▶ expression ─┬─▶ Prometheus ─┐
//!                     └─▶ Skald ──────┴─▶ compare ─▶ difference, made smaller
//! ```

pub mod compare;
pub mod dataset;
pub mod expr;
pub mod run;
