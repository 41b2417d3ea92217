//! Looking for a level in the text of a line without parsing the line: one pass, no allocation.

use super::Level;

/// Objects within objects that are looked into.
const MAX_DEPTH: usize = 2;

/// The string value of the first key for which `is_key` holds, in the outer object or one right within it.
///
/// A line that is not JSON all the way gives what was found until there.
pub(super) fn json_field<'a>(line: &'a [u8], is_key: &impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (text, after) = json_string(line, at)?;
                at = after;
                let colon = skip_space(line, at);
                if line.get(colon) == Some(&b':') {
                    at = skip_space(line, colon + 1);
                    if depth <= MAX_DEPTH && line.get(at) == Some(&b'"') && is_key(text) {
                        return json_string(line, at).map(|(value, _)| value);
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The string that begins with the quote at `at`, as written, and the position behind it.
fn json_string(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let start = at + 1;
    let mut from = start;
    loop {
        let hit = from + memchr::memchr2(b'"', b'\\', line.get(from..)?)?;
        if line[hit] == b'"' {
            return Some((&line[start..hit], hit + 1));
        }
        from = hit + 2;
    }
}

fn skip_space(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// The value of the first `key=value` for which `is_key` holds, outside of quotes.
pub(super) fn logfmt_field<'a>(
    line: &'a [u8],
    is_key: &impl Fn(&[u8]) -> bool,
) -> Option<&'a [u8]> {
    memchr::memchr(b'=', line)?;
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let stop = rest.iter().position(|b| *b == b'=' || b.is_ascii_whitespace())?;
        let key = &rest[..stop];
        let is_pair = rest[stop] == b'=';
        rest = &rest[stop + 1..];
        if !is_pair {
            continue;
        }
        let value;
        (value, rest) = logfmt_value(rest);
        if is_key(key) {
            return Some(value);
        }
    }
}

/// The value at the front, without its quotes, and what follows.
fn logfmt_value(rest: &[u8]) -> (&[u8], &[u8]) {
    if rest.first() == Some(&b'"') {
        return match json_string(rest, 0) {
            Some((value, after)) => (value, &rest[after..]),
            None => (&rest[1..], &[]),
        };
    }
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    rest.split_at(end)
}

/// The first word that is a level: letters and digits with none before or behind.
pub(super) fn first_word(line: &[u8]) -> Option<Level> {
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let skip = rest.iter().position(is_part)?;
        let word = &rest[skip..];
        let len = word.iter().position(|b| !is_part(b)).unwrap_or(word.len());
        if (3..=8).contains(&len)
            && let Some(level) = of_word(&word[..len], word.get(len))
        {
            return Some(level);
        }
        at += skip + len;
    }
    None
}

/// The level that the word at `at` is, if a word begins there.
pub(super) fn word_at(line: &[u8], at: usize) -> Option<Level> {
    if at.checked_sub(1).and_then(|before| line.get(before)).is_some_and(is_part) {
        return None;
    }
    let word = line.get(at..)?;
    // One more than the longest.
    let len = word.iter().take(9).position(|b| !is_part(b)).unwrap_or(word.len());
    if (3..=8).contains(&len) { of_word(&word[..len], word.get(len)) } else { None }
}

fn is_part(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80
}

/// Short forms count only as loggers print them: `ERR` in capitals, `err:` with its colon.
fn of_word(word: &[u8], next: Option<&u8>) -> Option<Level> {
    if !matches!(word[0] | 0x20, b't' | b'd' | b'i' | b'w' | b'e' | b'c' | b'f') {
        return None;
    }
    let is = |text: &str| word.eq_ignore_ascii_case(text.as_bytes());
    Some(match word.len() {
        3 => match word {
            b"TRC" => Level::Trace,
            b"DBG" => Level::Debug,
            b"INF" => Level::Info,
            b"WRN" => Level::Warn,
            b"ERR" => Level::Error,
            b"err" if next == Some(&b':') => Level::Error,
            b"FTL" => Level::Fatal,
            _ => return None,
        },
        4 if is("info") => Level::Info,
        4 if is("warn") => Level::Warn,
        5 if is("error") => Level::Error,
        5 if is("debug") => Level::Debug,
        5 if is("trace") => Level::Trace,
        5 if is("fatal") => Level::Fatal,
        7 if is("warning") => Level::Warn,
        8 if is("critical") => Level::Critical,
        _ => return None,
    })
}
