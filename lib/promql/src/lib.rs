//! PromQL: parse → plan → evaluate over a [`SeriesSource`].
//!
//! Requirements: a query is bounded before it is parsed (bytes, tokens, nesting) and while it runs
//! (samples, points, time); evaluation is columnar, series × steps, and runs off the I/O threads;
//! dropping the future or passing the deadline stops the work; what is not supported is an error,
//! never a wrong answer.
//!
//! ```text
//! text ─lex─▶ tokens ─parse, check─▶ syntax tree ─lower─▶ Expr ─plan─▶ selects ─fetch (async)─▶ series
//!                                                                                      │
//!                                   QueryResult ◀── finish ◀── evaluate (blocking) ◀───┘
//! ```

mod engine;
mod error;
mod eval;
mod exec;
mod expr;
mod lower;
mod parse;
mod plan;
mod result;
mod source;
pub mod syntax;

#[cfg(test)]
mod tests;

pub use skald_vector::{Annotations, FloatHistogram};

pub use crate::engine::{Engine, EngineOptions, QueryOptions};
pub use crate::error::QueryError;
pub use crate::parse::{check_query, parse_selector};
pub use crate::result::{MatrixSeries, QueryResult, SampleValue, Stats, Value, VectorSample};
pub use crate::source::{LabelNeed, Samples, Select, SeriesSet, SeriesSource, SourceError};
