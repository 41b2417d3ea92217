//! Remembers which entries a tail has sent, so that three replicas make one line.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use skald_logql::{ResultEntry, ResultStream};

/// Entries remembered; replicas are apart by far fewer.
const WINDOW: usize = 64 << 10;

/// The last entries by the hash of their identity.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
    order: VecDeque<u64>,
}

// === impl Seen ===

impl Seen {
    /// Removes entries that were seen before and remembers the others.
    pub(super) fn keep_new(&mut self, streams: &mut Vec<ResultStream>) {
        for ResultStream { stream_labels, entries } in streams.iter_mut() {
            entries.retain(|e| {
                let hash = self.hash(stream_labels, e);
                self.insert(hash)
            });
        }
        streams.retain(|s| !s.entries.is_empty());
    }

    fn hash(&self, labels: &skald_model::Labels, e: &ResultEntry) -> u64 {
        let ResultEntry { timestamp_ns, line, structured_metadata, parsed } = e;
        self.hasher.hash_one((labels, timestamp_ns, line, structured_metadata, parsed))
    }

    fn insert(&mut self, hash: u64) -> bool {
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use skald_model::Labels;

    use super::*;

    fn stream(line: &str, times: &[i64]) -> ResultStream {
        let entry = |t: &i64| ResultEntry {
            timestamp_ns: *t,
            line: Bytes::copy_from_slice(line.as_bytes()),
            structured_metadata: Labels::empty(),
            parsed: Labels::empty(),
        };
        ResultStream {
            stream_labels: Labels::from_pairs([("a", "b")]),
            entries: times.iter().map(entry).collect(),
        }
    }

    #[test]
    fn copies_of_an_entry_are_sent_once() {
        let mut seen = Seen::default();
        let mut first = vec![stream("x", &[1, 2])];
        seen.keep_new(&mut first);
        assert_eq!(first[0].entries.len(), 2);
        let mut second = vec![stream("x", &[1, 2, 3]), stream("y", &[1]), stream("x", &[2])];
        seen.keep_new(&mut second);
        assert_eq!(second, [stream("x", &[3]), stream("y", &[1])]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        let times: Vec<i64> = (0..WINDOW as i64 + 10).collect();
        seen.keep_new(&mut vec![stream("x", &times)]);
        assert_eq!((seen.hashes.len(), seen.order.len()), (WINDOW, WINDOW));
    }
}
