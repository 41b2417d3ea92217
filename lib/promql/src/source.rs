//! Where the engine gets its series from. The querier implements [`SeriesSource`].

use std::fmt::Debug;

use async_trait::async_trait;
use skald_model::{ErrorKind, Matcher, Series, TimeRange};

/// What one [`SeriesSource::select`] asks for.
#[derive(Clone, Debug)]
pub struct Select {
    pub matchers: Vec<Matcher>,
    /// Milliseconds, half-open.
    pub range: TimeRange,
    /// The distance of evaluation steps; 0 for an instant query. A hint.
    pub step_ms: i64,
    /// The function directly around the selector. A hint.
    pub func: Option<String>,
}

/// A source could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    pub kind: ErrorKind,
    pub message: String,
}

/// Series of one tenant.
#[async_trait]
pub trait SeriesSource: Send + Sync + Debug {
    /// All samples within the range of all series that match.
    ///
    /// Series come in any order and each at most once; samples are sorted by time without
    /// duplicates, stale markers are left as they are. Cancel-safe.
    async fn select(&self, req: &Select) -> Result<Vec<Series>, SourceError>;
}
