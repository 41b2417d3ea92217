//! A fixed-length set of step indexes.

/// One bit per step.
///
/// Invariant: bits at and beyond `len` are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// All clear.
    pub fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All set.
    pub fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last = (1u64 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the bitmap has no slots (not: no bits set, see [`Self::none`]).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// Sets bit `i`; out of range is ignored.
    pub fn set(&mut self, i: usize) {
        if i < self.len {
            self.words[i / 64] |= 1 << (i % 64);
        }
    }

    /// The bits from 64 × the index on.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Replaces the bits from `64 * word` on; those beyond the end are ignored.
    pub fn set_word(&mut self, word: usize, bits: u64) {
        let Some(slot) = self.words.get_mut(word) else { return };
        let rest = self.len.saturating_sub(word * 64);
        *slot = if rest < 64 { bits & ((1 << rest) - 1) } else { bits };
    }

    pub fn clear(&mut self, i: usize) {
        if i < self.len {
            self.words[i / 64] &= !(1 << (i % 64));
        }
    }

    /// Whether no bit is set.
    pub fn none(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    pub fn union_with(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    pub fn intersect_with(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Clears every bit that is set in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// Whether every bit is set.
    pub fn all(&self) -> bool {
        self.count() == self.len
    }

    /// The indexes of set bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_beyond_the_end_is_cut() {
        let mut map = Bitmap::new(70);
        map.set_word(0, 5);
        map.set_word(1, u64::MAX);
        map.set_word(2, 1);
        assert_eq!(map.ones().collect::<Vec<_>>(), [0, 2, 64, 65, 66, 67, 68, 69]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_set(len in 0usize..200, picks in proptest::collection::vec(0usize..200, 0..40)) {
            let mut map = Bitmap::new(len);
            let mut set = std::collections::BTreeSet::new();
            for p in picks {
                map.set(p);
                if p < len { set.insert(p); }
            }
            prop_assert_eq!(map.ones().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(map.count(), set.len());
            let mut rest = Bitmap::full(len);
            rest.subtract(&map);
            prop_assert_eq!(rest.count(), len - set.len());
            prop_assert!(!rest.intersects(&map));
            rest.union_with(&map);
            prop_assert_eq!(rest, Bitmap::full(len));
        }
    }
}
