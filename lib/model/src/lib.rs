//! The nouns of Skald: tenants, label sets, matchers, samples, histograms, log entries, times, error kinds.
//!
//! Requirements: pure (no I/O, no clock, no runtime), cheap to clone (label sets and lines are
//! reference-counted bytes), and every constructor that takes outside data validates it.

// As the bodies of the fuzzer's targets, which are tests too, call it.
#[cfg(test)]
extern crate self as skald_model;

pub mod calendar;
pub mod error;
pub mod histogram;
pub mod labels;
pub mod log;
pub mod matcher;
pub mod quote;
pub mod regex;
pub mod series;
pub mod tenant;
pub mod time;

pub use crate::error::{Chain, ErrorKind};
pub use crate::histogram::{BucketCounts, Histogram, ResetHint, Span};
pub use crate::labels::{Labels, LabelsBuilder, SeriesId};
pub use crate::log::{LogEntry, StreamEntries};
pub use crate::matcher::{MatchOp, Matcher};
pub use crate::series::{Exemplar, MetricMetadata, Series, is_stale, stale_nan};
pub use crate::tenant::TenantId;
pub use crate::time::{Narrowing, TimeRange};

/// The two kinds of data a tenant has. They never share a block, a series index or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Metrics,
    Logs,
}

impl Signal {
    /// The word used in paths, metrics labels and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}
