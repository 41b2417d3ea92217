//! What each run of the fuzzer does with its bytes. Also compiled into the tests of `skald-model`.

use skald_model::regex::{Pattern, anchored, capture_names, unanchored};

/// The first line is a pattern, the rest a value: what a matcher knows without an automaton has to
/// be what the automaton says.
pub(crate) fn compare(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, value) = text.split_once('\n').unwrap_or((text, ""));
    let _ = (unanchored(pattern), capture_names(pattern));
    let (Ok(matcher), Ok(regex)) = (Pattern::new(pattern), anchored(pattern)) else { return };
    assert_eq!(matcher.is_match(value), regex.is_match(value), "{pattern:?} {value:?}");
    for literal in matcher.literals().into_iter().flatten() {
        assert!(regex.is_match(literal), "{pattern:?} {literal:?}");
    }
}
