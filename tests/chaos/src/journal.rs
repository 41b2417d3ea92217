//! What writers attempted, and what of it was acknowledged: the truth that answers are compared with.
//!
//! A writer pushes rows: one entry for each of its series, all with the time of the row. A time is used once, and
//! value or line name tenant, series and row, so that an entry is recognised wherever it appears.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Series, or streams, of a writer.
pub const WIDTH: usize = 8;

/// What a writer pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Samples,
    Lines,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On its way, or given up: it may be stored or not.
    Attempted,
    Acked,
}

/// All rows of one writer, in the order of their times.
#[derive(Debug)]
pub struct Journal {
    pub tenant: usize,
    pub kind: Kind,
    rows: Mutex<Vec<(i64, Fate)>>,
}

/// An entry of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub series: usize,
    pub at_ms: i64,
    pub text: String,
}

// === impl Journal ===

impl Journal {
    pub fn new(tenant: usize, kind: Kind) -> Self {
        Self { tenant, kind, rows: Mutex::default() }
    }

    /// The next row and its time, which is now or, if that is taken, a little later.
    pub fn begin(&self) -> (usize, i64) {
        let mut rows = self.rows.lock();
        let at = rows.last().map_or(0, |(at, _)| at + 1).max(crate::now_ms());
        rows.push((at, Fate::Attempted));
        (rows.len() - 1, at)
    }

    pub fn acked(&self, row: usize) {
        self.rows.lock()[row].1 = Fate::Acked;
    }

    /// Value or line of an entry.
    pub fn text(&self, series: usize, row: usize) -> String {
        match self.kind {
            Kind::Samples => (self.number(series) + row).to_string(),
            Kind::Lines => format!("chaos tenant={} series={series} row={row}", self.tenant),
        }
    }

    /// The value of row 0.
    fn number(&self, series: usize) -> usize {
        (self.tenant * 100 + series + 1) * 10_000_000
    }

    /// Rows acknowledged so far with a time in `(start, end]`: what an answer that begins now must have.
    pub fn due(&self, start_ms: i64, end_ms: i64) -> Vec<usize> {
        let rows = self.rows.lock();
        let first = rows.partition_point(|(at, _)| *at <= start_ms);
        let within = rows.iter().enumerate().skip(first).take_while(|(_, (at, _))| *at <= end_ms);
        within.filter(|(_, (_, fate))| *fate == Fate::Acked).map(|(i, _)| i).collect()
    }

    /// (attempted, acknowledged).
    pub fn count(&self) -> (usize, usize) {
        let rows = self.rows.lock();
        (rows.len(), rows.iter().filter(|(_, fate)| *fate == Fate::Acked).count())
    }

    /// What is wrong with an answer of `(start, end]` that must have the rows of `due`.
    pub fn judge(&self, due: &[usize], mut found: Vec<Found>) -> Vec<String> {
        found.sort();
        let rows = self.rows.lock();
        let row_at: BTreeMap<i64, usize> =
            rows.iter().enumerate().map(|(i, (at, _))| (*at, i)).collect();
        let whose = format!("tenant {} {:?}", self.tenant, self.kind);
        let mut wrong = Vec::new();
        for pair in found.windows(2) {
            if (pair[0].series, pair[0].at_ms) == (pair[1].series, pair[1].at_ms) {
                wrong.push(format!("{whose}: doubled: {:?} and {:?}", pair[0], pair[1]));
            }
        }
        for entry in &found {
            let expected = row_at.get(&entry.at_ms).map(|row| self.text(entry.series, *row));
            if entry.series >= WIDTH || expected.as_deref() != Some(&entry.text) {
                wrong.push(format!("{whose}: never attempted: {entry:?}, expected {expected:?}"));
            }
        }
        let has = |series, at_ms| {
            found.binary_search_by(|f| (f.series, f.at_ms).cmp(&(series, at_ms))).is_ok()
        };
        for row in due {
            let at = rows[*row].0;
            let missing: Vec<_> = (0..WIDTH).filter(|s| !has(*s, at)).collect();
            if !missing.is_empty() {
                wrong.push(format!("{whose}: lost: row {row} at {at} of series {missing:?}"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(journal: &Journal, rows: &[(usize, i64)]) -> Vec<Found> {
        let entry = |series, (row, at_ms): (usize, i64)| Found {
            series,
            at_ms,
            text: journal.text(series, row),
        };
        rows.iter().flat_map(|row| (0..WIDTH).map(move |s| entry(s, *row))).collect()
    }

    #[test]
    fn an_answer_with_all_that_was_acknowledged_is_right() {
        let journal = Journal::new(1, Kind::Samples);
        let (first, second) = (journal.begin(), journal.begin());
        journal.acked(first.0);
        let due = journal.due(0, i64::MAX);
        assert_eq!(due, [0]);
        assert_eq!(journal.judge(&due, answer(&journal, &[first])), Vec::<String>::new());
        assert_eq!(journal.judge(&due, answer(&journal, &[first, second])), Vec::<String>::new());
    }

    #[test]
    fn what_is_lost_doubled_or_of_others_is_seen() {
        let (journal, other) = (Journal::new(1, Kind::Lines), Journal::new(2, Kind::Lines));
        let row = journal.begin();
        journal.acked(row.0);
        let due = journal.due(0, i64::MAX);
        let wrong = |found| journal.judge(&due, found).join("; ");
        assert!(wrong(answer(&journal, &[row])[1..].to_vec()).contains("lost: row 0"));
        assert!(wrong(answer(&journal, &[row, row])).contains("doubled"));
        assert!(wrong(answer(&other, &[row])).contains("never attempted"));
    }
}
