//! Which entries there are, and which go first: the least recently used.

use std::collections::{BTreeMap, HashMap};

use super::Bounds;

/// What a file system gives at least.
const PAGE: u64 = 4096;
/// Ages of entries from before the start lie below.
const NOW: u64 = 1 << 40;

/// Bounded in bytes and in files.
#[derive(Debug)]
pub(super) struct Index {
    bounds: Bounds,
    entries: HashMap<u128, Slot>,
    by_age: BTreeMap<u64, u128>,
    clock: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// On disk.
    bytes: u64,
    used: u64,
}

// === impl Index ===

impl Index {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: HashMap::new(), by_age: BTreeMap::new(), clock: NOW, bytes: 0 }
    }

    pub(super) fn has(&self, hash: u128) -> bool {
        self.entries.contains_key(&hash)
    }

    /// Bytes and files.
    pub(super) fn held(&self) -> (u64, usize) {
        (self.bytes, self.entries.len())
    }

    /// An entry of `size` bytes was written or read; answers those that must go.
    pub(super) fn used(&mut self, hash: u128, size: u64) -> Vec<u128> {
        self.remove(hash);
        self.clock += 1;
        self.add(hash, size, self.clock);
        self.too_many()
    }

    /// Adds entries from before, the oldest first; answers those that must go.
    pub(super) fn add_old(&mut self, entries: Vec<(u128, u64)>) -> Vec<u128> {
        for (age, (hash, size)) in (0..NOW).zip(entries) {
            if !self.has(hash) {
                self.add(hash, size, age);
            }
        }
        self.too_many()
    }

    pub(super) fn remove(&mut self, hash: u128) {
        if let Some(slot) = self.entries.remove(&hash) {
            self.by_age.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }

    fn add(&mut self, hash: u128, size: u64, age: u64) {
        let bytes = size.div_ceil(PAGE).saturating_mul(PAGE);
        self.entries.insert(hash, Slot { bytes, used: age });
        self.by_age.insert(age, hash);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn too_many(&mut self) -> Vec<u128> {
        let mut out = Vec::new();
        while (self.bytes > self.bounds.bytes || self.entries.len() > self.bounds.files)
            && let Some((_, hash)) = self.by_age.pop_first()
        {
            self.remove(hash);
            out.push(hash);
        }
        out
    }
}
