//! What can go wrong in an ingester, in kinds a caller can act on.

use skald_codec::chunk::ChunkError;
use skald_model::{Chain, ErrorKind};
use skald_rpc::RpcError;

use crate::config::InvalidConfig;
use crate::head::logs::ReadError;
use crate::parsed::InvalidBatch;

/// An error of opening, flushing or closing an ingester.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid setting")]
    Config(#[from] InvalidConfig),
    #[error("write-ahead log")]
    Wal(#[from] skald_wal::Error),
    #[error("catalog")]
    Catalog(#[from] skald_catalog::Error),
    #[error("commit to the catalog")]
    Commit(#[from] skald_catalog::CommitError),
    #[error("block")]
    Block(#[from] skald_blocks::Error),
    /// A buffer in memory does not decode: a bug.
    #[error("buffer of a series in memory")]
    Buffer(#[from] ChunkError),
    #[error("recent lines")]
    Read(#[from] ReadError),
    #[error("computation was stopped: {0}")]
    Computation(String),
    /// A newer incarnation of this replica has committed.
    #[error("another process has taken over this replica: epoch {recorded} has committed")]
    Fenced { recorded: u64 },
}

// === impl Error ===

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Invalid,
            Self::Wal(e) => e.kind(),
            Self::Catalog(e) => e.kind(),
            Self::Commit(e) => e.kind(),
            Self::Block(e) => e.kind(),
            Self::Read(e) => e.kind(),
            Self::Fenced { .. } => ErrorKind::Unavailable,
            Self::Buffer(_) | Self::Computation(_) => ErrorKind::Internal,
        }
    }
}

impl From<skald_runtime::cpu::Failed> for Error {
    fn from(e: skald_runtime::cpu::Failed) -> Self {
        Self::Computation(e.to_string())
    }
}

impl From<Error> for RpcError {
    fn from(e: Error) -> Self {
        Self::new(e.kind(), Chain(&e).to_string())
    }
}

/// Refuses a batch that does not decode.
pub(crate) fn invalid_batch(e: &InvalidBatch) -> RpcError {
    RpcError::new(e.kind(), format!("err-skald-invalid-batch: {}", Chain(e)))
}
