//! Parameters of a request: URL query and form body together, bounded in size and number.

use std::error::Error as _;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Method, header, request::Parts};
use http_body_util::LengthLimitError;

use crate::Error;

/// Most parameters of one request.
const MAX_PARAMS: usize = 2048;

/// Decoded parameters; those of the body come first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

// === impl Params ===

impl Params {
    /// Reads the URL, and the body if it is a form; any other body is returned.
    pub(crate) async fn read(
        parts: &Parts,
        body: Body,
        limit: usize,
    ) -> Result<(Self, Bytes), Error> {
        let mut params = Self::default();
        let mut body = match parts.method {
            Method::POST | Method::PUT => read_body(body, limit).await?,
            _ => Bytes::new(),
        };
        if is_form(parts) {
            params.parse(&std::mem::take(&mut body))?;
        }
        params.parse(parts.uri.query().unwrap_or("").as_bytes())?;
        Ok((params, body))
    }

    /// The first value of `name`, if any and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(value.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Replaces all values of `name`.
    #[cfg(test)]
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.to_owned(), value));
    }

    fn parse(&mut self, form: &[u8]) -> Result<(), Error> {
        for pair in form.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
            if self.0.len() == MAX_PARAMS {
                return Err(Error::Invalid(format!("more than {MAX_PARAMS} parameters")));
            }
            let eq = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let value = pair.get(eq + 1..).unwrap_or_default();
            self.0.push((form_decode(&pair[..eq])?, form_decode(value)?));
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, Error> {
    to_bytes(body, limit).await.map_err(|e| {
        let too_large = e.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
        if too_large { Error::BodyTooLarge { limit } } else { Error::Canceled }
    })
}

fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    content_type.is_some_and(|t| {
        t.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
    })
}

/// Undoes form encoding: `+` is a space, `%XX` a byte.
fn form_decode(text: &[u8]) -> Result<String, Error> {
    decode(text, b' ')
}

/// Undoes the escaping of one segment of a path.
pub(crate) fn path_decode(text: &str) -> Result<String, Error> {
    decode(text.as_bytes(), b'+')
}

fn decode(text: &[u8], plus: u8) -> Result<String, Error> {
    let bad = || Error::Invalid("error parsing form values: invalid URL escape".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'+' => out.push(plus),
            b'%' => {
                let (hex, tail) = rest.split_at_checked(2).ok_or_else(bad)?;
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let (high, low) = digit(hex[0]).zip(digit(hex[1])).ok_or_else(bad)?;
                out.push(high << 4 | low);
                rest = tail;
            }
            b => out.push(b),
        }
    }
    String::from_utf8(out)
        .map_err(|_| Error::Invalid("error parsing form values: not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn read(
        method: Method,
        uri: &str,
        content_type: &str,
        body: &str,
    ) -> Result<Params, Error> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let (parts, body) = request.into_parts();
        Params::read(&parts, body, 100).await.map(|(p, _)| p)
    }

    #[tokio::test]
    async fn url_and_body_are_merged() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let p = read(Method::POST, "/?a=1&m[]=x&e=", form, "a=2+3&m%5B%5D=%7Ba%3D%22%C3%A4%22%7D")
            .await
            .unwrap();
        assert_eq!(p.get("a"), Some("2 3"));
        assert_eq!(p.all("m[]").collect::<Vec<_>>(), ["{a=\"ä\"}", "x"]);
        assert_eq!((p.get("e"), p.get("none")), (None, None));
        let p = read(Method::POST, "/?a=1", "application/json", "a=2").await.unwrap();
        assert_eq!(p.get("a"), Some("1"));
    }

    #[tokio::test]
    async fn refuses_what_is_malformed_or_too_much() {
        let form = "application/x-www-form-urlencoded";
        for bad in ["/?a=%", "/?a=%4", "/?a=%zz", "/?a=%ff"] {
            assert!(
                matches!(read(Method::GET, bad, form, "").await, Err(Error::Invalid(_))),
                "{bad}"
            );
        }
        let long = "a=".to_owned() + &"x".repeat(200);
        let got = read(Method::POST, "/", form, &long).await;
        assert!(matches!(got, Err(Error::BodyTooLarge { limit: 100 })));
        let many = format!("/?{}", "a&".repeat(MAX_PARAMS + 1));
        assert!(matches!(read(Method::GET, &many, form, "").await, Err(Error::Invalid(_))));
    }
}
