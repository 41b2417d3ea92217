//! Which rows matchers accept: each dictionary value is asked once, then codes are compared.

use std::collections::VecDeque;
use std::ops::Range;

use skald_model::{Matcher, TimeRange};

use super::Index;
use super::column::{Codes, LabelColumn, RestColumn};
use super::dictionary::Dictionary;

/// Whether each code is accepted.
pub(super) type Accepted = Vec<bool>;

/// The rows that matchers accept, in order, looked for a step at a time.
pub(in crate::metric) struct Search<'i> {
    /// Rows that are not yet looked at.
    ranges: VecDeque<Range<usize>>,
    scans: Vec<(&'i Codes, Accepted)>,
    rests: Vec<RestScan<'i>>,
    times: Option<(&'i [i64], &'i [i64])>,
    range: TimeRange,
}

/// What a matcher says of a label that has no column of its own.
struct RestScan<'i> {
    column: &'i RestColumn,
    matcher: &'i Matcher,
    name: u32,
    /// Whether each value is accepted, as far as it was met.
    known: Vec<Option<bool>>,
}

// === impl Index ===

impl Index {
    /// The rows that all matchers accept and whose times meet `range`, in order.
    pub(in crate::metric) fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Vec<u32> {
        self.search(matchers, range).next(usize::MAX).unwrap_or_default()
    }

    /// As [`Self::matching`], to be looked for.
    pub(in crate::metric) fn search<'i>(
        &'i self,
        matchers: &'i [Matcher],
        range: TimeRange,
    ) -> Search<'i> {
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..self.n_rows).collect();
        let (mut scans, mut rests) = (Vec::new(), Vec::new());
        for matcher in matchers {
            if let Some(column) = self.label(&matcher.name) {
                let accepted = accepted(matcher, &column.values);
                if column.sorted {
                    narrow(&mut ranges, column, &accepted);
                } else if !accepted.iter().all(|yes| *yes) {
                    scans.push((&column.codes, accepted));
                }
                continue;
            }
            let rest = self.rest.as_deref();
            let name = rest.and_then(|rest| Some((rest, rest.names.code(&matcher.name)?)));
            match name {
                Some((column, name)) => {
                    let known = vec![None; column.values.len() + 1];
                    rests.push(RestScan { column, matcher, name, known });
                }
                None if matcher.matches_empty() => {}
                None => ranges.clear(),
            }
        }
        let times = self.times.as_ref().map(|(first, last)| (&***first, &***last));
        Search { ranges: ranges.into(), scans, rests, times, range }
    }
}

// === impl Search ===

impl Search<'_> {
    /// Those of the next `most` rows that are accepted; `None` behind the last row.
    pub(in crate::metric) fn next(&mut self, most: usize) -> Option<Vec<u32>> {
        let mut rows = self.step(most)?;
        for (codes, accepted) in &self.scans {
            retain(&mut rows, codes, accepted);
        }
        for scan in &mut self.rests {
            rows.retain(|row| scan.accepts(*row));
        }
        if let Some((first, last)) = self.times {
            let time = |times: &[i64], row: u32| times.get(row as usize).copied();
            rows.retain(|row| {
                let ends = time(first, *row).zip(time(last, *row));
                ends.is_some_and(|(first, last)| self.range.overlaps(first, last))
            });
        }
        Some(rows)
    }

    /// The next `most` rows that are looked at.
    fn step(&mut self, most: usize) -> Option<Vec<u32>> {
        let left: usize = self.ranges.iter().map(ExactSizeIterator::len).sum();
        let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        let mut rows = Vec::with_capacity(left.min(most));
        while rows.len() < most
            && let Some(first) = self.ranges.front_mut()
        {
            let end = first.end.min(first.start.saturating_add(most - rows.len()));
            rows.extend(number(first.start)..number(end));
            first.start = end;
            if first.start >= first.end {
                self.ranges.pop_front();
            }
        }
        (left > 0 && most > 0).then_some(rows)
    }
}

// === impl RestScan ===

impl RestScan<'_> {
    fn accepts(&mut self, row: u32) -> bool {
        let code = self.column.get(row as usize, self.name);
        let matches = || match code {
            0 => self.matcher.matches_empty(),
            code => self.matcher.matches(self.column.values.value(code)),
        };
        self.known.get_mut(code as usize).is_some_and(|known| *known.get_or_insert_with(matches))
    }
}

/// Whether a matcher accepts each value of a label, and at 0 its absence.
pub(super) fn accepted(matcher: &Matcher, values: &Dictionary) -> Accepted {
    let mut accepted = vec![false; values.len() + 1];
    accepted[0] = matcher.matches_empty();
    if let Some(literals) = matcher.literals() {
        for code in literals.into_iter().filter_map(|value| values.code(value)) {
            accepted[code as usize] = true;
        }
    } else {
        for code in values.codes() {
            accepted[code as usize] = matcher.matches(values.value(code));
        }
    }
    accepted
}

/// Leaves of `ranges` what a sorted column accepts.
fn narrow(ranges: &mut Vec<Range<usize>>, column: &LabelColumn, accepted: &[bool]) {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (code, _) in (0u32..).zip(accepted).filter(|(_, yes)| **yes) {
        let (start, end) = (column.codes.below(code), column.codes.below(code + 1));
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    let meet = |a: &Range<usize>| {
        let inside = |b: &Range<usize>| a.start.max(b.start)..a.end.min(b.end);
        runs.iter().map(inside).filter(|r| !r.is_empty()).collect::<Vec<_>>()
    };
    *ranges = ranges.iter().flat_map(meet).collect();
}

fn retain(rows: &mut Vec<u32>, codes: &Codes, accepted: &[bool]) {
    let yes = |code: usize| accepted.get(code).copied().unwrap_or(false);
    match codes {
        Codes::Byte(c) => rows.retain(|row| yes(c.get(*row as usize).map_or(0, |c| (*c).into()))),
        Codes::Short(c) => rows.retain(|row| yes(c.get(*row as usize).map_or(0, |c| (*c).into()))),
        Codes::Word(_) => rows.retain(|row| yes(codes.get(*row as usize) as usize)),
    }
}
