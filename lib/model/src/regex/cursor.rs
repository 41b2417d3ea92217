//! A place in a pattern, and how Go words what is wrong there.

use super::RegexError;

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(super) fn rest(&self) -> &'a str {
        self.since(self.at, self.text.len())
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes `c` if it is what follows.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn since(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// An error about the text from `start` to here.
    pub(super) fn error(&self, what: &str, start: usize) -> RegexError {
        syntax(what, self.since(start, self.at))
    }

    /// An error about all that follows `start`.
    pub(super) fn error_to_end(&self, what: &str, start: usize) -> RegexError {
        syntax(what, self.since(start, self.text.len()))
    }
}

/// Most bytes of a pattern that an error shows.
const MAX_SHOWN: usize = 2_048;

pub(super) fn syntax(what: &str, text: &str) -> RegexError {
    match text.get(..text.floor_char_boundary(MAX_SHOWN)) {
        Some(start) if start.len() < text.len() => {
            RegexError::Syntax(format!("{what}: `{start}…`"))
        }
        _ => RegexError::Syntax(format!("{what}: `{text}`")),
    }
}
