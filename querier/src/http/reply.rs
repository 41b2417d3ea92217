//! How an answer or an error leaves: JSON written late, compressed when asked, in each API's form.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::json::Json;
use crate::{Error, Querier};

/// Whose manners a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Prometheus,
    Loki,
}

type Write = Box<dyn FnOnce(&mut Json) + Send>;

/// What a handler answers.
pub(crate) enum Answer {
    /// JSON of about `size` bytes, written where there is time for it.
    Json { size: usize, write: Write },
    /// Bytes that are not compressed again.
    Protobuf(Bytes),
}

/// Answers larger than this are written on the CPU pool.
const LARGE: usize = 64 << 10;

// === impl Answer ===

impl Answer {
    pub(crate) fn json(size: usize, write: impl FnOnce(&mut Json) + Send + 'static) -> Self {
        Self::Json { size, write: Box::new(write) }
    }
}

// === impl Api ===

impl Api {
    /// An error in this API's form.
    pub(crate) fn error(self, error: &Error) -> Response {
        let response = match self {
            Self::Prometheus => {
                let (status, kind) = error.prometheus();
                let mut json = Json::default();
                json.raw(r#"{"status":"error","errorType":"#).string(kind);
                json.raw(r#","error":"#).string(&error.to_string()).raw("}");
                (status, [(header::CONTENT_TYPE, "application/json")], json.into_bytes())
                    .into_response()
            }
            Self::Loki => {
                let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
                (error.loki(), plain, error.to_string()).into_response()
            }
        };
        with_retry_after(response)
    }
}

/// Tells clients of a full queue when to come back.
fn with_retry_after(mut response: Response) -> Response {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if busy.contains(&response.status()) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Whether the client takes gzip: named without `q=0`, or covered by `*`.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|n| n.eq_ignore_ascii_case("gzip") || n == "*");
        let refused = parts.any(|p| {
            p.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

pub(super) async fn render(
    querier: &Querier,
    answer: Answer,
    gzip: bool,
) -> Result<Response, Error> {
    let (size, write) = match answer {
        Answer::Json { size, write } => (size, write),
        Answer::Protobuf(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/x-protobuf"),
                (header::CONTENT_ENCODING, "snappy"),
            ];
            return Ok((headers, bytes).into_response());
        }
    };
    let above = querier.compress_above();
    let work = move || {
        let mut json = Json::with_capacity(size);
        write(&mut json);
        let zipped = (gzip && json.len() > above).then(|| zip(&json)).flatten();
        zipped.map_or_else(|| (json.into_bytes(), false), |z| (z, true))
    };
    let (body, zipped) = if size > LARGE {
        querier.cpu().run(work).await.map_err(|e| Error::Internal(e.to_string()))?
    } else {
        work()
    };
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if zipped {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(response)
}

fn zip(json: &Json) -> Option<Bytes> {
    use std::io::Write;

    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 4), Compression::fast());
    encoder.write_all(json.as_slice()).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_wanted() {
        let accepts = |v: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(v));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("deflate, gzip;q=0.5") && accepts("*"));
        assert!(!accepts("gzip;q=0") && !accepts("br") && !accepts("identity"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn each_api_has_its_own_error_form() {
        let error = Error::parameter("time", "cannot parse \"x\" to a valid timestamp");
        let p = Api::Prometheus.error(&error);
        assert_eq!(p.status(), 400);
        assert_eq!(p.headers()[header::CONTENT_TYPE], "application/json");
        let l = Api::Loki.error(&Error::Limit("x".into()));
        assert_eq!(l.status(), 400);
        assert_eq!(l.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        let busy = Api::Loki.error(&Error::TooManyRequests {
            running: 1,
            max_concurrent: 1,
            waiting: 1,
            max_waiting: 1,
        });
        assert_eq!(
            (busy.status().as_u16(), &busy.headers()[header::RETRY_AFTER]),
            (429, &HeaderValue::from_static("1"))
        );
    }
}
