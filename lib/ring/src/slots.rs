//! 16,384 slots, each owned by one partition through rendezvous hashing: adding one of P partitions moves 1/(P+1) of them.

use skald_model::SeriesId;
use xxhash_rust::xxh3::xxh3_64;

pub const N_SLOTS: usize = 1 << 14;
const SLOT_SHIFT: u32 = 64 - 14;

/// Slot → partition id.
#[derive(Debug)]
pub struct SlotTable(Vec<u32>);

impl SlotTable {
    /// Gives each slot to the partition with the highest hash of (slot, partition).
    pub fn build(partitions: &[u32]) -> Self {
        Self((0..1u32 << 14).map(|slot| owner_among(slot, partitions)).collect())
    }

    pub fn owner(&self, tenant_hash: u64, id: SeriesId) -> u32 {
        self.0[slot(tenant_hash, id)]
    }
}

/// The partition with the highest hash of (slot, partition); 0 of none.
fn owner_among(slot: u32, partitions: &[u32]) -> u32 {
    let weight = |p: &u32| {
        let mut key = [0u8; 8];
        key[..4].copy_from_slice(&slot.to_le_bytes());
        key[4..].copy_from_slice(&p.to_le_bytes());
        (xxh3_64(&key), *p)
    };
    partitions.iter().map(weight).max().map_or(0, |(_, p)| p)
}

/// The partition of a shard that owns a series or stream of a tenant.
#[expect(clippy::cast_possible_truncation, reason = "a slot has fourteen bits")]
pub fn owner_of(shard: &[u32], tenant_hash: u64, id: SeriesId) -> u32 {
    owner_among(slot(tenant_hash, id) as u32, shard)
}

/// The `size` partitions with the highest hash of (tenant, partition), sorted. One more partition or a size that differs
/// by one changes at most one of them.
pub fn shard(tenant_hash: u64, partitions: &[u32], size: usize) -> Vec<u32> {
    let weight = |p: &u32| {
        let mut key = [0u8; 12];
        key[..8].copy_from_slice(&tenant_hash.to_le_bytes());
        key[8..].copy_from_slice(&p.to_le_bytes());
        (xxh3_64(&key), *p)
    };
    let mut ranked: Vec<_> = partitions.iter().map(weight).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let mut chosen: Vec<u32> = ranked.into_iter().take(size).map(|(_, p)| p).collect();
    chosen.sort_unstable();
    chosen
}

/// The slot of a series: a hash of tenant and label set.
#[expect(clippy::cast_possible_truncation, reason = "fourteen bits are left; the id is a hash")]
pub fn slot(tenant_hash: u64, id: SeriesId) -> usize {
    let mixed = (id.0 as u64 ^ tenant_hash.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> SLOT_SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_balanced_and_stable() {
        let before = SlotTable::build(&(0..10).collect::<Vec<_>>());
        for p in 0..10 {
            let n = before.0.iter().filter(|o| **o == p).count();
            assert!((1400..1900).contains(&n), "partition {p} owns {n}");
        }
        let after = SlotTable::build(&(0..11).collect::<Vec<_>>());
        let moved = before.0.iter().zip(&after.0).filter(|(a, b)| a != b);
        assert!(moved.clone().all(|(_, b)| *b == 10), "slots move only to the new partition");
        assert!((1200..1800).contains(&moved.count()));
    }

    #[test]
    fn a_tenant_s_shard_changes_as_little_as_it_can() {
        let ten: Vec<u32> = (0..10).collect();
        let eleven: Vec<u32> = (0..11).collect();
        let mut taken = [0; 10];
        for tenant in 0..2_000u64 {
            let three = shard(tenant, &ten, 3);
            assert_eq!(three.len(), 3);
            three.iter().for_each(|p| taken[*p as usize] += 1);
            let four = shard(tenant, &ten, 4);
            assert!(
                three.iter().all(|p| four.contains(p)),
                "a smaller shard is part of a larger one"
            );
            let moved = shard(tenant, &eleven, 3).into_iter().filter(|p| !three.contains(p));
            assert!(moved.clone().all(|p| p == 10) && moved.count() <= 1);
        }
        assert!(taken.iter().all(|n| (500..700).contains(n)), "{taken:?}");
        assert_eq!(shard(1, &ten, 20), ten);
        assert!(shard(1, &[], 3).is_empty());
    }

    #[test]
    fn series_spread_over_slots() {
        let mut hit = vec![false; N_SLOTS];
        for i in 0..200_000u32 {
            let id = SeriesId(xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
            hit[slot(7, id)] = true;
        }
        assert!(hit.iter().filter(|h| **h).count() > N_SLOTS * 99 / 100);
    }
}
