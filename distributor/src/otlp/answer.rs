//! Answers to OTLP clients: 204, or a `google.rpc.Status` in the form that the request had.
//!
//! The collector repeats 429, 502, 503 and 504 but not 500, so what is 500 elsewhere is 503 here.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use prost::Message;
use skald_proto::public::otlp as pb;

use crate::metrics::Protocol;
use crate::refusal::Refusal;

/// The status codes of gRPC that ours correspond to.
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// The answer to a refused export.
pub(crate) fn refused(protocol: Protocol, refusal: &Refusal) -> Response {
    let status = match refusal.status {
        StatusCode::INTERNAL_SERVER_ERROR => StatusCode::SERVICE_UNAVAILABLE,
        other => other,
    };
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        status if status.is_server_error() => UNAVAILABLE,
        _ => INVALID_ARGUMENT,
    };
    let message = refusal.body.trim_end().to_owned();
    let (media, body) = if protocol == Protocol::otlp_json {
        let body = serde_json::json!({ "code": code, "message": message });
        ("application/json", body.to_string().into_bytes())
    } else {
        ("application/x-protobuf", pb::Status { code, message }.encode_to_vec())
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(secs) = refusal.retry_after_secs {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}
