//! Why a query fails.

use skald_model::ErrorKind;
use skald_vector::VectorError;

use crate::SourceError;

/// Texts follow Prometheus; the HTTP layer shows them as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is not a query.
    #[error("{0}")]
    Parse(String),
    /// The query is understood and refused: an unsupported feature, a bad range or step.
    #[error("{0}")]
    Invalid(String),
    /// The data do not go with the query, or there are too many of them.
    #[error("{0}")]
    Execution(String),
    /// More bytes than a query may hold; the text names the limit.
    #[error("{0}")]
    Memory(String),
    #[error("{0}")]
    Timeout(String),
    #[error("query was canceled")]
    Cancelled,
    #[error(transparent)]
    Source(SourceError),
}

impl QueryError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Invalid(_) | Self::Execution(_) => ErrorKind::Invalid,
            Self::Memory(_) => ErrorKind::LimitExceeded,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Source(e) => e.kind,
        }
    }

    pub(crate) fn too_many_samples() -> Self {
        Self::Execution(
            "query processing would load too many samples into memory in query execution"
                .to_owned(),
        )
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        Self::Invalid(format!("unsupported: {what}"))
    }
}

impl From<VectorError> for QueryError {
    fn from(e: VectorError) -> Self {
        match e {
            VectorError::Cancelled => Self::Cancelled,
            other => Self::Execution(other.to_string()),
        }
    }
}
