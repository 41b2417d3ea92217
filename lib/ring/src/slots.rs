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
        let owner = |slot: u32| {
            let weight = |p: &u32| {
                let mut key = [0u8; 8];
                key[..4].copy_from_slice(&slot.to_le_bytes());
                key[4..].copy_from_slice(&p.to_le_bytes());
                (xxh3_64(&key), *p)
            };
            partitions.iter().map(weight).max().map_or(0, |(_, p)| p)
        };
        Self((0..1u32 << 14).map(owner).collect())
    }

    pub fn owner(&self, tenant_hash: u64, id: SeriesId) -> u32 {
        self.0[slot(tenant_hash, id)]
    }
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
    fn series_spread_over_slots() {
        let mut hit = vec![false; N_SLOTS];
        for i in 0..200_000u32 {
            let id = SeriesId(xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
            hit[slot(7, id)] = true;
        }
        assert!(hit.iter().filter(|h| **h).count() > N_SLOTS * 99 / 100);
    }
}
