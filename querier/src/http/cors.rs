//! Lets scripts of any page in a browser use the API, as Prometheus does unless told otherwise.
//!
//! Nothing is given away by it: a browser sends no header that names a tenant unless the page knows
//! it, and credentials are never allowed along.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, StatusCode};

const HEADERS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Accept, Authorization, Content-Type, Origin, X-Scope-OrgID",
    ),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
];

/// Middleware: answers `OPTIONS` itself, and marks answers to requests of other origins.
pub(crate) async fn allow(request: Request, next: Next) -> Response {
    let is_cross = request.headers().contains_key(header::ORIGIN);
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if is_cross {
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
