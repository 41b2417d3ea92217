//! Label pairs: each is stored once, with the series that have it.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::hash::Mixer;
use super::postings::Postings;
use super::{GONE, Ref};

/// All pairs of a head, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    names: Vec<Name>,
    pairs: Vec<Pair>,
    /// Numbers of names, by their texts.
    by_text: HashTable<u32>,
    /// Numbers of pairs, by name and value.
    by_value: HashTable<u32>,
    value_bytes: usize,
    name_bytes: usize,
    postings_bytes: usize,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    pairs: Vec<u32>,
}

#[derive(Debug)]
struct Pair {
    value: Box<str>,
    name: u32,
    postings: Postings,
}

// === impl Pairs ===

impl Pairs {
    /// Adds `r`, greater than all before, to the pair and answers the pair's number.
    pub(super) fn add(&mut self, name: &str, value: &str, r: Ref) -> u32 {
        let name = self.add_name(name);
        let hash = hash_value(name, value);
        if let Some(pair) = self.lookup(hash, name, value) {
            let postings = &mut self.pairs[pair as usize].postings;
            let before = postings.heap_bytes();
            postings.push(r);
            self.postings_bytes += postings.heap_bytes() - before;
            return pair;
        }
        let pair = number(self.pairs.len());
        self.value_bytes += value.len();
        self.pairs.push(Pair { value: value.into(), name, postings: Postings::One(r) });
        self.names[name as usize].pairs.push(pair);
        let pairs = &self.pairs;
        self.by_value.insert_unique(hash, pair, |p| hash_pair(&pairs[*p as usize]));
        pair
    }

    pub(super) fn find(&self, name: &str, value: &str) -> Option<u32> {
        let name = self.name(name)?;
        self.lookup(hash_value(name, value), name, value)
    }

    /// The number of a name.
    pub(super) fn name(&self, name: &str) -> Option<u32> {
        let same = |n: &u32| *self.names[*n as usize].text == *name;
        self.by_text.find(hash_name(name), same).copied()
    }

    /// Name and value.
    pub(super) fn get(&self, pair: u32) -> (&str, &str) {
        let pair = &self.pairs[pair as usize];
        (&self.names[pair.name as usize].text, &pair.value)
    }

    /// The number of the pair's name.
    pub(super) fn name_of(&self, pair: u32) -> u32 {
        self.pairs[pair as usize].name
    }

    pub(super) fn value(&self, pair: u32) -> &str {
        &self.pairs[pair as usize].value
    }

    pub(super) fn postings(&self, pair: u32) -> &Postings {
        &self.pairs[pair as usize].postings
    }

    /// The pairs with this name.
    pub(super) fn of_name(&self, name: u32) -> &[u32] {
        &self.names[name as usize].pairs
    }

    /// Renumbers the series in all postings, drops pairs without any, and answers the new numbers of the pairs.
    pub(super) fn retain(&mut self, series: &[Ref]) -> Vec<u32> {
        let mut next = 0;
        let mut remap = Vec::with_capacity(self.pairs.len());
        self.pairs.retain_mut(|pair| {
            let postings = pair.postings.remap(series);
            let kept = postings.is_some();
            if let Some(postings) = postings {
                pair.postings = postings;
            }
            remap.push(if kept { next } else { GONE });
            next += u32::from(kept);
            kept
        });
        self.pairs.shrink_to_fit();
        self.retain_names();
        self.value_bytes = self.pairs.iter().map(|p| p.value.len()).sum();
        self.postings_bytes = self.pairs.iter().map(|p| p.postings.heap_bytes()).sum();
        self.by_value = HashTable::with_capacity(self.pairs.len());
        for (i, pair) in self.pairs.iter().enumerate() {
            let hash = |p: &u32| hash_pair(&self.pairs[*p as usize]);
            self.by_value.insert_unique(hash_pair(pair), number(i), hash);
            self.names[pair.name as usize].pairs.push(number(i));
        }
        remap
    }

    /// Drops names without pairs and numbers the rest anew.
    fn retain_names(&mut self) {
        let mut used = vec![false; self.names.len()];
        self.pairs.iter().for_each(|p| used[p.name as usize] = true);
        let mut next = 0;
        let mut remap = Vec::with_capacity(used.len());
        for used in &used {
            remap.push(if *used { next } else { GONE });
            next += u32::from(*used);
        }
        super::retain_mapped(&mut self.names, &remap);
        self.pairs.iter_mut().for_each(|p| p.name = remap[p.name as usize]);
        self.name_bytes = self.names.iter().map(|n| n.text.len()).sum();
        self.names.iter_mut().for_each(|name| name.pairs.clear());
        self.by_text = HashTable::with_capacity(self.names.len());
        for (i, name) in self.names.iter().enumerate() {
            let hash = |n: &u32| hash_name(&self.names[*n as usize].text);
            self.by_text.insert_unique(hash_name(&name.text), number(i), hash);
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        const MALLOC: usize = 16;
        self.pairs.capacity() * size_of::<Pair>()
            + self.pairs.len() * (MALLOC + size_of::<u32>())
            + self.by_value.capacity() * (size_of::<u32>() + 1)
            + self.value_bytes
            + self.names.len() * (size_of::<Name>() + MALLOC + size_of::<u32>() + 1)
            + self.name_bytes
    }

    pub(super) fn postings_bytes(&self) -> usize {
        self.postings_bytes
    }

    fn add_name(&mut self, text: &str) -> u32 {
        if let Some(name) = self.name(text) {
            return name;
        }
        let name = number(self.names.len());
        self.name_bytes += text.len();
        self.names.push(Name { text: text.into(), pairs: Vec::new() });
        let names = &self.names;
        let hash = |n: &u32| hash_name(&names[*n as usize].text);
        self.by_text.insert_unique(hash_name(text), name, hash);
        name
    }

    fn lookup(&self, hash: u64, name: u32, value: &str) -> Option<u32> {
        let same = |p: &u32| {
            let pair = &self.pairs[*p as usize];
            pair.name == name && *pair.value == *value
        };
        self.by_value.find(hash, same).copied()
    }
}

fn hash_name(text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), Mixer::multiplier())
}

fn hash_value(name: u32, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), Mixer::multiplier().wrapping_add(u64::from(name)))
}

fn hash_pair(pair: &Pair) -> u64 {
    hash_value(pair.name, &pair.value)
}

/// There are fewer pairs than bytes of labels in memory, and far fewer than 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the memory budget")]
fn number(n: usize) -> u32 {
    n as u32
}
