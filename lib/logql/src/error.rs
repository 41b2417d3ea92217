//! What can go wrong with a query: before it runs ([`ParseError`]) and while it runs ([`QueryError`]).

use skald_model::ErrorKind;

use crate::source::SourceError;

/// A query text that is not LogQL, or LogQL that means nothing.
///
/// `line` and `col` start at 1; both are 0 where the fault has no single place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    pub message: String,
    pub line: usize,
    pub col: usize,
}

/// Why a query failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The parameters are refused; the text is the whole message.
    #[error("{0}")]
    Invalid(String),
    /// A line broke the pipeline of a metric query.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A limit was reached; the text names it.
    #[error("{0}")]
    Limit(String),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the query was cancelled")]
    Cancelled,
    #[error("query evaluation failed: {0}")]
    Internal(String),
}

/// A sample of a metric query came from a line with an error label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "pipeline error: '{kind}' for series: '{series}'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"{kind}\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\nThe label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
)]
pub struct PipelineError {
    pub kind: String,
    pub series: String,
}

// === impl ParseError ===

impl ParseError {
    /// A fault of the whole query, without a place.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: 0, col: 0 }
    }

    /// A fault at byte `offset` of `query`.
    pub(crate) fn at(query: &str, offset: usize, message: impl Into<String>) -> Self {
        let upto = query.get(..offset.min(query.len())).unwrap_or(query);
        let line = upto.matches('\n').count() + 1;
        let col = upto.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self { message: message.into(), line, col }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            write!(f, "parse error : {}", self.message)
        } else {
            write!(f, "parse error at line {}, col {}: {}", self.line, self.col, self.message)
        }
    }
}

// === impl QueryError ===

impl QueryError {
    /// What the caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Invalid(_) | Self::Pipeline(_) | Self::Limit(_) => {
                ErrorKind::Invalid
            }
            Self::Source(err) => err.kind,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
