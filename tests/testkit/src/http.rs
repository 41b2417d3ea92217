//! A small HTTP client for one base address.

use std::fmt::Write;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Talks to one server, with headers that every request carries.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    headers: Vec<(String, String)>,
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// Status, headers and body of an answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

// === impl Client ===

impl Client {
    /// `base` such as `http://127.0.0.1:3100`.
    pub fn new(base: impl Into<String>) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.into(), headers: Vec::new(), inner }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same client with one header more.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_tenant(self, tenant: &str) -> Self {
        self.with_header("X-Scope-OrgID", tenant)
    }

    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        let sep = if params.is_empty() { "" } else { "?" };
        self.send(Method::GET, &format!("{path}{sep}{}", form(params)), &[], Bytes::new()).await
    }

    pub async fn post_form(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, path, &headers, form(params).into()).await
    }

    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        self.send(Method::POST, path, headers, body.into()).await
    }

    /// Sends a request; panics when no answer comes.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Sends a request; an error when no answer comes, as from a killed server.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let own = self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        let response = self.inner.request(request).await.map_err(|e| format!("{e:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

// === impl Reply ===

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }

    /// `data.result` of a successful query.
    pub fn result(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// Percent-encodes pairs as a form.
pub fn form(params: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (i, (name, value)) in params.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

fn encode(out: &mut String, text: &str) {
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
}
