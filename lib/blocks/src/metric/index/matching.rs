//! Which rows matchers accept: each dictionary value is asked once, then codes are compared.

use std::ops::Range;

use skald_model::{Matcher, TimeRange};

use super::Index;
use super::column::{Codes, LabelColumn, RestColumn};
use super::dictionary::Dictionary;

/// Whether each code is accepted.
type Accepted = Vec<bool>;

// === impl Index ===

impl Index {
    /// The rows that all matchers accept and whose times meet `range`, in order.
    pub(in crate::metric) fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Vec<u32> {
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..self.n_rows).collect();
        let mut scans = Vec::new();
        for matcher in matchers {
            match self.label(&matcher.name) {
                Some(column) => {
                    let accepted = accepted(matcher, &column.values);
                    if column.sorted {
                        narrow(&mut ranges, column, &accepted);
                    } else {
                        scans.push((&column.codes, accepted));
                    }
                }
                None if self.rest.is_some() => {}
                None if matcher.matches_empty() => {}
                None => return Vec::new(),
            }
        }
        let numbers = |r: Range<usize>| {
            u32::try_from(r.start).unwrap_or(u32::MAX)..u32::try_from(r.end).unwrap_or(u32::MAX)
        };
        let mut rows: Vec<u32> =
            Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
        ranges.into_iter().for_each(|r| rows.extend(numbers(r)));
        for (codes, accepted) in scans {
            retain(&mut rows, codes, &accepted);
        }
        for matcher in matchers.iter().filter(|m| self.label(&m.name).is_none()) {
            if let Some(rest) = &self.rest {
                retain_rest(&mut rows, rest, matcher);
            }
        }
        if let Some((first, last)) = &self.times {
            let time = |times: &[i64], row: u32| times.get(row as usize).copied();
            rows.retain(|row| {
                let ends = time(first, *row).zip(time(last, *row));
                ends.is_some_and(|(first, last)| range.overlaps(first, last))
            });
        }
        rows
    }
}

fn accepted(matcher: &Matcher, values: &Dictionary) -> Accepted {
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

fn retain_rest(rows: &mut Vec<u32>, rest: &RestColumn, matcher: &Matcher) {
    let of_missing = matcher.matches_empty();
    let Some(name) = rest.names.code(&matcher.name) else {
        if !of_missing {
            rows.clear();
        }
        return;
    };
    let mut known: Vec<Option<bool>> = vec![None; rest.values.len() + 1];
    rows.retain(|row| match rest.get(*row as usize, name) {
        0 => of_missing,
        code => match known.get_mut(code as usize) {
            Some(known) => *known.get_or_insert_with(|| matcher.matches(rest.values.value(code))),
            None => false,
        },
    });
}
