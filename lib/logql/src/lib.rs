//! skald-logql: the query language of logs.
//!
//! Requirements: text from anybody is parsed without panics and within fixed limits; what is not
//! supported is an error, never a wrong answer; a line that a line filter refuses costs no
//! allocation; memory is bounded by results and samples, not by the lines looked at.
//!
//! ```text
//! text ─parse─▶ Expr ─compile─▶ Pipeline ──┐
//!                                          ├─▶ Engine ─▶ QueryResult
//! EntrySource (the querier's) ─ entries ───┘
//! ```

pub mod ast;
mod engine;
mod error;
mod lexer;
mod parser;
pub mod pipeline;
pub mod result;
mod selection;
mod source;
mod template;
pub mod units;

pub use crate::ast::Expr;
pub use crate::engine::{Engine, EngineOptions, InstantParams, MAX_STEPS, RangeParams};
pub use crate::error::{ParseError, PipelineError, QueryError};
pub use crate::lexer::{MAX_QUERY_BYTES, MAX_TOKENS};
pub use crate::parser::{check_selector, parse, parse_selector};
pub use crate::pipeline::{FieldTest, FieldTester, Pipeline, Work};
pub use crate::result::{
    MatrixSeries, MergedStream, QueryResult, ResultEntry, ResultStream, Stats, Value, VectorSample,
    merged_streams,
};
pub use crate::selection::Selection;
pub use crate::source::{
    Direction, EarlyTest, EntrySink, EntrySource, Fields, SelectEntries, SourceError, Syntax,
    Tester,
};
