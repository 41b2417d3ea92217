//! String literals with Go's escapes.

/// Takes a quoted string off the front of `s`. Answers its value and the length of its source.
pub(super) fn unquote(s: &str) -> Result<(String, usize), String> {
    let quote = s.chars().next().unwrap_or('"');
    let body = &s[1..];
    if quote == '`' {
        let end = body.find('`').ok_or("unterminated raw string")?;
        return Ok((body[..end].to_owned(), end + 2));
    }
    let mut out: Vec<u8> = Vec::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                let value = String::from_utf8(out).map_err(|_| "string is not valid UTF-8")?;
                return Ok((value, at + 2));
            }
            '\n' => break,
            '\\' => {
                let used = escape(&body[at + 1..], &mut out)?;
                // The escape is ASCII: as many chars as bytes.
                chars.nth(used - 1);
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("unterminated quoted string".to_owned())
}

/// Decodes one escape (without its backslash). Answers how many bytes it took.
fn escape(s: &str, out: &mut Vec<u8>) -> Result<usize, String> {
    let Some(c) = s.chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' => u8::try_from(c).unwrap_or(b'\\'),
        'x' => return code(s, 1, 2, 16, out),
        '0'..='7' => return code(s, 0, 3, 8, out),
        'u' => return code(s, 1, 4, 16, out),
        'U' => return code(s, 1, 8, 16, out),
        c => return Err(format!("unknown escape sequence {c:?}")),
    };
    out.push(simple);
    Ok(1)
}

/// A code of `digits` digits from offset `from` on: a byte, or a character for `\u`.
fn code(
    s: &str,
    from: usize,
    digits: usize,
    radix: u32,
    out: &mut Vec<u8>,
) -> Result<usize, String> {
    let bad = || "illegal character in escape sequence".to_owned();
    let text = s.get(from..from + digits).ok_or_else(bad)?;
    if !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let value = u32::from_str_radix(text, radix).map_err(|_| bad())?;
    if digits >= 4 {
        let c = char::from_u32(value).ok_or("escape sequence is an invalid Unicode code point")?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).map_err(|_| bad())?);
    }
    Ok(from + digits)
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
        for bad in [
            r#""a"#,
            "\"a\nb\"",
            r#""\q""#,
            r#""\xff""#,
            r#""\u12""#,
            "\"\\",
            "`a",
            r#""\U00110000""#,
            r#""\é""#,
        ] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }
}
