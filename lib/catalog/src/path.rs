//! Where the objects of a tenant are. The only place that knows.
//!
//! ```text
//! t/<tenant>/m/<20 digits n>.pb           commit n
//! t/<tenant>/m/ckpt-<20 digits n>.pb      everything after commit n
//! t/<tenant>/m/hint                       newest checkpoint, advisory
//! t/<tenant>/m/boundary/<20 digits n>     commits up to n may be deleted; the largest one counts
//! t/<tenant>/b/<block>/...                objects of a block
//! ```

use object_store::path::Path;
use skald_model::TenantId;

/// The directory of all tenants.
pub(crate) fn tenants() -> Path {
    Path::from("t")
}

pub(crate) fn manifest(tenant: &TenantId) -> Path {
    at(tenant, "m")
}

pub(crate) fn commit(tenant: &TenantId, number: u64) -> Path {
    at(tenant, &format!("m/{number:020}.pb"))
}

pub(crate) fn checkpoint(tenant: &TenantId, number: u64) -> Path {
    at(tenant, &format!("m/ckpt-{number:020}.pb"))
}

/// Before all checkpoints and behind all commits in byte order.
pub(crate) fn before_checkpoints(tenant: &TenantId) -> Path {
    at(tenant, "m/ckpt-")
}

pub(crate) fn hint(tenant: &TenantId) -> Path {
    at(tenant, "m/hint")
}

pub(crate) fn boundaries(tenant: &TenantId) -> Path {
    at(tenant, "m/boundary")
}

pub(crate) fn boundary(tenant: &TenantId, number: u64) -> Path {
    at(tenant, &format!("m/boundary/{number:020}"))
}

pub(crate) fn blocks(tenant: &TenantId) -> Path {
    at(tenant, "b")
}

pub(crate) fn block(tenant: &TenantId, id: &str) -> Path {
    at(tenant, &format!("b/{id}"))
}

fn at(tenant: &TenantId, rest: &str) -> Path {
    Path::from(format!("t/{}/{rest}", tenant.as_str()))
}

/// What an object in the directory of the manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit(u64),
    Checkpoint(u64),
    Boundary(u64),
    Other,
}

pub(crate) fn classify(tenant: &TenantId, path: &Path) -> Kind {
    let Some(parts) = path.prefix_match(&manifest(tenant)) else {
        return Kind::Other;
    };
    let names: Vec<_> = parts.collect();
    match &names[..] {
        [name] => {
            let name = name.as_ref();
            let body = name.strip_suffix(".pb").unwrap_or_default();
            match body.strip_prefix("ckpt-") {
                Some(digits) => parse(digits).map_or(Kind::Other, Kind::Checkpoint),
                None => parse(body).map_or(Kind::Other, Kind::Commit),
            }
        }
        [dir, name] if dir.as_ref() == "boundary" => {
            parse(name.as_ref()).map_or(Kind::Other, Kind::Boundary)
        }
        _ => Kind::Other,
    }
}

/// The block that an object belongs to.
pub(crate) fn block_of(tenant: &TenantId, path: &Path) -> Option<String> {
    let id = path.prefix_match(&blocks(tenant))?.next()?;
    is_block_id(id.as_ref()).then(|| id.as_ref().to_owned())
}

/// The tenant whose directory this is.
pub(crate) fn tenant_of(dir: &Path) -> Option<TenantId> {
    // Of the characters that tenants may have, `*` is the one that paths escape.
    let name = dir.filename()?.replace("%2A", "*");
    TenantId::parse(&name).ok()
}

/// Ids become parts of paths of objects that are deleted: nothing but letters, digits, `-` and `_`.
pub(crate) fn is_block_id(id: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=64).contains(&id.len()) && id.bytes().all(ok)
}

fn parse(digits: &str) -> Option<u64> {
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_recognised_again() {
        for id in ["a", "a*b", "x.y'(z)!"] {
            let t = TenantId::parse(id).unwrap();
            assert_eq!(classify(&t, &commit(&t, 7)), Kind::Commit(7));
            assert_eq!(classify(&t, &checkpoint(&t, 100)), Kind::Checkpoint(100));
            assert_eq!(classify(&t, &boundary(&t, 3)), Kind::Boundary(3));
            assert_eq!(classify(&t, &hint(&t)), Kind::Other);
            assert!(commit(&t, u64::MAX) < before_checkpoints(&t));
            assert!(boundary(&t, 9) < before_checkpoints(&t));
            assert!(before_checkpoints(&t) < checkpoint(&t, 0));
            assert_eq!(block_of(&t, &Path::from(format!("t/{id}/b/B1/x"))).unwrap(), "B1");
            assert_eq!(tenant_of(&Path::from(format!("t/{id}"))), Some(t));
        }
    }

    #[test]
    fn ids_that_leave_their_directory_are_not_ids() {
        for id in ["", ".", "..", "a/b", "a.b", "%2e", &"x".repeat(65)] {
            assert!(!is_block_id(id), "{id}");
        }
        assert!(is_block_id("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    }
}
