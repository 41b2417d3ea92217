//! Which series match.
//!
//! Matchers that name their values come first: their postings give the candidates. The rest filters
//! candidates by their pairs, remembering its answer for each pair.

use std::collections::HashMap;

use skald_model::Matcher;

use super::hash::Mixer;
use super::{Index, Ref};

impl Index {
    /// The series that every matcher accepts, ascending.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<Ref> {
        let mut rest: Vec<&Matcher> = matchers.iter().collect();
        // An equality or a set of literals that does not take missing labels.
        let mut literal: Vec<(usize, &Matcher, Vec<u32>)> = Vec::new();
        rest.retain(|m| match self.literal_pairs(m) {
            Some(pairs) => {
                literal.push((self.n_postings(&pairs), m, pairs));
                false
            }
            None => true,
        });
        literal.sort_by_key(|(n, ..)| *n);
        let mut literal = literal.into_iter();
        let mut candidates = match literal.next() {
            Some((_, _, pairs)) => self.union(&pairs),
            None => self.first_candidates(&mut rest),
        };
        for (_, matcher, _) in literal {
            self.filter(&mut candidates, matcher);
        }
        for matcher in rest {
            self.filter(&mut candidates, matcher);
        }
        candidates
    }

    /// Without a literal: the postings of the first matcher that needs its label, else all series.
    fn first_candidates(&self, rest: &mut Vec<&Matcher>) -> Vec<Ref> {
        let Some(at) = rest.iter().position(|m| !m.matches_empty()) else {
            return (0..).take(self.len()).collect();
        };
        let matcher = rest.remove(at);
        let Some(name) = self.pairs.name(&matcher.name) else { return Vec::new() };
        let pairs: Vec<u32> = self
            .pairs
            .of_name(name)
            .iter()
            .copied()
            .filter(|p| matcher.matches(self.pairs.value(*p)))
            .collect();
        self.union(&pairs)
    }

    fn literal_pairs(&self, matcher: &Matcher) -> Option<Vec<u32>> {
        if matcher.matches_empty() {
            return None;
        }
        let values = matcher.literals()?;
        Some(values.iter().filter_map(|v| self.pairs.find(&matcher.name, v)).collect())
    }

    fn n_postings(&self, pairs: &[u32]) -> usize {
        pairs.iter().map(|p| self.pairs.postings(*p).len()).sum()
    }

    /// All series of pairs of one name; a series has one value of a name, so no two lists share one.
    fn union(&self, pairs: &[u32]) -> Vec<Ref> {
        let mut all = Vec::with_capacity(self.n_postings(pairs));
        for pair in pairs {
            self.pairs.postings(*pair).iter().append_to(&mut all);
        }
        if pairs.len() > 1 {
            all.sort_unstable();
        }
        all
    }

    fn filter(&self, candidates: &mut Vec<Ref>, matcher: &Matcher) {
        if candidates.is_empty() {
            return;
        }
        let missing = matcher.matches_empty();
        let Some(name) = self.pairs.name(&matcher.name) else {
            if !missing {
                candidates.clear();
            }
            return;
        };
        let mut answers: HashMap<u64, bool, Mixer> = HashMap::default();
        candidates.retain(|r| match self.lists.of(*r).find(|p| self.pairs.name_of(*p) == name) {
            Some(pair) => *answers
                .entry(u64::from(pair))
                .or_insert_with(|| matcher.matches(self.pairs.value(pair))),
            None => missing,
        });
    }
}
