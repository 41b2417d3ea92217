//! An early look at entries, before their lines are built.

use skald_model::Labels;

use super::directory::Stream;
use super::scan::{Early, Test};

/// So many looks are a trial; where nearly all pass, no more are taken.
const TRIAL: usize = 1024;

/// A test at work, which goes through rows in order.
pub(super) struct Look {
    test: Test,
    streams: std::vec::IntoIter<Stream>,
    current: Option<Stream>,
    n_looked: usize,
    n_passed: usize,
}

// === impl Look ===

impl Look {
    /// For rows that belong to these streams.
    pub(super) fn new(early: &Early, streams: Vec<Stream>) -> Self {
        let streams = streams.into_iter();
        Self { test: early.test.begin(), streams, current: None, n_looked: 0, n_passed: 0 }
    }

    /// Whether the entry may be of use; `line` is reduced.
    pub(super) fn may_pass(&mut self, row: usize, ts: i64, metadata: &Labels, line: &[u8]) -> bool {
        if self.current.as_ref().is_none_or(|s| !s.rows.contains(&row)) {
            self.current = self.streams.find(|s| s.rows.contains(&row));
        }
        // A row outside of all streams is found out later.
        let Some(stream) = &self.current else { return true };
        let passes = (self.test)(&stream.labels, ts, metadata, line);
        self.n_looked += 1;
        self.n_passed += usize::from(passes);
        passes
    }

    /// Whether it drops enough to be worth the look.
    pub(super) fn pays(&self) -> bool {
        self.n_looked < TRIAL || self.n_passed * 4 < self.n_looked * 3
    }
}
