//! Takes a line apart so that it can be put together again: words, and punctuation signs on their own.
//!
//! Of a JSON line only the message is looked at, as it stands in the text.

/// Lines longer than this have no pattern.
const MAX_LINE: usize = 3000;
/// Lines with fewer or more tokens say too little, or too much.
const TOKENS: std::ops::RangeInclusive<usize> = 4..=79;
/// Keys under which JSON lines have their message.
const MESSAGE_KEYS: [&str; 7] = ["message", "msg", "log", "_msg", "body", "content", "msg_"];

/// A line in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    pub(super) words: Vec<&'a str>,
    /// Whether a space follows the word.
    pub(super) spaces: Vec<bool>,
    /// Whether the words are only a part of the line.
    pub(super) is_part: bool,
}

/// The tokens of a line; `None` if no pattern should be made of it.
pub(super) fn split(line: &str) -> Option<Tokens<'_>> {
    if line.len() > MAX_LINE {
        return None;
    }
    let message = line.starts_with('{').then(|| message(line)).flatten();
    let (text, is_part) = message.map_or((line, false), |m| (m, true));
    let (mut words, mut spaces) = (Vec::new(), Vec::new());
    let mut start = 0;
    let mut put = |word, space| {
        words.push(word);
        spaces.push(space);
        words.len() <= *TOKENS.end()
    };
    for (i, c) in text.char_indices() {
        let goes_on = if c == ' ' {
            // Right behind a sign the space belongs to the sign.
            let word = &text[start..i];
            start = i + 1;
            put(word, true)
        } else if is_sign(c) {
            let word = &text[start..i];
            start = i + c.len_utf8();
            (word.is_empty() || put(word, false)) && put(&text[i..start], false)
        } else {
            true
        };
        if !goes_on {
            return None;
        }
    }
    if start < text.len() && !put(&text[start..], false) {
        return None;
    }
    TOKENS.contains(&words.len()).then_some(Tokens { words, spaces, is_part })
}

/// Punctuation, but for what words are made of.
fn is_sign(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '.' | ':' | '/')
}

/// The text of the message of a JSON line, escapes and all.
fn message(line: &str) -> Option<&str> {
    MESSAGE_KEYS.iter().find_map(|key| {
        let at = line.find(&format!("\"{key}\""))? + key.len() + 2;
        let value = line[at..].trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        let mut escaped = false;
        let end = value.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        Some(&value[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(t: &Tokens<'_>) -> String {
        let words = t.words.iter().zip(&t.spaces);
        words.map(|(w, space)| format!("{w}{}", if *space { " " } else { "" })).collect()
    }

    #[test]
    fn a_line_is_the_sum_of_its_tokens() {
        for line in [
            r#"level=info msg="done (ok)" took=3ms"#,
            "[2026-01-01 10:00:00,123] INFO  two  spaces here",
            "this ends with space ",
            "ünïcödé in a line, too",
        ] {
            assert_eq!(joined(&split(line).unwrap()), line);
        }
        let t = split("a=b [c-d.e] x").unwrap();
        assert_eq!(t.words, ["a", "=", "b", "[", "c-d.e", "]", "", "x"]);
    }

    #[test]
    fn of_json_only_the_message_counts() {
        let t = split(r#"{"ts":1,"msg" : "a \"b\" c d","x":2}"#).unwrap();
        assert_eq!((joined(&t).as_str(), t.is_part), (r#"a \"b\" c d"#, true));
        assert!(!split(r#"{"ts":1,"x":2}"#).unwrap().is_part);
    }

    #[test]
    fn too_short_or_long_lines_have_none() {
        assert_eq!(split("only three words"), None);
        assert_eq!(split(&"w ".repeat(80)), None);
        assert_eq!(split(&"x ".repeat(2000)), None);
    }
}
