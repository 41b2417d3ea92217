//! What can go wrong with a block, in kinds a caller can act on.

use std::sync::Arc;

use parquet::errors::ParquetError;
use skald_model::ErrorKind;

/// An error of reading or writing a block.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there.
    #[error("block object {path} does not exist")]
    NotFound { path: String },
    /// The object's bytes are not a block we can read, or not the one the catalog describes.
    #[error("block {path} is corrupt: {reason}")]
    Corrupt { path: String, reason: String },
    /// The block was written by a newer release.
    #[error("block {path} has format version {version}, newer than {supported}")]
    Version { path: String, version: u32, supported: u32 },
    /// Another object is stored under the id of this block.
    #[error("block object {path} already exists with other content")]
    Conflict { path: String },
    /// The object store failed.
    #[error("object store failed for block {path}")]
    Store {
        path: String,
        #[source]
        source: Arc<object_store::Error>,
    },
    /// The rows given to a writer cannot be written.
    #[error("rows cannot be written: {0}")]
    Invalid(String),
    /// Encoding failed, or the runtime is going down.
    #[error("block work failed: {0}")]
    Internal(String),
}

// === impl Error ===

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } | Self::Version { .. } => ErrorKind::Corrupt,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Store { .. } => ErrorKind::Unavailable,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn store(path: &object_store::path::Path, err: object_store::Error) -> Self {
        let path = path.to_string();
        match err {
            object_store::Error::NotFound { .. } => Self::NotFound { path },
            source => Self::Store { path, source: Arc::new(source) },
        }
    }

    pub(crate) fn corrupt(path: &object_store::path::Path, reason: impl ToString) -> Self {
        Self::Corrupt { path: path.to_string(), reason: reason.to_string() }
    }
}

/// While writing: nothing outside is involved, so it is a bug or memory.
impl From<ParquetError> for Error {
    fn from(err: ParquetError) -> Self {
        Self::Internal(err.to_string())
    }
}

impl From<arrow_schema::ArrowError> for Error {
    fn from(err: arrow_schema::ArrowError) -> Self {
        Self::Internal(err.to_string())
    }
}
