//! Distinct byte strings, numbered in the order they came.

use xxhash_rust::xxh3::xxh3_64;

/// An open table of byte strings kept in one buffer; emptied and used again.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Number of the entry + 1; 0 is free. A power of two long.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    start: u32,
    end: u32,
}

// === impl Table ===

impl Table {
    pub(super) fn clear(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![0; 256];
        } else if self.slots.len() > 1 << 12 {
            self.slots.truncate(1 << 12);
        }
        self.slots.fill(0);
        self.entries.clear();
        self.text.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, i: usize) -> &[u8] {
        self.entries.get(i).map_or(&[], |e| &self.text[e.start as usize..e.end as usize])
    }

    /// The number of `bytes`, which are added when new and fewer than `max` are there.
    pub(super) fn number(&mut self, bytes: &[u8], max: usize) -> Option<usize> {
        let hash = xxh3_64(bytes);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                i => {
                    let i = i as usize - 1;
                    if self.entries[i].hash == hash && self.get(i) == bytes {
                        return Some(i);
                    }
                }
            }
            at = (at + 1) & mask;
        }
        if self.entries.len() >= max {
            return None;
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        self.entries.push(Entry { hash, start, end: self.text.len() as u32 });
        self.slots[at] = self.entries.len() as u32;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(self.entries.len() - 1)
    }

    fn grow(&mut self) {
        let len = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(len, 0);
        for (i, entry) in self.entries.iter().enumerate() {
            let mut at = entry.hash as usize & (len - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.slots[at] = i as u32 + 1;
        }
    }
}
