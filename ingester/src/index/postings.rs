//! The series of a label pair, ascending.
//!
//! ```text
//! token := varint( gap << 1 )       a series, `gap` > 0 behind the one that would be next
//!        | varint( n << 1 | 1 )     the next n series
//! ```
//!
//! Of 13 labels some are those of all series, most are those of all series of a target: a number takes
//! a byte or two, a run of any length no more.

use super::{GONE, Ref, varint};

/// Most values of high-cardinality labels have one series.
#[derive(Debug)]
pub(super) enum Postings {
    One(Ref),
    Many(Box<List>),
}

/// Two series at least.
#[derive(Debug, Default)]
pub(super) struct List {
    tokens: Vec<u8>,
    /// Series of a run behind the tokens.
    run: u32,
    /// The series that would continue the run.
    next: Ref,
    len: u32,
}

/// Goes through the series of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    tokens: &'a [u8],
    /// What is left of the run that was begun.
    run: u32,
    /// The run behind the tokens.
    last_run: u32,
    next: Ref,
}

// === impl Postings ===

impl Postings {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(list) => list.len as usize,
        }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        match self {
            Self::One(r) => Iter { tokens: &[], run: 1, last_run: 0, next: *r },
            Self::Many(list) => Iter { tokens: &list.tokens, run: 0, last_run: list.run, next: 0 },
        }
    }

    /// Adds a series greater than all before.
    pub(super) fn push(&mut self, r: Ref) {
        match self {
            Self::One(first) => {
                let mut list = List::default();
                list.push(*first);
                list.push(r);
                *self = Self::Many(Box::new(list));
            }
            Self::Many(list) => list.push(r),
        }
    }

    /// Renumbers; `None` when nothing is left.
    pub(super) fn remap(&self, series: &[Ref]) -> Option<Self> {
        let mut kept = self.iter().map(|r| series[r as usize]).filter(|r| *r != GONE);
        let mut new = Self::One(kept.next()?);
        kept.for_each(|r| new.push(r));
        if let Self::Many(list) = &mut new {
            list.tokens.shrink_to_fit();
        }
        Some(new)
    }

    /// Bytes beside the enum itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(list) => size_of::<List>() + list.tokens.capacity(),
        }
    }
}

// === impl List ===

impl List {
    fn push(&mut self, r: Ref) {
        debug_assert!(r >= self.next);
        let gap = r.wrapping_sub(self.next);
        if gap == 0 {
            self.run += 1;
        } else {
            if self.run > 0 {
                // A gap fits, as does a run: both are less than the series of a head, below 2^31.
                self.put(self.run << 1 | 1);
                self.run = 0;
            }
            self.put(gap << 1);
        }
        self.next = r.wrapping_add(1);
        self.len += 1;
    }

    fn put(&mut self, token: u32) {
        grow(&mut self.tokens);
        varint::put(&mut self.tokens, token);
    }
}

/// Makes room for a token; an eighth more at a time, for of a million lists half of a doubling would be empty.
fn grow(tokens: &mut Vec<u8>) {
    const TOKEN: usize = 5;
    let len = tokens.len();
    if tokens.capacity() - len < TOKEN {
        tokens.reserve_exact((len / 8).max(8));
    }
}

// === impl Iter ===

impl Iterator for Iter<'_> {
    type Item = Ref;

    #[inline]
    fn next(&mut self) -> Option<Ref> {
        while self.run == 0 {
            match varint::take(&mut self.tokens) {
                Some(token) if token & 1 == 1 => self.run = token >> 1,
                Some(token) => {
                    self.next = self.next.wrapping_add(token >> 1);
                    self.run = 1;
                }
                None if self.last_run == 0 => return None,
                None => self.run = std::mem::take(&mut self.last_run),
            }
        }
        self.run -= 1;
        let r = self.next;
        self.next = r.wrapping_add(1);
        Some(r)
    }
}

impl Iter<'_> {
    /// Appends what is left, run by run.
    pub(crate) fn append_to(mut self, out: &mut Vec<Ref>) {
        while let Some(r) = self.next() {
            out.push(r);
            let end = self.next.wrapping_add(self.run);
            out.extend(self.next..end);
            (self.next, self.run) = (end, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(series: &[Ref]) -> Postings {
        let mut postings = Postings::One(series[0]);
        series[1..].iter().for_each(|r| postings.push(*r));
        postings
    }

    #[test]
    fn a_label_of_all_series_takes_no_memory_for_each() {
        let all: Vec<Ref> = (0..100_000).collect();
        assert!(of(&all).heap_bytes() < 64);
        let even: Vec<Ref> = (0..100_000).map(|r| 2 * r).collect();
        assert!(of(&even).heap_bytes() < 120_000, "one byte each: {}", of(&even).heap_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn series_come_back(
            steps in prop::collection::vec((1u32..5, 1u32..200_000, any::<bool>()), 1..200),
            first in 0u32..3,
        ) {
            let mut at = first;
            let mut series = vec![at];
            for (n, gap, near) in steps {
                at += if near { n } else { gap };
                for _ in 0..n {
                    series.push(at);
                    at += 1;
                }
            }
            let postings = of(&series);
            prop_assert_eq!(postings.len(), series.len());
            prop_assert_eq!(postings.iter().collect::<Vec<_>>(), series.clone());
            let mut out = vec![7];
            let mut half = postings.iter();
            half.by_ref().take(series.len() / 2).for_each(drop);
            half.append_to(&mut out);
            prop_assert_eq!(&out[1..], &series[series.len() / 2..]);
            // Every third goes.
            let mut next = 0;
            let remap: Vec<Ref> = (0..=at).map(|r| {
                if r % 3 == 0 { return GONE; }
                next += 1;
                next - 1
            }).collect();
            let want: Vec<Ref> = series.iter().map(|r| remap[*r as usize]).filter(|r| *r != GONE).collect();
            let got = postings.remap(&remap).map(|p| p.iter().collect::<Vec<_>>()).unwrap_or_default();
            prop_assert_eq!(got, want);
        }
    }
}
