//! String literals with Go's escapes.

use skald_model::quote::code_point;

/// Takes a quoted string off the front of `s`. Answers its value and the length of its source.
pub(super) fn unquote(s: &str) -> Result<(String, usize), String> {
    let quote = s.chars().next().unwrap_or('"');
    let mut reader = Reader { text: s, at: quote.len_utf8(), out: Vec::new() };
    loop {
        match reader.next() {
            Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".to_owned()),
            Some(c) if c == quote => break,
            None if quote == '`' => return Err("unterminated raw string".to_owned()),
            Some(c) if quote == '`' => reader.push(c),
            None | Some('\n') => return Err("unterminated quoted string".to_owned()),
            Some('\\') => reader.escape(quote)?,
            Some(c) => reader.push(c),
        }
    }
    let value = String::from_utf8(reader.out).map_err(|_| "string is not valid UTF-8")?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out: Vec<u8>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.text.get(self.at..)?.chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn push(&mut self, c: char) {
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Decodes one escape, of which the backslash was taken.
    fn escape(&mut self, quote: char) -> Result<(), String> {
        let c = self.next().ok_or("escape sequence not terminated")?;
        let simple = match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            c if c == quote => c,
            '0'..='7' => {
                self.at -= 1;
                return self.code(3, 8);
            }
            'x' => return self.code(2, 16),
            'u' => return self.code(4, 16),
            'U' => return self.code(8, 16),
            c => return Err(format!("unknown escape sequence {}", code_point(c))),
        };
        self.push(simple);
        Ok(())
    }

    /// A code of `n` digits: a byte, or a character when it has more than three.
    fn code(&mut self, n: usize, radix: u32) -> Result<(), String> {
        let mut value = 0_u32;
        for _ in 0..n {
            let c = self.next().ok_or("escape sequence not terminated")?;
            let digit = c
                .to_digit(radix)
                .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        let bad = "escape sequence is an invalid Unicode code point";
        if n > 3 {
            self.push(char::from_u32(value).ok_or(bad)?);
        } else {
            self.out.push(u8::try_from(value).map_err(|_| bad)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes() {
        let ok = |s: &str, want: &str| {
            assert_eq!(unquote(s), Ok((want.to_owned(), s.len())), "{s}");
        };
        ok(r#""a\n\"b\" \x41\102 \u00e9""#, "a\n\"b\" AB é");
        ok(r"'it\'s'", "it's");
        ok(r"`raw\d\`", r"raw\d\");
        ok("\"é\"", "é");
        ok(r#""\xc3\xa9""#, "é");
        for (bad, text) in [
            (r#""a"#, "unterminated quoted string"),
            ("\"a\nb\"", "unterminated quoted string"),
            (r#""\q""#, "unknown escape sequence U+0071 'q'"),
            (r#""\xff""#, "string is not valid UTF-8"),
            (r#""\u12""#, "illegal character U+0022 '\"' in escape sequence"),
            ("\"\\", "escape sequence not terminated"),
            ("`a", "unterminated raw string"),
            (r#""\U00110000""#, "escape sequence is an invalid Unicode code point"),
            (r#""\400""#, "escape sequence is an invalid Unicode code point"),
            (r#"'\"'"#, "unknown escape sequence U+0022 '\"'"),
        ] {
            assert_eq!(unquote(bad), Err(text.to_owned()), "{bad}");
        }
    }
}
