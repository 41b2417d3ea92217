//! Texts and other bytes damaged at random, for tests that run what the fuzzer runs: the same for the same seed.

/// Numbers that look random.
pub(crate) struct Draw(u64);

/// Makes damaged bytes out of whole ones.
pub(crate) struct Mutator {
    draw: Draw,
    corpus: Vec<Vec<u8>>,
    /// What means something to the parser, and what must not.
    pieces: &'static [&'static [u8]],
}

// === impl Draw ===

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap() % n
    }

    pub(crate) fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

// === impl Mutator ===

impl Mutator {
    /// `corpus` must not be empty.
    pub(crate) fn new(
        seed: u64,
        corpus: Vec<impl Into<Vec<u8>>>,
        pieces: &'static [&'static [u8]],
    ) -> Self {
        let corpus = corpus.into_iter().map(Into::into).collect();
        Self { draw: Draw::new(seed), corpus, pieces }
    }

    fn some(&mut self) -> Vec<u8> {
        let at = self.draw.below(self.corpus.len());
        self.corpus[at].clone()
    }

    /// A range of `bytes`, often short.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.draw.below(bytes.len() + 1);
        let most = if self.draw.percent(80) { 6 } else { bytes.len() };
        start..(start + self.draw.below(most + 1)).min(bytes.len())
    }

    /// One more, damaged in one to four places.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.some();
        for _ in 0..=self.draw.below(4) {
            let range = self.range(&bytes);
            let part = bytes[range.clone()].to_vec();
            let new = match self.draw.below(6) {
                0 => Vec::new(),
                1 => [part.clone(), part].concat(),
                2 | 3 => self.draw.pick(self.pieces).to_vec(),
                4 => vec![u8::try_from(self.draw.below(256)).unwrap()],
                _ => {
                    let other = self.some();
                    let range = self.range(&other);
                    other[range].to_vec()
                }
            };
            bytes.splice(range, new);
        }
        bytes
    }
}

/// Calls `run` with every piece as often as each of `shapes` says, between what stands before and behind.
pub(crate) fn repeated(
    pieces: impl IntoIterator<Item = &'static [u8]>,
    shapes: &[(usize, &str, &str)],
    run: impl Fn(&[u8]),
) {
    for piece in pieces {
        for (count, before, behind) in shapes {
            run(&[before.as_bytes(), &piece.repeat(*count), behind.as_bytes()].concat());
        }
    }
}
