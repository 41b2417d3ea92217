//! Looking at few bytes of a line: three letters tell that a level, or a field that holds one, may follow.
//!
//! Most lines name a level in one place or nowhere, so that a vectorised search for those letters
//! leaves next to nothing to read byte by byte.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, MatchKind, Searcher};

/// What all names of fields that hold a level have in them.
const KEYS: [&[u8; 3]; 3] = [b"lev", b"lvl", b"sev"];
/// What the words that are levels begin with, in any case.
const WORDS: [&[u8; 3]; 7] = [b"inf", b"war", b"err", b"deb", b"tra", b"fat", b"cri"];
/// Words that count in capitals only.
const CAPITALS: [&[u8; 3]; 4] = [b"TRC", b"DBG", b"WRN", b"FTL"];

/// `None` where the processor has no instructions for it.
static SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    let mut builder = Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .only_teddy(true)
        .heuristic_pattern_limits(false)
        .builder();
    // All ways to write a word share the bucket that its first one gets, and neighbours get different
    // ones: so every word is in one before any is in another way.
    for capitals in 0..8 {
        builder.extend(KEYS.iter().chain(&WORDS).map(|word| with_capitals(word, capitals)));
    }
    builder.extend(CAPITALS).build()
});

/// Where in a line something may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// The name of a field that holds a level.
    Key,
    /// At this position a word that is a level.
    Word(usize),
}

/// All hints of a line, from left to right; `None` when they cannot be searched for.
pub(super) fn hints(line: &[u8]) -> Option<impl Iterator<Item = Hint>> {
    let searcher = SEARCHER.as_ref()?;
    let mut from = 0;
    let n_words = KEYS.len() + WORDS.len();
    Some(std::iter::from_fn(move || {
        let found = searcher.find_in(line, (from..line.len()).into())?;
        from = found.start() + 1;
        let pattern = found.pattern().as_usize();
        let is_key = pattern < 8 * n_words && pattern % n_words < KEYS.len();
        Some(if is_key { Hint::Key } else { Hint::Word(found.start()) })
    }))
}

/// One of the eight ways to write three letters.
fn with_capitals(word: &[u8; 3], capitals: u8) -> [u8; 3] {
    let mut letters = *word;
    for (i, letter) in letters.iter_mut().enumerate() {
        if capitals & (1 << i) != 0 {
            letter.make_ascii_uppercase();
        }
    }
    letters
}
