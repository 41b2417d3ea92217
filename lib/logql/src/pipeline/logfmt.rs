//! A scanner of `key=value key="quoted" bare` lines.

use super::json;

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

    /// An error here; the rest of the word is skipped.
    fn fail(&mut self, what: &'static str) -> LogfmtError {
        let pos = self.pos + 1;
        self.pos += self.span(|b| b > b' ');
        LogfmtError { pos, what }
    }

    fn pair(&mut self) -> Result<Pair<'a>, LogfmtError> {
        let start = self.pos;
        self.pos += self.span(|b| b > b' ' && b != b'=' && b != b'"');
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
        self.pos += self.span(|b| b > b' ' && b != b'=' && b != b'"');
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
    fn malformed_pairs_are_skipped_or_reported() {
        assert_eq!(pairs("=x a=1"), [("a".to_owned(), "1".to_owned())]);
        assert!(pairs("k=v=w").is_empty());
        assert!(pairs("a=\"b").is_empty());
        assert!(Pairs::new("a=\"b").next().unwrap().is_err());
        assert!(Pairs::new("a=\"b\\").next().unwrap().is_err());
        assert_eq!(pairs("ü=1"), [("ü".to_owned(), "1".to_owned())]);
    }
}
