//! An HTTP answer that is not success: status, text, and whether and when to try again.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use skald_model::ErrorKind;
use skald_rpc::RpcError;

use crate::rejects::ids;

/// Why a push was not, or not wholly, accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Stable id, for the metric.
    pub(crate) id: &'static str,
    /// Seconds for `Retry-After`, set at the edge for 429 and 503.
    pub(crate) retry_after_secs: Option<u64>,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(status: StatusCode, id: &'static str, body: String) -> Self {
        Self { status, body, id, retry_after_secs: None }
    }

    /// A request that cannot be read: never acceptable.
    pub(crate) fn malformed(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ids::MALFORMED, format!("{}: {what}", ids::MALFORMED))
    }

    pub(crate) fn too_large(what: impl std::fmt::Display, setting: &str) -> Self {
        let id = ids::BODY_TOO_LARGE;
        let body = format!("{id}: {what} (setting {setting})");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, id, body)
    }

    /// Replicas did not form a quorum.
    pub(crate) fn from_rpc(error: &RpcError) -> Self {
        let id = match error.kind {
            ErrorKind::Invalid | ErrorKind::LimitExceeded => ids::MALFORMED,
            _ => ids::NO_QUORUM,
        };
        let status = skald_rpc::status::of(error.kind).http;
        let body = if error.message.starts_with("err-skald-") {
            error.message.clone()
        } else {
            format!("{id}: {}", error.message)
        };
        Self::new(status, id, body)
    }

    /// Whether the client is asked to come back.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = self.body;
        if !body.ends_with('\n') {
            body.push('\n');
        }
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
