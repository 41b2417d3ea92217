//! Pairs of labels as those see them who list names and values.

use super::postings::Iter;
use super::{Index, Ref};

impl Index {
    /// The pairs of a label: number, value, and the series that have it.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (u32, &str, Iter<'_>)> {
        let pairs = self.pairs.name(name).map_or(&[][..], |name| self.pairs.of_name(name));
        let postings = |pair| self.pairs.postings(pair).iter();
        pairs.iter().map(move |pair| (*pair, self.pairs.value(*pair), postings(*pair)))
    }

    /// The pairs of a series, each with the number of its name.
    pub(crate) fn pairs_of(&self, r: Ref) -> impl Iterator<Item = (u32, u32)> {
        self.lists.of(r).map(|pair| (pair, self.pairs.name_of(pair)))
    }

    /// Name and value of a pair.
    pub(crate) fn pair(&self, pair: u32) -> (&str, &str) {
        self.pairs.get(pair)
    }

    /// The number of a label's name.
    pub(crate) fn name(&self, name: &str) -> Option<u32> {
        self.pairs.name(name)
    }
}
