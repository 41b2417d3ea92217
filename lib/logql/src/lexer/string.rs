//! String literals: `"…"` with Go's escapes, `` `…` `` without.

/// Reads the literal at the front of `text`: its value and how many bytes it took.
pub(crate) fn unquote(text: &str, quote: char) -> Result<(String, usize), &'static str> {
    let body = &text[1..];
    if quote == '`' {
        let len = body.find('`').ok_or("literal not terminated")?;
        return Ok((body[..len].replace('\r', ""), len + 2));
    }
    let mut out = Vec::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text_of(out), at + 2)),
            '\n' => return Err("literal not terminated"),
            '\\' => escape(&mut chars, &mut out)?,
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("literal not terminated")
}

/// `\x` escapes can spell bytes that are not UTF-8; no stored line holds such bytes.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn escape(chars: &mut std::str::CharIndices<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const BAD: &str = "invalid char escape";
    let (_, c) = chars.next().ok_or("literal not terminated")?;
    let plain = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' => u8::try_from(digits(chars, 2, 16, 0).ok_or(BAD)?).map_err(|_| BAD)?,
        '0'..='7' => {
            let first = c.to_digit(8).ok_or(BAD)?;
            u8::try_from(digits(chars, 2, 8, first).ok_or(BAD)?).map_err(|_| BAD)?
        }
        'u' | 'U' => {
            let n = if c == 'u' { 4 } else { 8 };
            let code = digits(chars, n, 16, 0).ok_or(BAD)?;
            let c = char::from_u32(code).ok_or("escape is invalid Unicode code point")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        _ => return Err(BAD),
    };
    out.push(plain);
    Ok(())
}

fn digits(chars: &mut std::str::CharIndices<'_>, n: usize, radix: u32, first: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..n {
        let digit = chars.next()?.1.to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_follow_go() {
        let read = |s: &str| unquote(s, s.chars().next().unwrap()).map(|(t, _)| t);
        assert_eq!(read(r#""a\"\n\x41\101\u00e9" rest"#), Ok("a\"\nAAé".to_owned()));
        assert_eq!(read(r"`a\n`"), Ok(r"a\n".to_owned()));
        assert!(read(r#""\q""#).is_err());
        assert!(read(r#""\'""#).is_err());
        assert!(read("\"a\nb\"").is_err());
        assert!(read(r#""\777""#).is_err());
    }
}
