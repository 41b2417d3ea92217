//! Substring search over a batch of lines at once.

use arrow_array::{Array, StringArray};
use bytes::Bytes;
use memchr::memmem::Finder;

/// Needles that must all occur in a line.
#[derive(Clone, Debug)]
pub(super) struct Needles(Vec<Finder<'static>>);

// === impl Needles ===

impl Needles {
    /// Longer needles first: they are rarer.
    pub(super) fn new(needles: &[Bytes]) -> Self {
        let mut sorted: Vec<&Bytes> = needles.iter().filter(|n| !n.is_empty()).collect();
        sorted.sort_unstable_by_key(|n| std::cmp::Reverse(n.len()));
        Self(sorted.into_iter().map(|n| Finder::new(n).into_owned()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One answer per line.
    pub(super) fn search(&self, lines: &StringArray) -> Vec<bool> {
        let Some((first, others)) = self.0.split_first() else {
            return vec![true; lines.len()];
        };
        let mut found = vec![false; lines.len()];
        let offsets = lines.value_offsets();
        let bounds = |row: usize| {
            let at = |i: usize| offsets.get(i).and_then(|o| usize::try_from(*o).ok());
            Some((at(row)?, at(row + 1)?))
        };
        let all = lines.values().as_slice();
        let Some((mut at, _)) = bounds(0) else { return found };
        let mut row = 0;
        // The first needle runs through all lines as if they were one text.
        while let Some(hit) = all.get(at..).and_then(|rest| first.find(rest)).map(|i| at + i) {
            let upto =
                offsets[row..].partition_point(|o| usize::try_from(*o).is_ok_and(|o| o <= hit));
            row += upto.saturating_sub(1);
            let Some((start, end)) = bounds(row) else { break };
            if hit + first.needle().len() > end {
                // It straddles two lines.
                at = hit + 1;
                continue;
            }
            found[row] = others.iter().all(|n| n.find(&all[start..end]).is_some());
            at = end;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(lines: &[&str], needles: &[&'static str]) -> Vec<bool> {
        let needles: Vec<Bytes> =
            needles.iter().map(|n| Bytes::from_static(n.as_bytes())).collect();
        Needles::new(&needles).search(&StringArray::from(lines.to_vec()))
    }

    #[test]
    fn finds_within_lines_only() {
        let lines = ["ab", "cab", "", "abc", "xxab", "b"];
        assert_eq!(search(&lines, &["ab"]), [true, true, false, true, true, false]);
        assert_eq!(search(&lines, &["bc"]), [false, false, false, true, false, false]);
        assert_eq!(search(&["a", "a", "aa"], &["aa"]), [false, false, true]);
        assert_eq!(search(&lines, &["ab", "c"]), [false, true, false, true, false, false]);
        assert_eq!(search(&lines, &[]), [true; 6]);
        assert_eq!(search(&lines, &[""]), [true; 6]);
        assert_eq!(search(&[], &["x"]), [false; 0]);
    }

    #[test]
    fn agrees_with_contains_on_many_lines() {
        let text: Vec<String> =
            (0..500u32).map(|i| format!("{}{}", i % 7, "a".repeat(i as usize % 4))).collect();
        let lines: Vec<&str> = text.iter().map(String::as_str).collect();
        for needle in ["a", "aa", "0a", "1", "aaa", "6aaa"] {
            let expected: Vec<bool> = lines.iter().map(|l| l.contains(needle)).collect();
            assert_eq!(search(&lines, &[needle]), expected, "{needle}");
        }
    }
}
