//! Names and values of labels, each once: nobody puts label sets together for them.

use std::sync::Arc;

use skald_model::{Matcher, TimeRange};
use skald_rpc::ingester::Listing;

use super::{MetricsHead, MetricsSnapshot};
use crate::index::Ref;

/// Series of a value that are looked at at once; those of values of which none of these has data in
/// the range are visited one by one, with others let in between.
const FIRST: usize = 4;

/// What was met so far.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    snapshot: Option<Arc<MetricsSnapshot>>,
    pub(crate) manifest_version: u64,
    /// By number of a name, or of a pair.
    seen: Vec<bool>,
    found: Vec<String>,
}

impl MetricsHead {
    /// The series to look at, with the snapshot and commit number of this moment.
    pub(crate) fn begin_listing(
        &self,
        of: &Listing,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> (Vec<Ref>, Listed) {
        let mut listed = Listed {
            snapshot: self.flushing.clone(),
            manifest_version: self.manifest_version,
            ..Listed::default()
        };
        let Listing::Values(name) = of else { return (self.index.select(matchers), listed) };
        if matchers.iter().any(|m| m.name != *name) {
            return (self.index.select(matchers), listed);
        }
        let mut left = Vec::new();
        for (pair, value, mut series) in self.index.values(name) {
            if !matchers.iter().all(|m| m.matches(value)) {
                continue;
            }
            if series.by_ref().take(FIRST).any(|r| self.has_data(r, range, &listed)) {
                listed.add(pair, value);
            } else {
                series.append_to(&mut left);
            }
        }
        (left, listed)
    }

    /// Lists what these series have, as far as they have data in `range`.
    pub(crate) fn list(&self, refs: &[Ref], of: &Listing, range: TimeRange, into: &mut Listed) {
        let wanted = match of {
            Listing::Names => None,
            Listing::Values(name) => match self.index.name(name) {
                Some(name) => Some(name),
                None => return,
            },
        };
        for &r in refs {
            // Each with the number by which it is told whether it was met.
            let pairs = || {
                self.index.pairs_of(r).filter_map(move |(pair, name)| match wanted {
                    None => Some((pair, name)),
                    Some(wanted) => (wanted == name).then_some((pair, pair)),
                })
            };
            if pairs().all(|(_, number)| into.has(number)) || !self.has_data(r, range, into) {
                continue;
            }
            for (pair, number) in pairs() {
                let (name, value) = self.index.pair(pair);
                into.add(number, if wanted.is_some() { value } else { name });
            }
        }
    }

    /// Whether a series has data in `range`, here or in the snapshot.
    fn has_data(&self, r: Ref, range: TimeRange, listed: &Listed) -> bool {
        let old = || listed.snapshot.as_ref()?.data.get(r as usize);
        self.data.get(r as usize).is_some_and(|own| own.overlaps(range))
            || old().is_some_and(|old| old.overlaps(range))
    }
}

// === impl Listed ===

impl Listed {
    fn has(&self, number: u32) -> bool {
        self.seen.get(number as usize) == Some(&true)
    }

    fn add(&mut self, number: u32, text: &str) {
        if self.has(number) {
            return;
        }
        let number = number as usize;
        if self.seen.len() <= number {
            self.seen.resize(number + 1, false);
        }
        self.seen[number] = true;
        self.found.push(text.to_owned());
    }

    /// What was met, sorted.
    pub(crate) fn sorted(mut self) -> Vec<String> {
        self.found.sort_unstable();
        self.found
    }
}
