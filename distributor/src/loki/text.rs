//! Parses the label text of a stream: `{app="x", env='y', path=`C:\x`}` with the escapes of Go strings.

use std::borrow::Cow;

use super::labels::Pairs;

/// Reads all pairs in order. The error says what was expected where.
pub(super) fn parse(text: &str) -> Result<Pairs<'_>, String> {
    let mut cursor = Cursor { text, at: 0 };
    let mut pairs = Pairs::new();
    cursor.expect('{')?;
    loop {
        if cursor.take('}') {
            break;
        }
        let name = cursor.name()?;
        cursor.expect('=')?;
        let value = cursor.string()?;
        pairs.push((Cow::Borrowed(name), value));
        if !cursor.take(',') {
            cursor.expect('}')?;
            break;
        }
    }
    cursor.skip_space();
    if cursor.rest().is_empty() { Ok(pairs) } else { Err(cursor.unexpected("end of labels")) }
}

#[derive(Debug)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(self.unexpected(&format!("{c:?}"))) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = self.rest().chars().next();
        let found = found.map_or_else(|| "end of input".to_owned(), |c| format!("{c:?}"));
        format!("1:{}: parse error: unexpected {found}, expected {wanted}", self.at + 1)
    }

    /// `[A-Za-z_][A-Za-z0-9_]*`
    fn name(&mut self) -> Result<&'a str, String> {
        self.skip_space();
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if len == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return Err(self.unexpected("label name"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.skip_space();
        let quote = match self.rest().as_bytes().first() {
            Some(q @ (b'"' | b'\'' | b'`')) => *q,
            _ => return Err(self.unexpected("string")),
        };
        let start = self.at + 1;
        let inner = &self.text[start..];
        if quote == b'`' {
            let len = inner.find('`').ok_or_else(|| "unterminated raw string".to_owned())?;
            self.at = start + len + 1;
            return Ok(Cow::Borrowed(&inner[..len]));
        }
        let bytes = inner.as_bytes();
        let stop = memchr::memchr3(quote, b'\\', b'\n', bytes);
        match stop.map(|i| (i, bytes[i])) {
            // The common case: no escape.
            Some((len, b)) if b == quote => {
                self.at = start + len + 1;
                Ok(Cow::Borrowed(&inner[..len]))
            }
            Some((_, b'\\')) => {
                let (text, len) = unquote(bytes, quote)?;
                self.at = start + len;
                Ok(Cow::Owned(text))
            }
            _ => Err("unterminated quoted string".to_owned()),
        }
    }
}

/// The text up to the closing quote and the length of what was read, the quote included.
fn unquote(bytes: &[u8], quote: u8) -> Result<(String, usize), String> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match bytes.get(at) {
            None | Some(b'\n') => return Err("unterminated quoted string".to_owned()),
            Some(b) if *b == quote => break,
            Some(b'\\') => at += 1 + escape(&bytes[at + 1..], quote, &mut out)?,
            Some(b) => {
                out.push(*b);
                at += 1;
            }
        }
    }
    let text = String::from_utf8(out).map_err(|_| "string is not valid UTF-8".to_owned())?;
    Ok((text, at + 1))
}

/// Writes what stands behind a backslash; answers how many bytes it took.
fn escape(rest: &[u8], quote: u8, out: &mut Vec<u8>) -> Result<usize, String> {
    let bad = || "invalid escape in quoted string".to_owned();
    let number = |from: usize, n: usize, radix: u32| {
        let digits = rest.get(from..from + n).and_then(|d| std::str::from_utf8(d).ok());
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        digits.and_then(|d| u32::from_str_radix(d, radix).ok()).ok_or_else(bad)
    };
    let simple = |b: u8, out: &mut Vec<u8>| {
        out.push(b);
        Ok(1)
    };
    match rest.first().copied().ok_or_else(bad)? {
        b'a' => simple(7, out),
        b'b' => simple(8, out),
        b'f' => simple(12, out),
        b'n' => simple(b'\n', out),
        b'r' => simple(b'\r', out),
        b't' => simple(b'\t', out),
        b'v' => simple(11, out),
        b'\\' => simple(b'\\', out),
        b if b == quote => simple(b, out),
        b'x' => {
            out.push(u8::try_from(number(1, 2, 16)?).map_err(|_| bad())?);
            Ok(3)
        }
        b'0'..=b'7' => {
            out.push(u8::try_from(number(0, 3, 8)?).map_err(|_| bad())?);
            Ok(3)
        }
        b @ (b'u' | b'U') => {
            let n = if b == b'u' { 4 } else { 8 };
            let c = char::from_u32(number(1, n, 16)?).ok_or_else(bad)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            Ok(1 + n)
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let owned = |(n, v): (Cow<'_, str>, Cow<'_, str>)| (n.into_owned(), v.into_owned());
        parse(text).unwrap().into_iter().map(owned).collect()
    }

    fn pair(n: &str, v: &str) -> (String, String) {
        (n.to_owned(), v.to_owned())
    }

    #[test]
    fn reads_labels_as_shippers_write_them() {
        assert_eq!(pairs(r#"{a="1", b_2="x"}"#), [pair("a", "1"), pair("b_2", "x")]);
        assert_eq!(pairs(r#" { a = "1" , } "#), [pair("a", "1")]);
        assert_eq!(pairs("{}"), []);
        assert_eq!(pairs(r#"{a='x"y',b=`c\d`}"#), [pair("a", "x\"y"), pair("b", r"c\d")]);
        assert_eq!(pairs(r#"{a="\t\"\\ \x41\101ä\U0001F680"}"#), [pair("a", "\t\"\\ AAä🚀")]);
    }

    #[test]
    fn refuses_what_go_would_refuse() {
        for text in [
            "",
            "{",
            "a",
            "{a}",
            "{a=}",
            "{a=1}",
            "{a=\"1\"",
            "{a=\"1}",
            "{1a=\"x\"}",
            "{a=\"x\"} x",
            "{a=\"\\q\"}",
            "{a=\"\\xff\"}",
            "{a=\"\\400\"}",
            "{a=\"\\ud800\"}",
            "{a=\"x\" b=\"y\"}",
            "{a=\"x\ny\"}",
            "{a=`x}",
            "{a.b=\"x\"}",
            "{,}",
            "{a=\"\\x+1\"}",
            "{ä=\"x\"}",
            "{a=\"\\'\"}",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
