//! Request and response headers of the push protocols.

use axum::http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::metrics::Protocol;
use crate::refusal::Refusal;
use crate::rejects::ids;

const PROTO_V1: &str = "prometheus.WriteRequest";
const PROTO_V2: &str = "io.prometheus.write.v2.Request";

/// What remote write 2.0 answers in headers, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    None,
    Snappy,
    Gzip,
    Deflate,
    Zstd,
}

// === impl Written ===

impl Written {
    pub(super) fn put(self, headers: &mut HeaderMap) {
        for (name, n) in [
            ("x-prometheus-remote-write-samples-written", self.samples),
            ("x-prometheus-remote-write-histograms-written", self.histograms),
            ("x-prometheus-remote-write-exemplars-written", self.exemplars),
        ] {
            headers.insert(name, HeaderValue::from(n));
        }
    }
}

/// The version of remote write that the content type names; none is version 1.
pub(super) fn version(headers: &HeaderMap) -> Result<Protocol, Refusal> {
    let unsupported = |what: &str, value: &str| {
        let id = ids::UNSUPPORTED;
        let value: String = value.chars().take(100).collect();
        let body = format!("{id}: {what} {value:?} is not supported");
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, id, body)
    };
    let text = text_of(headers, &CONTENT_TYPE);
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if !media.is_empty() && !media.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(unsupported("content type", &text));
    }
    let mut protocol = Protocol::remote_write_v1;
    for parameter in parts.filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !name.trim().eq_ignore_ascii_case("proto") {
            continue;
        }
        protocol = match value.trim().trim_matches('"') {
            PROTO_V1 => Protocol::remote_write_v1,
            PROTO_V2 => Protocol::remote_write_v2,
            _ => return Err(unsupported("content type", &text)),
        };
    }
    Ok(protocol)
}

/// Checks the encoding of a remote write: snappy, which is also what no header means.
pub(super) fn check_write_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoding = text_of(headers, &CONTENT_ENCODING);
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("snappy") {
        return Ok(());
    }
    let id = ids::UNSUPPORTED;
    let body = format!("{id}: content encoding {encoding:.100?} is not supported, use snappy");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, id, body))
}

/// JSON by its content type, everything else is protobuf.
pub(super) fn loki_protocol(headers: &HeaderMap) -> Protocol {
    let text = text_of(headers, &CONTENT_TYPE);
    let media = text.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        Protocol::loki_json
    } else {
        Protocol::loki_protobuf
    }
}

/// The encoding of a Loki push.
pub(super) fn loki_encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    match text_of(headers, &CONTENT_ENCODING).as_str() {
        "" => Ok(Encoding::None),
        "snappy" => Ok(Encoding::Snappy),
        "gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        other => {
            let body = format!("Content-Encoding {other:?} not supported");
            Err(Refusal::new(StatusCode::BAD_REQUEST, ids::UNSUPPORTED, body))
        }
    }
}

/// The form of an OTLP export; none named is protobuf.
pub(super) fn otlp_protocol(headers: &HeaderMap) -> Result<Protocol, Refusal> {
    let text = text_of(headers, &CONTENT_TYPE);
    let media = text.split(';').next().unwrap_or_default().trim();
    match media.to_ascii_lowercase().as_str() {
        "" | "application/x-protobuf" => Ok(Protocol::otlp_protobuf),
        "application/json" => Ok(Protocol::otlp_json),
        _ => Err(unsupported(
            "content type",
            &text,
            "application/x-protobuf and application/json are",
        )),
    }
}

/// The encoding of a push by any protocol but Loki's and remote write.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let text = text_of(headers, &CONTENT_ENCODING).to_ascii_lowercase();
    match text.as_str() {
        "" | "identity" => Ok(Encoding::None),
        "snappy" => Ok(Encoding::Snappy),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(unsupported("content encoding", &text, "gzip, deflate, zstd and snappy are")),
    }
}

fn unsupported(what: &str, value: &str, supported: &str) -> Refusal {
    let id = ids::UNSUPPORTED;
    let value: String = value.chars().take(100).collect();
    let body = format!("{id}: {what} {value:?} is not supported, {supported}");
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, id, body)
}

/// How often the client has tried before.
pub(super) fn retry_attempt(headers: &HeaderMap) -> u32 {
    let text = headers.get("retry-attempt").and_then(|v| v.to_str().ok());
    text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn text_of(headers: &HeaderMap, name: &http::HeaderName) -> String {
    headers
        .get(name)
        .map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(content_type: &str) -> Option<Protocol> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        version(&headers).ok()
    }

    #[test]
    fn content_types_choose_the_version() {
        let v1 = Some(Protocol::remote_write_v1);
        let v2 = Some(Protocol::remote_write_v2);
        assert_eq!(version_of(""), v1);
        assert_eq!(version_of("application/x-protobuf"), v1);
        assert_eq!(version_of("Application/X-Protobuf; charset=utf-8"), v1);
        assert_eq!(version_of("application/x-protobuf;proto=prometheus.WriteRequest"), v1);
        assert_eq!(version_of("application/x-protobuf;proto=io.prometheus.write.v2.Request"), v2);
        assert_eq!(
            version_of("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\""),
            v2
        );
        assert_eq!(version_of("application/x-protobuf;proto=io.prometheus.write.v3.Request"), None);
        assert_eq!(version_of("application/json"), None);
        assert_eq!(version_of("text/plain"), None);
    }
}
