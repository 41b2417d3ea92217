//! What can go wrong with a request, and its status in both APIs.

use http::StatusCode;
use skald_model::ErrorKind;
use skald_rpc::RpcError;

/// Why a request was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is refused.
    #[error("invalid parameter {name:?}: {cause}")]
    Parameter { name: String, cause: String },
    /// The request is refused; the text is the whole message.
    #[error("{0}")]
    Invalid(String),
    /// The authentication layer named no tenant.
    #[error("no org id")]
    NoTenant,
    #[error("request body exceeds {limit} bytes")]
    BodyTooLarge { limit: usize },
    /// The query is right but cannot be evaluated.
    #[error("{0}")]
    Execution(String),
    /// A limit of the tenant was reached while the query ran.
    #[error("{0}")]
    Limit(String),
    /// The tenant's queue is full.
    #[error(
        "too many outstanding requests: {running} running (limit: {max_concurrent}) and {waiting} \
         waiting (limit: {max_waiting}) (err-skald-too-many-outstanding-requests); to adjust, set \
         max_concurrent_queries, max_outstanding_requests_per_tenant or querier.max_concurrent"
    )]
    TooManyRequests { running: usize, max_concurrent: usize, waiting: usize, max_waiting: usize },
    #[error("{0}")]
    Timeout(String),
    #[error("query was canceled")]
    Canceled,
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NotAcceptable(String),
    /// The tenant may not do that.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Internal(String),
}

// === impl Error ===

impl Error {
    pub(crate) fn parameter(name: &str, cause: impl ToString) -> Self {
        Self::Parameter { name: name.to_owned(), cause: cause.to_string() }
    }

    /// An error of another component, with its message.
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        match kind {
            ErrorKind::Invalid => Self::Invalid(message),
            ErrorKind::NotFound => Self::NotFound(message),
            ErrorKind::LimitExceeded => Self::Limit(message),
            ErrorKind::Unavailable | ErrorKind::Conflict => Self::Unavailable(message),
            ErrorKind::Timeout => Self::Timeout(message),
            ErrorKind::Cancelled => Self::Canceled,
            ErrorKind::Corrupt | ErrorKind::Internal => Self::Internal(message),
        }
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parameter { .. }
            | Self::Invalid(_)
            | Self::NoTenant
            | Self::BodyTooLarge { .. }
            | Self::NotAcceptable(_)
            | Self::Forbidden(_)
            | Self::Execution(_) => ErrorKind::Invalid,
            Self::Limit(_) | Self::TooManyRequests { .. } => ErrorKind::LimitExceeded,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Canceled => ErrorKind::Cancelled,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Status and `errorType` of the Prometheus API.
    pub(crate) fn prometheus(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Parameter { .. } | Self::Invalid(_) => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::NoTenant => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "bad_data"),
            Self::Execution(_) | Self::Limit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Timeout(_) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Canceled => (client_closed(), "canceled"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not_acceptable"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The body in the Loki API. Clients know how it speaks of time-outs.
    pub(crate) fn loki_text(&self) -> String {
        match self {
            Self::Timeout(cause) => format!(
                "request timed out, decrease the duration of the request or add more label \
                 matchers (prefer exact match over regex match) to reduce the amount of data \
                 processed ({cause})"
            ),
            other => other.to_string(),
        }
    }

    /// Status in the Loki API, whose body is the bare text.
    pub(crate) fn loki(&self) -> StatusCode {
        match self {
            Self::Execution(_) | Self::Limit(_) => StatusCode::BAD_REQUEST,
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            other => other.prometheus().0,
        }
    }
}

/// 499: the client closed the request.
fn client_closed() -> StatusCode {
    skald_rpc::status::of(ErrorKind::Cancelled).http
}

impl From<RpcError> for Error {
    fn from(e: RpcError) -> Self {
        Self::of_kind(e.kind, e.message)
    }
}
