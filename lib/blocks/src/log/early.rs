//! An early look at entries, before their lines are built: at their fields in columns, or at reduced lines.

use skald_codec::lines::{Known, Lines, Reduced};
use skald_model::Labels;

use super::directory::Stream;
use super::scan::{Early, FieldTest, Test};

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

/// Tests of the values of single fields, which need no line.
pub(super) struct FieldTests {
    tests: Vec<(String, FieldTest)>,
    /// What they do not drop passes.
    pub(super) decide: bool,
}

// === impl FieldTests ===

impl FieldTests {
    /// Those that hold for all entries of these streams, whose metadata may have labels that `is_metadata`
    /// knows of.
    pub(super) fn new(
        early: &Early,
        streams: &[Stream],
        is_metadata: impl Fn(&str) -> bool,
    ) -> Self {
        let mut tests = early.test.fields();
        let n = tests.len();
        tests.retain(|(name, _)| {
            early.fields.names.contains(name)
                && !is_metadata(name)
                && !streams.iter().any(|s| s.labels.get(name).is_some())
        });
        Self { decide: early.test.fields_decide() && tests.len() == n, tests }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Tests the lines that are not ruled out yet.
    pub(super) fn run(&mut self, lines: &Lines, plan: &Reduced, known: &mut [Known]) {
        for (name, test) in &mut self.tests {
            lines.test_field(plan, name, test, known);
        }
    }
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

    /// Counts entries that tests of their fields dropped before they came here: looking goes on for those, too.
    pub(super) fn count_dropped(&mut self, n: usize) {
        self.n_looked += n;
    }

    /// Whether it drops enough to be worth the look.
    pub(super) fn pays(&self) -> bool {
        self.n_looked < TRIAL || self.n_passed * 4 < self.n_looked * 3
    }
}
