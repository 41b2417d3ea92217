//! Which series (or streams) a head holds, and which of them match: ids, labels and postings.
//!
//! A label pair is stored once and numbered; a series is a list of pair numbers; a pair knows the
//! series that have it. Series are numbered densely from 0, and these numbers ([`Ref`]) index the
//! parallel columns of the heads.
//!
//! Invariants: a `Ref` means the same series until [`Index::retain`], which runs only while no
//! snapshot of the head is outstanding; postings are ascending.

mod hash;
mod list;
mod lists;
mod pairs;
mod postings;
mod select;
#[cfg(test)]
mod tests;
mod varint;

use std::hash::BuildHasher;

use hashbrown::HashTable;
use skald_model::labels::put_str;
use skald_model::{Labels, LabelsBuilder, SeriesId};

use self::hash::Mixer;
use self::lists::PairLists;
use self::pairs::Pairs;
use crate::head::Ageing;

/// The number of a series within one head.
pub(crate) type Ref = u32;

/// Marks a series that [`Index::retain`] dropped.
pub(crate) const GONE: Ref = Ref::MAX;

/// Most series of one head: postings keep twice a number in 32 bits.
const MAX_SERIES: usize = 1 << 31;

/// A series id in words, which need no padding.
type Key = [u32; 4];

/// The series of one head.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pairs: Pairs,
    /// By `Ref`: the numbers of its pairs.
    lists: PairLists,
    /// By `Ref`.
    series: Vec<Series>,
    /// The series by their ids.
    refs: HashTable<Ref>,
    mixer: Mixer,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    id: Key,
    /// The generation of the head in which the labels were last written to the WAL.
    logged: u32,
    /// Cuts in a row that found nothing new.
    idle: u32,
}

// === impl Index ===

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    #[inline]
    pub(crate) fn find(&self, id: SeriesId) -> Option<Ref> {
        let key = key(id);
        let same = |r: &Ref| self.series[*r as usize].id == key;
        self.refs.find(self.mixer.hash_one(key), same).copied()
    }

    /// Adds a series that is not there yet. `None` when there are 2^31.
    pub(crate) fn insert(&mut self, id: SeriesId, labels: &Labels, logged: u32) -> Option<Ref> {
        let r = Ref::try_from(self.series.len()).ok().filter(|_| self.len() < MAX_SERIES)?;
        self.lists.push(labels.iter().map(|(name, value)| self.pairs.add(name, value, r)));
        let (key, mixer) = (key(id), self.mixer);
        self.series.push(Series { id: key, logged, idle: 0 });
        let hash = |r: &Ref| mixer.hash_one(self.series[*r as usize].id);
        self.refs.insert_unique(mixer.hash_one(key), r, hash);
        Some(r)
    }

    /// The id of a series.
    pub(crate) fn id(&self, r: Ref) -> SeriesId {
        let [a, b, c, d] = self.series[r as usize].id.map(u128::from);
        SeriesId(a | b << 32 | c << 64 | d << 96)
    }

    /// The canonical labels of a series.
    pub(crate) fn labels(&self, r: Ref) -> Labels {
        let pairs = self.lists.of(r).map(|p| self.pairs.get(p));
        // The pairs came out of a canonical set.
        LabelsBuilder::from_sorted(pairs).unwrap_or_default()
    }

    /// The numbers of label names, of those that any series has.
    pub(crate) fn names(&self, names: &[String]) -> Vec<u32> {
        names.iter().filter_map(|name| self.pairs.name(name)).collect()
    }

    /// Appends the canonical labels of a series, of `only` these names if given.
    pub(crate) fn put_labels(&self, r: Ref, only: Option<&[u32]>, out: &mut Vec<u8>) {
        let mut left = only.map_or(usize::MAX, <[u32]>::len);
        for pair in self.lists.of(r) {
            if left == 0 {
                return;
            }
            if only.is_none_or(|only| only.contains(&self.pairs.name_of(pair))) {
                let (name, value) = self.pairs.get(pair);
                put_str(out, name);
                put_str(out, value);
                left -= 1;
            }
        }
    }

    /// How many series have the pair `name="value"`.
    pub(crate) fn count(&self, name: &str, value: &str) -> usize {
        self.pairs.find(name, value).map_or(0, |p| self.pairs.postings(p).len())
    }

    pub(crate) fn logged(&self, r: Ref) -> u32 {
        self.series[r as usize].logged
    }

    pub(crate) fn set_logged(&mut self, r: Ref, generation: u32) {
        self.series[r as usize].logged = generation;
    }

    /// Notes at a cut whether a series had anything new, and answers for how many cuts it had not.
    pub(crate) fn note_cut(&mut self, r: Ref, active: bool, ageing: Ageing) -> u32 {
        let series = &mut self.series[r as usize];
        match (active, ageing) {
            (true, _) => series.idle = 0,
            (false, Ageing::Counts) => series.idle = series.idle.saturating_add(1),
            (false, Ageing::TooSoon) => {}
        }
        series.idle
    }

    pub(crate) fn idle(&self, r: Ref) -> u32 {
        self.series[r as usize].idle
    }

    /// Drops the series for which `keep` answers false and numbers the rest anew.
    ///
    /// Answers the new number of each old one, [`GONE`] for the dropped. Linear in the size of the
    /// index, without hashing the labels of a series.
    pub(crate) fn retain(&mut self, keep: impl Fn(Ref) -> bool) -> Vec<Ref> {
        let mut next: Ref = 0;
        let remap: Vec<Ref> = (0..self.series.len())
            .map(|old| {
                if !Ref::try_from(old).is_ok_and(&keep) {
                    return GONE;
                }
                next += 1;
                next - 1
            })
            .collect();
        let pair_remap = self.pairs.retain(&remap);
        let mut lists = PairLists::default();
        for old in (0..).zip(&remap).filter(|(_, new)| **new != GONE).map(|(old, _)| old) {
            lists.push(self.lists.of(old).map(|pair| pair_remap[pair as usize]));
        }
        self.lists = lists;
        retain_mapped(&mut self.series, &remap);
        self.series.shrink_to_fit();
        self.refs.retain(|r| {
            *r = remap[*r as usize];
            *r != GONE
        });
        self.refs.shrink_to_fit(|r| self.mixer.hash_one(self.series[*r as usize].id));
        remap
    }

    /// Bytes held, estimated from the sizes of the collections.
    pub(crate) fn bytes(&self) -> usize {
        self.size().iter().map(|(_, n)| n).sum()
    }

    /// What [`Self::bytes`] is made of.
    pub(crate) fn size(&self) -> [(&'static str, usize); 4] {
        [
            ("series labels", self.lists.bytes()),
            (
                "series ids",
                self.refs.capacity() * (size_of::<Ref>() + 1)
                    + self.series.capacity() * size_of::<Series>(),
            ),
            ("label pairs", self.pairs.text_bytes()),
            ("postings", self.pairs.postings_bytes()),
        ]
    }
}

/// Keeps of a column what `remap` keeps, in order.
pub(crate) fn retain_mapped<T>(column: &mut Vec<T>, remap: &[Ref]) {
    let mut at = 0;
    column.retain(|_| {
        at += 1;
        remap[at - 1] != GONE
    });
}

#[expect(clippy::cast_possible_truncation, reason = "the words of the id")]
fn key(id: SeriesId) -> Key {
    [id.0 as u32, (id.0 >> 32) as u32, (id.0 >> 64) as u32, (id.0 >> 96) as u32]
}
