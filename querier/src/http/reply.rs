//! How an answer or an error leaves: JSON written late, compressed when asked, in each API's form.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::frontend::record::Running;
use crate::http::body::{self, Coder, Coding, Next, PIECE, Pieces, Pump};
use crate::json::Json;
use crate::{Error, Querier};

/// Whose manners a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Prometheus,
    Loki,
}

/// What a handler answers.
pub(crate) enum Answer {
    /// JSON of about `size` bytes, written where there is time for it.
    Json { size: usize, next: Next },
    /// Bytes that are not compressed again.
    Protobuf(Bytes),
    /// Frames of remote read.
    Frames(Next),
    /// A body that is read while it is sent.
    Stream(Streamed),
    /// Nothing but a status.
    Empty(StatusCode),
}

/// Pieces that are made while they are sent.
pub(crate) struct Streamed {
    headers: Headers,
    pieces: Pieces,
    running: Option<Running>,
}

/// How a streamed answer is described.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    pub(crate) content_type: &'static str,
    pub(crate) disposition: &'static str,
    /// Whether it is worth packing.
    pub(crate) may_be_packed: bool,
}

/// Answers larger than this are written on the CPU pool: packing takes ten times as long.
const LARGE: usize = 512 << 10;
const LARGE_PACKED: usize = 64 << 10;

// === impl Answer ===

impl Answer {
    /// Written in one piece.
    pub(crate) fn json(size: usize, write: impl FnOnce(&mut Json) + Send + 'static) -> Self {
        let mut write = Some(write);
        Self::json_pieces(size, move |json| {
            if let Some(write) = write.take() {
                write(json);
            }
            false
        })
    }

    /// Written piece by piece; `write` answers whether there is more.
    pub(crate) fn json_pieces(
        size: usize,
        mut write: impl FnMut(&mut Json) -> bool + Send + 'static,
    ) -> Self {
        let next: Next = Box::new(move |out| {
            let mut json = Json::after(std::mem::take(out));
            let more = write(&mut json);
            *out = json.into_vec();
            Ok(more)
        });
        Self::Json { size, next }
    }
}

// === impl Streamed ===

impl Streamed {
    pub(crate) fn new(headers: Headers, pieces: Pieces) -> Self {
        Self { headers, pieces, running: None }
    }

    /// The request ends when the body does.
    pub(crate) fn until_sent(&mut self, running: Running) {
        self.running = Some(running);
    }

    fn render(self, querier: &Querier, coding: Option<Coding>) -> Response {
        let Self { headers, pieces, running } = self;
        let coding = coding.filter(|_| headers.may_be_packed);
        let kind = [
            (header::CONTENT_TYPE, headers.content_type),
            (header::CONTENT_DISPOSITION, headers.disposition),
        ];
        let (coder, cpu) = (Coder::new(coding), querier.cpu().clone());
        let body = body::of_stream(pieces, coder, cpu, running);
        with_coding((kind, body).into_response(), coding)
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
                (error.loki(), plain, error.loki_text()).into_response()
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

/// The coding that the client likes best: the first of those with the highest `q`; `*` means the
/// first that is not named.
pub(super) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    let items = values.flat_map(|v| v.split(',')).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let q = parts.find_map(|p| p.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        (name, q)
    });
    let (mut best, mut unnamed, mut any) = (None, vec![Coding::Gzip, Coding::Deflate], None);
    for (name, q) in items {
        let better = |best: Option<(f32, Coding)>| q > best.map_or(0.0, |b| b.0);
        if let Some(at) = unnamed.iter().position(|c| name.eq_ignore_ascii_case(c.name())) {
            let coding = unnamed.remove(at);
            best = if better(best) { Some((q, coding)) } else { best };
        } else if name == "*" {
            any = Some(q);
        }
    }
    let rest = any.zip(unnamed.first().copied()).filter(|(q, _)| *q > best.map_or(0.0, |b| b.0));
    rest.or(best).map(|(_, coding)| coding)
}

/// The response, of which the rest is made while it is sent.
pub(super) async fn render(
    querier: &Querier,
    answer: Answer,
    coding: Option<Coding>,
) -> Result<Response, Error> {
    match answer {
        Answer::Json { size, next } => {
            let (body, coding) = stream(querier, size, next, coding).await?;
            let kind = [(header::CONTENT_TYPE, "application/json")];
            Ok(with_coding((kind, body).into_response(), coding))
        }
        Answer::Stream(streamed) => Ok(streamed.render(querier, coding)),
        Answer::Protobuf(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/x-protobuf"),
                (header::CONTENT_ENCODING, "snappy"),
            ];
            Ok((headers, bytes).into_response())
        }
        Answer::Empty(status) => Ok(status.into_response()),
        Answer::Frames(next) => {
            let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
            let (body, _) = stream(querier, usize::MAX, next, None).await?;
            Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
        }
    }
}

fn with_coding(mut response: Response, coding: Option<Coding>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    response
}

/// A body of pieces, packed if it is large enough. The first piece is made at once, so that what
/// fails early still gets its status.
async fn stream(
    querier: &Querier,
    size: usize,
    mut next: Next,
    coding: Option<Coding>,
) -> Result<(Body, Option<Coding>), Error> {
    let above = querier.compress_above();
    let work = move || {
        let mut piece = Vec::with_capacity(size.min(PIECE + PIECE / 4));
        let more = next(&mut piece)?;
        let coding = coding.filter(|_| more || piece.len() > above);
        let mut coder = Coder::new(coding);
        let ready = coder.put(piece, more)?;
        Ok((ready, more.then_some((next, coder)), coding))
    };
    let large = if coding.is_some() { LARGE_PACKED } else { LARGE };
    let done: Result<_, Error> = if size > large {
        querier.cpu().run(work).await.map_err(|e| Error::Internal(e.to_string()))?
    } else {
        work()
    };
    let (ready, rest, coding) = done?;
    let body = match rest {
        None => Body::from(ready),
        Some((next, coder)) => Pump { next, coder, cpu: querier.cpu().clone() }.body(ready),
    };
    Ok((body, coding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_the_client_takes_is_used() {
        let of = |v: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(v));
            accepted(&headers)
        };
        for gzip in ["gzip", "GZIP", "gzip, deflate", "deflate;q=0.4, gzip;q=0.5", "*", "br, *"] {
            assert_eq!(of(gzip), Some(Coding::Gzip), "{gzip}");
        }
        for deflate in ["deflate", "deflate, gzip", "gzip;q=0, deflate", "gzip;q=0.1, deflate"] {
            assert_eq!(of(deflate), Some(Coding::Deflate), "{deflate}");
        }
        for deflate in ["gzip;q=0, *", "*;q=0.5, gzip;q=0.1"] {
            assert_eq!(of(deflate), Some(Coding::Deflate), "{deflate}");
        }
        for none in ["gzip;q=0", "br", "identity", "", "*;q=0", "gzip;q=0, deflate;q=0, *"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
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
