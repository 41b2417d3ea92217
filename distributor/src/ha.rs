//! High-availability pairs: several Prometheus servers scrape the same targets and write the same series, told apart
//! by a replica label. Samples of one of them are taken, without that label; when it falls silent, of another.
//!
//! Decoding asks a table in memory and never waits. Where somebody must be elected it notes that, and the push is
//! decoded again after the election, which is a compare-and-set in the store of keys that all distributors share.
//! What counts as a sign of life is that samples arrived, by the time they did.

mod election;
mod labels;
mod page;
#[cfg(test)]
mod tests;
mod tracker;

pub(crate) use election::Verdict;
pub(crate) use labels::Names;
pub(crate) use page::show;
pub use tracker::Elections;
pub(crate) use tracker::Tracker;

use std::sync::Arc;

use parking_lot::Mutex;

/// Longest value of the cluster or replica label, in bytes.
pub(crate) const MAX_VALUE: usize = 1024;
/// Elections that one push may need at a time; more wait for its next attempt.
const MAX_WANTED: usize = 128;

/// The tracker as the decoding of one push uses it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) tracker: Arc<Tracker>,
    wanted: Mutex<Vec<(String, String)>>,
}

// === impl Desk ===

impl Desk {
    pub(crate) fn new(tracker: Arc<Tracker>) -> Self {
        Self { tracker, wanted: Mutex::default() }
    }

    /// Notes that `replica` stands for election in `cluster`.
    pub(crate) fn want(&self, cluster: &str, replica: &str) {
        let mut wanted = self.wanted.lock();
        if wanted.len() < MAX_WANTED && !wanted.iter().any(|(c, _)| c == cluster) {
            wanted.push((cluster.to_owned(), replica.to_owned()));
        }
    }

    /// Who stands for election: one of each cluster.
    pub(crate) fn wanted(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.wanted.lock())
    }
}
