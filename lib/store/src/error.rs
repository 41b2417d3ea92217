//! The closed set of reasons of `skald.storage.v1`, and how they and `object_store::Error` map to each other.
//!
//! A failing call answers a gRPC code plus the reason in the metadata key `skald-reason`. Reasons that
//! `object_store::Error` has no variant for (quota, throttled, corrupt) travel inside its `Generic`
//! as a [`ReasonError`], so that a chain of plugins keeps them.

use std::error::Error as StdError;

use object_store::Error;
use object_store::path::Error as PathError;
use skald_model::ErrorKind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata key of the reason.
pub const REASON_KEY: &str = "skald-reason";

const STORE: &str = "skald.storage.v1";

/// Why a storage call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    NotFound,
    AlreadyExists,
    PreconditionFailed,
    NotModified,
    Unsupported,
    PermissionDenied,
    Unauthenticated,
    /// Out of space or over an object size limit: an operator must act.
    Quota,
    /// Nothing was done; the same call may succeed later.
    Throttled,
    /// Bytes do not match their checksum or length.
    Corrupt,
    InvalidKey,
}

/// Every reason with its word on the wire and its gRPC code.
const TABLE: [(Reason, &str, Code); 11] = [
    (Reason::NotFound, "NOT_FOUND", Code::NotFound),
    (Reason::AlreadyExists, "ALREADY_EXISTS", Code::AlreadyExists),
    (Reason::PreconditionFailed, "PRECONDITION_FAILED", Code::FailedPrecondition),
    (Reason::NotModified, "NOT_MODIFIED", Code::FailedPrecondition),
    (Reason::Unsupported, "UNSUPPORTED", Code::Unimplemented),
    (Reason::PermissionDenied, "PERMISSION_DENIED", Code::PermissionDenied),
    (Reason::Unauthenticated, "UNAUTHENTICATED", Code::Unauthenticated),
    (Reason::Quota, "QUOTA", Code::ResourceExhausted),
    (Reason::Throttled, "THROTTLED", Code::Unavailable),
    (Reason::Corrupt, "CORRUPT", Code::DataLoss),
    (Reason::InvalidKey, "INVALID_KEY", Code::InvalidArgument),
];

/// A reason with its explanation: the source inside the `object_store::Error` that [`Reason::into_error`] makes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct ReasonError {
    pub reason: Reason,
    pub message: String,
}

// === impl Reason ===

impl Reason {
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(reason, ..)| *reason)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        TABLE.iter().find(|(r, ..)| *r == self).map_or("", |(_, word, _)| word)
    }

    pub fn parse(word: &str) -> Option<Self> {
        TABLE.iter().find(|(_, w, _)| *w == word).map(|(r, ..)| *r)
    }

    /// The gRPC code that goes with it.
    pub fn code(self) -> Code {
        TABLE.iter().find(|(r, ..)| *r == self).map_or(Code::Unknown, |(.., code)| *code)
    }

    /// The reason of a code that came without one, where the code alone says it.
    fn from_code(code: Code) -> Option<Self> {
        match code {
            Code::NotFound => Some(Self::NotFound),
            Code::AlreadyExists => Some(Self::AlreadyExists),
            Code::Unimplemented => Some(Self::Unsupported),
            Code::PermissionDenied => Some(Self::PermissionDenied),
            Code::Unauthenticated => Some(Self::Unauthenticated),
            Code::ResourceExhausted => Some(Self::Quota),
            Code::DataLoss => Some(Self::Corrupt),
            _ => None,
        }
    }

    /// May the same call, when it is idempotent, be sent again?
    pub fn is_retryable(self) -> bool {
        self == Self::Throttled
    }

    /// The reason behind an error, if it is one of the closed set.
    pub fn of(err: &Error) -> Option<Self> {
        match err {
            Error::NotFound { .. } => Some(Self::NotFound),
            Error::AlreadyExists { .. } => Some(Self::AlreadyExists),
            Error::Precondition { .. } => Some(Self::PreconditionFailed),
            Error::NotModified { .. } => Some(Self::NotModified),
            Error::NotSupported { .. } | Error::NotImplemented { .. } => Some(Self::Unsupported),
            Error::PermissionDenied { .. } => Some(Self::PermissionDenied),
            Error::Unauthenticated { .. } => Some(Self::Unauthenticated),
            Error::InvalidPath { .. } => Some(Self::InvalidKey),
            other => source_in_chain::<ReasonError>(other).map(|found| found.reason),
        }
    }

    /// The `object_store` error that says this about `key`.
    pub fn into_error(self, key: &str, message: impl Into<String>) -> Error {
        let path = key.to_owned();
        let source = Box::new(ReasonError { reason: self, message: message.into() });
        match self {
            Self::NotFound => Error::NotFound { path, source },
            Self::AlreadyExists => Error::AlreadyExists { path, source },
            Self::PreconditionFailed => Error::Precondition { path, source },
            Self::NotModified => Error::NotModified { path, source },
            Self::Unsupported => Error::NotSupported { source },
            Self::PermissionDenied => Error::PermissionDenied { path, source },
            Self::Unauthenticated => Error::Unauthenticated { path, source },
            Self::InvalidKey => {
                Error::InvalidPath { source: PathError::InvalidPath { path: path.into() } }
            }
            Self::Quota | Self::Throttled | Self::Corrupt => {
                Error::Generic { store: STORE, source }
            }
        }
    }

    /// The gRPC status that says this.
    pub fn into_status(self, message: impl Into<String>) -> Status {
        let mut status = Status::new(self.code(), message);
        status.metadata_mut().insert(REASON_KEY, MetadataValue::from_static(self.as_str()));
        status
    }
}

// === mapping ===

/// The status that tells a client of `err`.
pub fn to_status(err: &Error) -> Status {
    match Reason::of(err) {
        Some(reason) => reason.into_status(own_message(err)),
        None if source_in_chain::<TimedOut>(err).is_some() => {
            Status::deadline_exceeded(err.to_string())
        }
        None => Status::internal(err.to_string()),
    }
}

/// The error that a client makes of a status about `key`.
pub fn from_status(status: &Status, key: &str) -> Error {
    let named = status.metadata().get(REASON_KEY).and_then(|v| v.to_str().ok());
    match named.and_then(Reason::parse).or_else(|| Reason::from_code(status.code())) {
        Some(reason) => reason.into_error(key, status.message()),
        // A server that enforces the caller's deadline answers CANCELLED; nothing else of ours cancels.
        None if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            timed_out(status.message())
        }
        None => Error::Generic { store: STORE, source: Box::new(status.clone()) },
    }
}

/// May a call that failed like this be sent again when it is idempotent? A plugin that is away counts as retryable.
pub fn is_retryable(status: &Status) -> bool {
    let named = status.metadata().get(REASON_KEY).and_then(|v| v.to_str().ok());
    match named {
        Some(word) => Reason::parse(word).is_some_and(Reason::is_retryable),
        None => status.code() == Code::Unavailable,
    }
}

/// What a caller may do about a storage error.
pub fn kind(err: &Error) -> ErrorKind {
    match Reason::of(err) {
        Some(Reason::NotFound) => ErrorKind::NotFound,
        Some(Reason::AlreadyExists | Reason::PreconditionFailed | Reason::NotModified) => {
            ErrorKind::Conflict
        }
        Some(Reason::Corrupt) => ErrorKind::Corrupt,
        Some(Reason::InvalidKey) => ErrorKind::Invalid,
        Some(
            Reason::Unsupported
            | Reason::PermissionDenied
            | Reason::Unauthenticated
            | Reason::Quota
            | Reason::Throttled,
        ) => ErrorKind::Unavailable,
        None if source_in_chain::<TimedOut>(err).is_some() => ErrorKind::Timeout,
        None => ErrorKind::Unavailable,
    }
}

/// A deadline of ours passed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("deadline passed: {0}")]
struct TimedOut(String);

pub(crate) fn timed_out(what: impl Into<String>) -> Error {
    Error::Generic { store: STORE, source: Box::new(TimedOut(what.into())) }
}

pub(crate) fn corrupt(key: &str, message: impl Into<String>) -> Error {
    Reason::Corrupt.into_error(key, message)
}

/// A failure outside the closed set.
pub(crate) fn other(message: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: STORE, source: message.into() }
}

/// The message without the words that the receiving side puts around it again.
fn own_message(err: &Error) -> String {
    source_in_chain::<ReasonError>(err)
        .map_or_else(|| err.to_string(), |found| found.message.clone())
}

fn source_in_chain<T: StdError + 'static>(err: &Error) -> Option<&T> {
    let mut next = err.source();
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref::<T>() {
            return Some(found);
        }
        next = source.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire_in_both_directions() {
        for reason in Reason::all() {
            let err = reason.into_error("k", "why");
            assert_eq!(Reason::of(&err), Some(reason));
            let status = to_status(&err);
            assert_eq!(status.code(), reason.code());
            let back = from_status(&status, "k");
            assert_eq!(Reason::of(&back), Some(reason));
            assert_eq!(std::mem::discriminant(&back), std::mem::discriminant(&err));
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            // A second hop changes nothing.
            assert_eq!(to_status(&back).message(), status.message());
        }
    }

    #[test]
    fn only_throttling_and_absence_are_retried() {
        for reason in Reason::all() {
            assert_eq!(is_retryable(&reason.into_status("")), reason == Reason::Throttled);
        }
        assert!(is_retryable(&Status::unavailable("connection refused")));
        assert!(!is_retryable(&Status::internal("x")));
    }

    #[test]
    fn a_passed_deadline_is_a_timeout_on_both_sides() {
        let status = to_status(&timed_out("put"));
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(kind(&from_status(&status, "k")), ErrorKind::Timeout);
    }
}
