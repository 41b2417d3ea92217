//! Remembers which label bytes are which series, so that a known series is not parsed again.
//!
//! The key is a 128-bit xxh3 of the raw label bytes as the client sent them, seeded with a secret of
//! this process, the tenant and the limits that labels are checked against. The bytes themselves are
//! not kept: with them a cache of a million series is 750 MB, without 64 MB, and the lookup touches one
//! cache line instead of seven. What this trusts is what the whole system trusts for `SeriesId`: that
//! 128 bits of a good hash do not collide; a collision that a tenant could construct would need the
//! secret, and would touch only its own series.
//!
//! Invariants: an entry is there only if its labels were valid; `tag` says in which shape of the cluster a quorum of
//! the owning partition acknowledged the labels (0 = in none), and a replica that lost them since asks for them; memory is bounded, the least recently
//! used entries go first (clock).

mod table;

use parking_lot::Mutex;
use skald_model::SeriesId;
use skald_ring::View;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use table::{Slot, Table};

const N_SHARDS: usize = 64;

/// The hash of raw label bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u64; 2]);

/// Which bytes a key is of: equal bytes of different protocols are different keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    WriteV1 = 1,
    WriteV2 = 2,
    LokiLabels = 3,
    LokiJson = 4,
    Pairs = 5,
}

/// The seed of all keys of one tenant in one domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u64);

/// What the cache knows about a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: SeriesId,
    /// When the labels were last acknowledged; see [`tag_of`].
    pub(crate) tag: u32,
    /// Free for the user of the cache.
    pub(crate) flags: u8,
}

/// A bounded map from label bytes to series, of all tenants.
#[derive(Debug)]
pub(crate) struct SeriesCache {
    shards: Vec<Mutex<Table>>,
    secret: u64,
}

/// The tag of a view's shape: never 0.
pub(crate) fn tag_of(view: &View) -> u32 {
    let shape = view.shape();
    let folded = (shape ^ (shape >> 32)) & 0x7fff_ffff;
    u32::try_from(folded).unwrap_or(0) | 0x8000_0000
}

// === impl SeriesCache ===

impl SeriesCache {
    /// At most about `bytes` of memory.
    pub(crate) fn new(bytes: u64, secret: u64) -> Self {
        let per_shard = usize::try_from(bytes).unwrap_or(usize::MAX) / N_SHARDS / size_of::<Slot>();
        Self { shards: (0..N_SHARDS).map(|_| Mutex::new(Table::new(per_shard))).collect(), secret }
    }

    /// The seed of `tenant` whose labels are checked against limits with `fingerprint`.
    pub(crate) fn seed(&self, domain: Domain, tenant: &str, fingerprint: u64) -> Seed {
        let base = self.secret ^ fingerprint.rotate_left(17) ^ ((domain as u64) << 56);
        Seed(xxh3_64_with_seed(tenant.as_bytes(), base))
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<Hit> {
        self.shard(key).lock().get(key.0)
    }

    /// Adds a series whose labels nobody has acknowledged yet.
    pub(crate) fn insert(&self, key: Key, id: SeriesId, flags: u8) {
        self.shard(key).lock().insert(key.0, id, flags);
    }

    /// Notes that a quorum acknowledged the labels of `keys`.
    pub(crate) fn announce(&self, keys: &[Key], tag: u32) {
        for key in keys {
            self.shard(*key).lock().set_tag(key.0, tag);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }

    fn shard(&self, key: Key) -> &Mutex<Table> {
        &self.shards[(key.0[1] >> 58) as usize % N_SHARDS]
    }
}

// === impl Seed ===

impl Seed {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
    pub(crate) fn key(self, raw: &[u8]) -> Key {
        let hash = xxh3_128_with_seed(raw, self.0);
        Key([hash as u64, (hash >> 64) as u64])
    }

    /// The hash of one symbol; a key is then made of the hashes of all.
    #[inline]
    pub(crate) fn symbol(self, raw: &[u8]) -> u128 {
        xxh3_128_with_seed(raw, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> SeriesId {
        SeriesId(n)
    }

    #[test]
    fn an_entry_is_found_by_its_bytes_tenant_and_domain_only() {
        let cache = SeriesCache::new(1 << 20, 42);
        let a = cache.seed(Domain::WriteV1, "a", 0);
        cache.insert(a.key(b"labels"), id(7), 3);
        assert_eq!(cache.get(a.key(b"labels")), Some(Hit { id: id(7), tag: 0, flags: 3 }));
        assert_eq!(cache.get(a.key(b"label")), None);
        for other in [
            cache.seed(Domain::WriteV1, "b", 0),
            cache.seed(Domain::WriteV2, "a", 0),
            cache.seed(Domain::WriteV1, "a", 1),
        ] {
            assert_eq!(cache.get(other.key(b"labels")), None);
        }
    }

    #[test]
    fn announcing_sets_the_tag_of_entries_that_are_there() {
        let cache = SeriesCache::new(1 << 20, 1);
        let seed = cache.seed(Domain::WriteV1, "a", 0);
        let (here, gone) = (seed.key(b"here"), seed.key(b"gone"));
        cache.insert(here, id(1), 0);
        cache.announce(&[here, gone], 9);
        assert_eq!(cache.get(here).unwrap().tag, 9);
        assert_eq!(cache.get(gone), None);
        assert_ne!(tag_of(&View::empty()), 0);
    }

    #[test]
    fn churn_does_not_grow_memory() {
        let cache = SeriesCache::new(1 << 20, 1);
        let seed = cache.seed(Domain::WriteV1, "a", 0);
        for i in 0..200_000u32 {
            cache.insert(seed.key(&i.to_le_bytes()), id(i.into()), 0);
        }
        assert!(cache.len() * size_of::<Slot>() <= 1 << 20);
        assert!(cache.len() > 10_000, "the memory is used: {}", cache.len());
    }
}
