//! What a caller may do about an error, and how an error and its causes are printed.

use std::error::Error;
use std::fmt;

/// The coarse kind of an error: all that a caller may decide on.
///
/// `skald_rpc::status` maps each kind to a gRPC code, an HTTP status and "may the client retry?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can never succeed as it is.
    Invalid,
    /// The thing asked for does not exist.
    NotFound,
    /// A concurrent change won; read again and decide anew.
    Conflict,
    /// A per-tenant or process limit was hit; the client may retry later.
    LimitExceeded,
    /// Something this process needs is away; the client should retry.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// The caller went away.
    Cancelled,
    /// Stored data failed its checksum or its format.
    Corrupt,
    /// A bug or an unexpected state of ours.
    Internal,
}

/// Prints an error and its sources as `a: b: c`.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(err) = source {
            write!(f, ": {err}")?;
            source = err.source();
        }
        Ok(())
    }
}
