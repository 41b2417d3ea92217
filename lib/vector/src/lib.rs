//! Instant and range vectors in columns, and everything both query languages do to them.
//!
//! Requirements: pure (no I/O, no clock, no async); one label computation per series, never per
//! step; long loops ask [`Context::check`] so that a query can be stopped; semantics and texts are
//! those of Prometheus 3 unless an option says otherwise.
//!
//! A query is evaluated over a [`Grid`] of steps; every intermediate result is a [`Matrix`]: a set
//! of [`Column`]s, one per output series, each with one slot per step.

pub mod aggregate;
pub mod annotations;
pub mod binary;
pub mod bitmap;
pub mod column;
pub mod context;
pub mod error;
pub mod function;
pub mod grid;
pub mod histogram;
pub mod stat;

pub use crate::aggregate::{AggregateOp, Grouping, Param, aggregate};
pub use crate::annotations::{Annotations, Detail};
pub use crate::binary::{
    BinaryOp, BinaryOptions, Cardinality, DivisionRule, Matching, ScalarSide, scalar_scalar,
    vector_scalar, vector_vector,
};
pub use crate::bitmap::Bitmap;
pub use crate::column::{Column, Matrix, Sample, without_metadata};
pub use crate::context::{CancelFlag, Context, NameRemoval, Seen};
pub use crate::error::VectorError;
pub use crate::grid::Grid;
pub use crate::histogram::FloatHistogram;
