//! Checks the bearer token of each call.

use std::hint::black_box;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::Reason;
use crate::options::Secret;

/// Lets calls through that carry the token, or all when there is none.
#[derive(Clone, Debug)]
pub struct BearerGate(Option<Secret>);

impl BearerGate {
    pub(super) fn new(token: &Secret) -> Self {
        Self((!token.is_empty()).then(|| token.clone()))
    }
}

impl Interceptor for BearerGate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(wanted) = &self.0 else {
            return Ok(request);
        };
        let given = request.metadata().get("authorization").map_or(&[][..], |v| v.as_bytes());
        match given.strip_prefix(b"Bearer ") {
            Some(given) if equal(given, wanted.expose().as_bytes()) => Ok(request),
            _ => Err(Reason::Unauthenticated.into_status("missing or wrong bearer token")),
        }
    }
}

/// Compares in a time that depends on the length of `given` only.
fn equal(given: &[u8], wanted: &[u8]) -> bool {
    let mut differing = u8::from(given.len() != wanted.len());
    for (i, byte) in given.iter().enumerate() {
        let other = wanted.get(i % wanted.len().max(1)).copied().unwrap_or_default();
        differing = black_box(differing | (byte ^ other));
    }
    differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_equal() {
        assert!(equal(b"abc", b"abc"));
        for other in [&b""[..], b"ab", b"abcabc", b"abd", b"ABC"] {
            assert!(!equal(other, b"abc"), "{other:?}");
        }
    }
}
