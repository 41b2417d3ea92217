//! One shard: an open-addressing table that grows up to a bound and then evicts by the clock algorithm.

use skald_model::SeriesId;

use super::Hit;

const MIN_SLOTS: usize = 16;
const USED: u8 = 1;
const TOUCHED: u8 = 2;

/// Forty bytes; ids are kept as halves, for a `u128` would pad them to 48.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    key: [u64; 2],
    id: [u64; 2],
    tag: u32,
    state: u8,
    flags: u8,
}

/// Linear probing, at most three quarters full.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    n_used: usize,
    max_slots: usize,
    hand: usize,
}

// === impl Table ===

impl Table {
    /// At most `max_slots` slots, rounded down to a power of two.
    pub(super) fn new(max_slots: usize) -> Self {
        let max_slots = max_slots.max(MIN_SLOTS);
        let max_slots = 1usize << max_slots.ilog2();
        Self { slots: vec![Slot::default(); MIN_SLOTS], n_used: 0, max_slots, hand: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.n_used
    }

    #[inline]
    pub(super) fn get(&mut self, key: [u64; 2]) -> Option<Hit> {
        let at = self.find(key).ok()?;
        let slot = &mut self.slots[at];
        slot.state = USED | TOUCHED;
        Some(Hit { id: join(slot.id), tag: slot.tag, flags: slot.flags })
    }

    pub(super) fn set_tag(&mut self, key: [u64; 2], tag: u32) {
        if let Ok(at) = self.find(key) {
            self.slots[at].tag = tag;
        }
    }

    /// Adds an entry with tag 0, or replaces the one of the same key.
    pub(super) fn insert(&mut self, key: [u64; 2], id: SeriesId, flags: u8) {
        if self.find(key).is_err() {
            self.make_room();
        }
        let at = match self.find(key) {
            Ok(at) => at,
            Err(at) => {
                self.n_used += 1;
                at
            }
        };
        self.slots[at] = Slot { key, id: split(id), tag: 0, state: USED, flags };
    }

    /// The slot of `key`, or else the free one where it belongs.
    #[inline]
    fn find(&self, key: [u64; 2]) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = home(key, mask);
        loop {
            let slot = &self.slots[at];
            if slot.state == 0 {
                return Err(at);
            }
            if slot.key == key {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn make_room(&mut self) {
        if (self.n_used + 1) * 4 <= self.slots.len() * 3 {
            return;
        }
        if self.slots.len() < self.max_slots {
            self.grow();
        } else {
            self.evict_one();
        }
    }

    fn grow(&mut self) {
        let bigger = vec![Slot::default(); self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, bigger);
        for slot in old.into_iter().filter(|s| s.state != 0) {
            if let Err(at) = self.find(slot.key) {
                self.slots[at] = slot;
            }
        }
        self.hand = 0;
    }

    /// Removes the first entry after the hand that was not read since the hand last passed.
    fn evict_one(&mut self) {
        let mask = self.slots.len() - 1;
        // Two rounds at most: the first clears every mark.
        for _ in 0..2 * self.slots.len() {
            let slot = &mut self.slots[self.hand];
            match slot.state {
                0 => {}
                USED => {
                    self.remove(self.hand);
                    return;
                }
                _ => slot.state = USED,
            }
            self.hand = (self.hand + 1) & mask;
        }
    }

    /// Frees a slot and moves those back that had probed past it.
    fn remove(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut next) = (at, at);
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot.state == 0 {
                break;
            }
            let probed = next.wrapping_sub(home(slot.key, mask)) & mask;
            if probed >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole] = Slot::default();
        self.n_used -= 1;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
fn home(key: [u64; 2], mask: usize) -> usize {
    key[0] as usize & mask
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
fn split(id: SeriesId) -> [u64; 2] {
    [id.0 as u64, (id.0 >> 64) as u64]
}

fn join(halves: [u64; 2]) -> SeriesId {
    SeriesId(u128::from(halves[0]) | (u128::from(halves[1]) << 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_small() {
        assert_eq!(size_of::<Slot>(), 40);
    }

    #[test]
    fn what_is_read_stays_and_what_is_not_goes() {
        let mut table = Table::new(64);
        for n in 0..40u64 {
            table.insert([n, 0], SeriesId(n.into()), 0);
        }
        for round in 0..200u64 {
            for n in 0..8u64 {
                assert!(table.get([n, 0]).is_some(), "round {round}: {n} is in use");
            }
            table.insert([1000 + round, 0], SeriesId(0), 0);
        }
        assert!(table.len() <= 48);
        assert!(table.get([1000, 0]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is found is what was put; below the bound nothing is lost.
        #[test]
        fn behaves_like_a_map(keys in prop::collection::vec((0u64..64, 0u64..3), 0..300), bound in 16usize..200) {
            let mut table = Table::new(bound);
            let mut model: HashMap<[u64; 2], u64> = HashMap::new();
            for (i, (a, b)) in keys.iter().enumerate() {
                // Few distinct homes, so that probes are long and wrap around.
                let key = [a * 7, *b];
                table.insert(key, SeriesId(i as u128), 0);
                model.insert(key, i as u64);
            }
            let mut found = 0;
            for (key, want) in &model {
                if let Some(hit) = table.get(*key) {
                    found += 1;
                    prop_assert_eq!(hit.id, SeriesId(u128::from(*want)));
                }
            }
            prop_assert_eq!(found, table.len());
            if model.len() * 4 <= table.max_slots * 3 {
                prop_assert_eq!(found, model.len());
            }
        }
    }
}
