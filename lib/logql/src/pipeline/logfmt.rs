//! A scanner of `key=value key="quoted" bare` lines.

use super::json::{self, every, zero_bytes};

/// A malformed pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logfmt syntax error at pos {pos} : {what}")]
pub(crate) struct LogfmtError {
    pub(crate) pos: usize,
    what: &'static str,
}

/// A pair as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    /// Escapes not yet resolved when `escaped`.
    pub(crate) value: &'a str,
    pub(crate) escaped: bool,
}

/// Iterates over the pairs of a line; a malformed one is an error, after which it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<'a> {
    line: &'a str,
    pos: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self { line, pos: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.line.as_bytes().get(self.pos).copied()
    }

    /// Bytes from here on for which `take` answers true.
    fn span(&self, take: impl Fn(u8) -> bool) -> usize {
        self.line.as_bytes()[self.pos..].iter().take_while(|b| take(**b)).count()
    }

    /// Bytes up to the next blank, `=` or `"`.
    fn word_len(&self) -> usize {
        let rest = self.line.as_bytes().get(self.pos..).unwrap_or_default();
        let mut at = 0;
        while let Some(word) = rest.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*word);
            // As `zero_bytes`, for all that is at most a blank.
            let blanks = word.wrapping_sub(every(b' ' + 1)) & !word & every(0x80);
            let found = blanks | zero_bytes(word ^ every(b'=')) | zero_bytes(word ^ every(b'"'));
            if found != 0 {
                return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
            }
            at += 8;
        }
        let ends = |b: &u8| *b <= b' ' || matches!(b, b'=' | b'"');
        let rest = rest.get(at..).unwrap_or_default();
        at + rest.iter().position(ends).unwrap_or(rest.len())
    }

    /// An error here; the rest of the word is skipped.
    fn fail(&mut self, what: &'static str) -> LogfmtError {
        let pos = self.pos + 1;
        self.pos += self.span(|b| b > b' ');
        LogfmtError { pos, what }
    }

    fn pair(&mut self) -> Result<Pair<'a>, LogfmtError> {
        let start = self.pos;
        self.pos += self.word_len();
        let key = &self.line[start..self.pos];
        match self.byte() {
            Some(b'=') if key.is_empty() => return Err(self.fail("unexpected '='")),
            Some(b'"') => return Err(self.fail("unexpected '\"'")),
            Some(b'=') => self.pos += 1,
            _ => return Ok(Pair { key, value: "", escaped: false }),
        }
        if self.byte() == Some(b'"') {
            return self.quoted(key);
        }
        let start = self.pos;
        self.pos += self.word_len();
        match self.byte() {
            Some(b'=') => Err(self.fail("unexpected '='")),
            Some(b'"') => Err(self.fail("unexpected '\"'")),
            _ => Ok(Pair { key, value: &self.line[start..self.pos], escaped: false }),
        }
    }

    fn quoted(&mut self, key: &'a str) -> Result<Pair<'a>, LogfmtError> {
        let bytes = self.line.as_bytes();
        let start = self.pos + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or(&[])) {
                Some(i) if bytes[at + i] == b'"' => {
                    self.pos = at + i + 1;
                    return Ok(Pair { key, value: &self.line[start..at + i], escaped });
                }
                Some(i) => {
                    escaped = true;
                    at += i + 2;
                }
                None => {
                    let pos = self.pos + 1;
                    self.pos = self.line.len();
                    return Err(LogfmtError { pos, what: "unterminated quoted value" });
                }
            }
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, LogfmtError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pos += self.span(|b| b <= b' ');
        self.byte()?;
        Some(self.pair())
    }
}

/// The value of a pair; `buffer` is used when escapes have to be resolved.
pub(crate) fn value<'a>(pair: &Pair<'a>, buffer: &'a mut String) -> &'a str {
    if !pair.escaped {
        return pair.value;
    }
    json::unescape_into(pair.value, buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        Pairs::new(line)
            .filter_map(Result::ok)
            .map(|p| (p.key.to_owned(), value(&p, &mut String::new()).to_owned()))
            .collect()
    }

    #[test]
    fn pairs_are_split_and_unquoted() {
        let found = pairs(r#" env=q msg="x \"y\"" bare k= a="" "#);
        let want = [("env", "q"), ("msg", "x \"y\""), ("bare", ""), ("k", ""), ("a", "")];
        assert_eq!(found, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn words_end_where_a_plain_look_says() {
        for len in 0..40 {
            for fill in ["x", "!", "\u{e9}", ">", "#", "\u{7f}"] {
                for end in ["", " ", "=", "\"", "\t", "\u{1f}"] {
                    for behind in ["", "abcdefghij", " =\"    x"] {
                        let line = format!("{}{end}{behind}", fill.repeat(len));
                        let ends = |b: u8| b <= b' ' || b == b'=' || b == b'"';
                        let expected = line.bytes().position(ends).unwrap_or(line.len());
                        assert_eq!(Pairs::new(&line).word_len(), expected, "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn malformed_pairs_are_skipped_or_reported() {
        assert_eq!(pairs("=x a=1"), [("a".to_owned(), "1".to_owned())]);
        assert!(pairs("k=v=w").is_empty());
        assert!(pairs("a=\"b").is_empty());
        assert!(Pairs::new("a=\"b").next().unwrap().is_err());
        assert!(Pairs::new("a=\"b\\").next().unwrap().is_err());
        assert_eq!(pairs("ü=1"), [("ü".to_owned(), "1".to_owned())]);
    }
}
