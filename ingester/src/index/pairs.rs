//! Label pairs: each is stored once, with the series that have it.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::hash::Mixer;
use super::{GONE, Ref};

/// All pairs of a head, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    names: Vec<Name>,
    pairs: Vec<Pair>,
    /// Hash of a name → its number; the next free hash when two collide.
    name_lookup: HashMap<u64, u32, Mixer>,
    /// Hash of name number and value → number of the pair; likewise.
    pair_lookup: HashMap<u64, u32, Mixer>,
    value_bytes: usize,
    name_bytes: usize,
    n_postings: usize,
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

/// The series of a pair, ascending. Most values of high-cardinality labels have one.
#[derive(Debug)]
enum Postings {
    One(Ref),
    Many(Vec<Ref>),
}

// === impl Pairs ===

impl Pairs {
    /// Adds `r`, greater than all before, to the pair and answers the pair's number.
    pub(super) fn add(&mut self, name: &str, value: &str, r: Ref) -> u32 {
        let name = self.add_name(name);
        self.n_postings += 1;
        let (found, hash) = self.lookup(name, value);
        if let Some(pair) = found {
            self.pairs[pair as usize].postings.push(r);
            return pair;
        }
        let pair = number(self.pairs.len());
        self.value_bytes += value.len();
        self.pairs.push(Pair { value: value.into(), name, postings: Postings::One(r) });
        self.names[name as usize].pairs.push(pair);
        self.pair_lookup.insert(hash, pair);
        pair
    }

    pub(super) fn find(&self, name: &str, value: &str) -> Option<u32> {
        self.lookup(self.name(name)?, value).0
    }

    /// The number of a name.
    pub(super) fn name(&self, name: &str) -> Option<u32> {
        self.lookup_name(name).0
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

    pub(super) fn postings(&self, pair: u32) -> &[Ref] {
        self.pairs[pair as usize].postings.as_slice()
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
            let kept = pair.postings.remap(series);
            remap.push(if kept { next } else { GONE });
            next += u32::from(kept);
            kept
        });
        self.pairs.shrink_to_fit();
        self.retain_names();
        self.pair_lookup = HashMap::default();
        self.pair_lookup.reserve(self.pairs.len());
        self.value_bytes = self.pairs.iter().map(|p| p.value.len()).sum();
        self.n_postings = self.pairs.iter().map(|p| p.postings.as_slice().len()).sum();
        for i in 0..self.pairs.len() {
            let (_, hash) = self.lookup(self.pairs[i].name, &self.pairs[i].value);
            self.pair_lookup.insert(hash, number(i));
            self.names[self.pairs[i].name as usize].pairs.push(number(i));
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
        self.name_lookup = HashMap::default();
        self.name_bytes = self.names.iter().map(|n| n.text.len()).sum();
        for i in 0..self.names.len() {
            self.names[i].pairs.clear();
            let (_, hash) = self.lookup_name(&self.names[i].text);
            self.name_lookup.insert(hash, number(i));
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        const MALLOC: usize = 16;
        self.pairs.capacity() * size_of::<Pair>()
            + self.pairs.len() * (MALLOC + size_of::<u32>())
            + self.pair_lookup.capacity() * (size_of::<(u64, u32)>() + 1)
            + self.value_bytes
            + self.names.len() * (size_of::<Name>() + MALLOC + size_of::<(u64, u32)>())
            + self.name_bytes
    }

    /// Lists grow by doubling, so a quarter of each is unused on the average.
    pub(super) fn postings_bytes(&self) -> usize {
        self.n_postings * size_of::<Ref>() * 4 / 3
    }

    fn add_name(&mut self, text: &str) -> u32 {
        let (found, hash) = self.lookup_name(text);
        if let Some(name) = found {
            return name;
        }
        let name = number(self.names.len());
        self.name_bytes += text.len();
        self.names.push(Name { text: text.into(), pairs: Vec::new() });
        self.name_lookup.insert(hash, name);
        name
    }

    /// The name's number, or the hash under which it may be entered.
    fn lookup_name(&self, text: &str) -> (Option<u32>, u64) {
        let mut hash = xxh3_64_with_seed(text.as_bytes(), Mixer::multiplier());
        while let Some(&name) = self.name_lookup.get(&hash) {
            if *self.names[name as usize].text == *text {
                return (Some(name), hash);
            }
            hash = hash.wrapping_add(1);
        }
        (None, hash)
    }

    fn lookup(&self, name: u32, value: &str) -> (Option<u32>, u64) {
        let seed = Mixer::multiplier().wrapping_add(u64::from(name));
        let mut hash = xxh3_64_with_seed(value.as_bytes(), seed);
        while let Some(&at) = self.pair_lookup.get(&hash) {
            let pair = &self.pairs[at as usize];
            if pair.name == name && *pair.value == *value {
                return (Some(at), hash);
            }
            hash = hash.wrapping_add(1);
        }
        (None, hash)
    }
}

// === impl Postings ===

impl Postings {
    fn as_slice(&self) -> &[Ref] {
        match self {
            Self::One(r) => std::slice::from_ref(r),
            Self::Many(list) => list,
        }
    }

    fn push(&mut self, r: Ref) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, r]),
            Self::Many(list) => list.push(r),
        }
    }

    /// Renumbers; false when nothing is left.
    fn remap(&mut self, series: &[Ref]) -> bool {
        match self {
            Self::One(r) => {
                *r = series[*r as usize];
                *r != GONE
            }
            Self::Many(list) => {
                list.retain_mut(|r| {
                    *r = series[*r as usize];
                    *r != GONE
                });
                if list.capacity() > 2 * list.len() {
                    list.shrink_to_fit();
                }
                !list.is_empty()
            }
        }
    }
}

/// There are fewer pairs than bytes of labels in memory, and far fewer than 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the memory budget")]
fn number(n: usize) -> u32 {
    n as u32
}
