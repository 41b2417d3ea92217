//! Why a call to etcd failed, and what that allows: ask the next endpoint, ask again, or neither.

use std::error::Error;
use std::fmt;

use skald_model::Chain;
use tonic::{Code, ConnectError, Status};

use crate::store::StoreError;

/// Longest text of others that goes into a message.
const MAX_TEXT: usize = 300;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// `Unknown` where no status was received.
    pub(super) code: Code,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The request did not leave this process.
    Unsent,
    /// No answer, or one that says to try elsewhere or later; a write may have happened.
    Lost,
    /// The answer makes no sense, or no etcd is there.
    Nonsense,
    /// etcd's word; another endpoint would say the same.
    Final,
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(kind: FaultKind, text: impl fmt::Display) -> Self {
        let mut text = text.to_string();
        if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
            text.truncate(end);
        }
        Self { kind, code: Code::Unknown, text }
    }

    /// A failure of ours before anything was sent, as a chain of reasons.
    pub(super) fn unsent(error: &(dyn Error + 'static)) -> Self {
        Self::new(FaultKind::Unsent, Chain(error))
    }

    /// No answer within the time it has.
    pub(super) fn overdue(is_sent: bool) -> Self {
        let kind = if is_sent { FaultKind::Lost } else { FaultKind::Unsent };
        Self::new(kind, "does not answer")
    }

    /// The same, of a call that goes before the one that was meant.
    pub(super) fn before_sending(mut self) -> Self {
        if self.kind == FaultKind::Lost {
            self.kind = FaultKind::Unsent;
        }
        self
    }

    pub(super) fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Whether etcd wants to know anew who asks.
    pub(super) fn is_token_refused(&self) -> bool {
        self.code == Code::Unauthenticated
            || self.says("user name is empty")
            || self.says("revision in header is old")
            || self.says("revision of auth store is old")
    }

    /// The error that a caller of the store sees.
    pub(super) fn at(self, endpoint: &str) -> StoreError {
        let text = format!("{endpoint}: {}", self.text);
        match self.kind {
            FaultKind::Unsent | FaultKind::Lost => StoreError::Unavailable(text),
            FaultKind::Nonsense => StoreError::Corrupt(text),
            FaultKind::Final => StoreError::Refused(text),
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let (kind, code) = (kind_of(&status), status.code());
        match status.source() {
            Some(source) => Self { code, ..Self::new(kind, Chain(source)) },
            None => Self { code, ..Self::new(kind, status.message()) },
        }
    }
}

fn kind_of(status: &Status) -> FaultKind {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return FaultKind::Unsent;
        }
        source = error.source();
    }
    match status.code() {
        // Said by tonic before it sends.
        Code::Unknown if status.message().starts_with("Service was not ready") => FaultKind::Unsent,
        // A follower that was leader a moment ago.
        Code::FailedPrecondition if status.message().contains("not leader") => FaultKind::Lost,
        // Said by the decoder of tonic; etcd's own begin with its name.
        Code::OutOfRange if !status.message().contains("etcdserver") => FaultKind::Nonsense,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unauthenticated => FaultKind::Final,
        Code::Internal | Code::DataLoss | Code::Unimplemented => FaultKind::Nonsense,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unavailable => FaultKind::Lost,
    }
}
