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

/// Longest value of the cluster or replica label, in bytes.
pub(crate) const MAX_VALUE: usize = 1024;
/// Elections that one push may need at a time; more wait for its next attempt.
const MAX_WANTED: usize = 128;

/// Who stands for election after the decoding of a push: one replica of each cluster.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Vec<(String, String)>);

// === impl Wanted ===

impl Wanted {
    /// Notes that `replica` stands in `cluster`.
    pub(crate) fn add(&mut self, cluster: &str, replica: &str) {
        let Self(wanted) = self;
        if wanted.len() < MAX_WANTED && !wanted.iter().any(|(c, _)| c == cluster) {
            wanted.push((cluster.to_owned(), replica.to_owned()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Clusters and replicas.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(cluster, replica)| (cluster.as_str(), replica.as_str()))
    }
}
