//! The one table from [`ErrorKind`] to gRPC code, HTTP status, and "may the client retry?".

use http::StatusCode;
use skald_model::ErrorKind;
use tonic::{Code, Status};

use crate::RpcError;

/// A kind's place on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub kind: ErrorKind,
    pub grpc: Code,
    pub http: StatusCode,
    pub retry: bool,
}

const TABLE: [Mapping; 9] = [
    row(ErrorKind::Invalid, Code::InvalidArgument, StatusCode::BAD_REQUEST, false),
    row(ErrorKind::NotFound, Code::NotFound, StatusCode::NOT_FOUND, false),
    row(ErrorKind::Conflict, Code::FailedPrecondition, StatusCode::CONFLICT, true),
    row(ErrorKind::LimitExceeded, Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, true),
    row(ErrorKind::Unavailable, Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, true),
    row(ErrorKind::Timeout, Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT, true),
    row(ErrorKind::Cancelled, Code::Cancelled, client_closed(), false),
    row(ErrorKind::Corrupt, Code::DataLoss, StatusCode::INTERNAL_SERVER_ERROR, true),
    row(ErrorKind::Internal, Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, true),
];

const fn row(kind: ErrorKind, grpc: Code, http: StatusCode, retry: bool) -> Mapping {
    Mapping { kind, grpc, http, retry }
}

/// 499, which nginx introduced and all peers use.
const fn client_closed() -> StatusCode {
    match StatusCode::from_u16(499) {
        Ok(code) => code,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

pub fn of(kind: ErrorKind) -> Mapping {
    TABLE.into_iter().find(|m| m.kind == kind).unwrap_or(TABLE[8])
}

/// The number of a kind in `Rejection.kind`.
pub fn kind_number(kind: ErrorKind) -> u32 {
    TABLE.iter().zip(1..).find(|(m, _)| m.kind == kind).map_or(9, |(_, n)| n)
}

/// The kind of a number in `Rejection.kind`.
pub fn kind_of_number(number: u32) -> ErrorKind {
    let row = number.checked_sub(1).and_then(|i| TABLE.get(i as usize));
    row.map_or(ErrorKind::Internal, |m| m.kind)
}

impl From<RpcError> for Status {
    fn from(e: RpcError) -> Self {
        Self::new(of(e.kind).grpc, e.message)
    }
}

impl From<Status> for RpcError {
    fn from(s: Status) -> Self {
        let kind = match s.code() {
            // The transport's own word for a peer that is not there or went away.
            Code::Unknown => ErrorKind::Unavailable,
            code => TABLE.iter().find(|m| m.grpc == code).map_or(ErrorKind::Internal, |m| m.kind),
        };
        Self::new(kind, s.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire() {
        for row in TABLE {
            let back = RpcError::from(Status::from(RpcError::new(row.kind, "x")));
            assert_eq!(back, RpcError::new(row.kind, "x"));
            assert_eq!(kind_of_number(kind_number(row.kind)), row.kind);
        }
        assert_eq!(of(ErrorKind::Cancelled).http.as_u16(), 499);
    }
}
