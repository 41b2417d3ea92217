//! What can go wrong with the catalog, in kinds a caller can act on.

use std::sync::Arc;

use object_store::path::Path;
use skald_model::ErrorKind;

/// An error of reading the catalog.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid setting: {0}")]
    Config(String),
    #[error("object store failed for {path}")]
    Store {
        path: String,
        #[source]
        source: Arc<object_store::Error>,
    },
    #[error("object store did not answer in time for {path}")]
    Timeout { path: String },
    /// The object is not what a catalog of ours writes.
    #[error("catalog object {path} is corrupt: {reason}")]
    Corrupt { path: String, reason: String },
    /// The object was written by a newer release.
    #[error("catalog object {path} has version {version}, newer than this release reads")]
    Version { path: String, version: u32 },
    /// A commit that somebody spoke of does not appear.
    #[error("commit {wanted} is not visible, the newest is {have}")]
    NotVisible { wanted: u64, have: u64 },
    /// A commit of garbage collection failed.
    #[error("commit failed")]
    Commit(#[source] Box<CommitError>),
}

/// An error of [`Catalog::commit`](crate::Catalog::commit).
///
/// After `Read` and `Expired` it is not known whether the change was made: a retry with the same added
/// blocks makes it once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A block to remove is not there any more, or one to add was removed: read the view and decide anew.
    #[error("block {block} was changed by somebody else")]
    Conflict { block: String },
    /// A newer incarnation of this replica has committed: this one must exit.
    #[error("epoch {epoch} of replica {replica} is fenced off by epoch {recorded}")]
    Fenced { replica: String, epoch: u64, recorded: u64 },
    /// The change can never be committed.
    #[error("change is refused: {0}")]
    Invalid(String),
    /// It took too long, so that the result cannot be relied on.
    #[error("commit {number} was not decided in time")]
    Expired { number: u64 },
    #[error("manifest log could not be read or written")]
    Read(#[from] Error),
}

// === impl Error ===

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Invalid,
            Self::Store { .. } | Self::NotVisible { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Corrupt { .. } | Self::Version { .. } => ErrorKind::Corrupt,
            Self::Commit(e) => e.kind(),
        }
    }

    pub(crate) fn store(path: &Path, source: object_store::Error) -> Self {
        Self::Store { path: path.to_string(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl ToString) -> Self {
        Self::Corrupt { path: path.to_string(), reason: reason.to_string() }
    }

    /// Whether asking again may help.
    pub(crate) fn is_transient(&self) -> bool {
        use object_store::Error as E;
        match self {
            Self::Timeout { .. } => true,
            Self::Store { source, .. } => !matches!(
                **source,
                E::NotSupported { .. }
                    | E::NotImplemented { .. }
                    | E::PermissionDenied { .. }
                    | E::Unauthenticated { .. }
                    | E::InvalidPath { .. }
                    | E::UnknownConfigurationKey { .. }
            ),
            _ => false,
        }
    }
}

// === impl CommitError ===

impl CommitError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Fenced { .. } => ErrorKind::Internal,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Expired { .. } => ErrorKind::Timeout,
            Self::Read(e) => e.kind(),
        }
    }
}
