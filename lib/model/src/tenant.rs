//! The identity of a tenant, validated once at the edge; object-store paths are built only from it.

use std::fmt;
use std::sync::Arc;

/// Longest tenant id, in bytes.
pub const MAX_LEN: usize = 150;

/// A valid tenant id: 1–150 bytes of `A-Za-z0-9!-_.*'()`, not `.`, `..` nor starting with `__`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTenant {
    #[error("no org id")]
    Empty,
    #[error("tenant ID is too long: {0} bytes, max 150")]
    TooLong(usize),
    #[error("tenant ID contains unsupported character '{0}'")]
    BadChar(char),
    #[error("tenant ID is '.', '..' or starts with '__'")]
    Reserved,
    #[error("multiple org IDs present")]
    Multiple,
}

// === impl TenantId ===

impl TenantId {
    /// Validates `id`.
    pub fn parse(id: &str) -> Result<Self, InvalidTenant> {
        if id.is_empty() {
            return Err(InvalidTenant::Empty);
        }
        if id.len() > MAX_LEN {
            return Err(InvalidTenant::TooLong(id.len()));
        }
        if id.contains('|') {
            return Err(InvalidTenant::Multiple);
        }
        let ok = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(bad) = id.chars().find(|c| !ok(*c)) {
            return Err(InvalidTenant::BadChar(bad));
        }
        if id == "." || id == ".." || id.starts_with("__") {
            return Err(InvalidTenant::Reserved);
        }
        Ok(Self(Arc::from(id)))
    }

    /// The tenant of every request when authentication is off.
    pub fn single() -> Self {
        Self(Arc::from("default"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A stable hash, part of the sharding key.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_peers_accept() {
        for id in ["a", "team-1", "a.b_c*d'(e)!", &"x".repeat(150)] {
            assert_eq!(TenantId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_ids_that_could_leave_their_path() {
        for id in ["", ".", "..", "../a", "a/b", "a\\b", "%2e", "__m", "a|b", "ä", "a b", "a\0"] {
            assert!(TenantId::parse(id).is_err(), "{id:?}");
        }
        assert_eq!(TenantId::parse(&"x".repeat(151)), Err(InvalidTenant::TooLong(151)));
    }
}
