//! Base64 read as Go reads it: line breaks do not count, and a fault is told by where it is.

/// The bytes, or where in `text` the fault is.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let is_break = |b: u8| matches!(b, b'\r' | b'\n');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    // The digits of a group so far, and how many.
    let (mut bits, mut n) = (0u32, 0usize);
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        at += 1;
        if let Some(digit) = digit(b) {
            (bits, n) = (bits << 6 | digit, n + 1);
            if n == 4 {
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                (bits, n) = (0, 0);
            }
        } else if b == b'=' && n >= 2 {
            return padded(text, at, bits, n).map(|last| {
                out.extend(last);
                out
            });
        } else if !is_break(b) {
            return Err(at - 1);
        }
    }
    // Padding that is missing is a fault of its group.
    if n == 0 { Ok(out) } else { Err(at - n) }
}

/// The last bytes, where padding began just before `at` behind `n` digits.
fn padded(text: &[u8], at: usize, bits: u32, n: usize) -> Result<Vec<u8>, usize> {
    let next = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        let step = rest.iter().position(|b| !matches!(b, b'\r' | b'\n'));
        step.map(|step| from + step)
    };
    let mut end = at;
    if n == 2 {
        let second = next(at).ok_or(text.len())?;
        if text.get(second) != Some(&b'=') {
            return Err(second.saturating_sub(1));
        }
        end = second + 1;
    }
    if let Some(garbage) = next(end) {
        return Err(garbage);
    }
    let bytes = (bits << (6 * (4 - n))).to_be_bytes();
    Ok(bytes.get(1..n).unwrap_or_default().to_vec())
}

fn digit(b: u8) -> Option<u32> {
    let digit = match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(digit.into())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn bytes_come_back_and_faults_say_where_they_are() {
        for (text, want) in [
            ("", ""),
            ("aGk=", "hi"),
            ("aGkh", "hi!"),
            ("aA==", "h"),
            ("aG\nkh\r\n", "hi!"),
            ("aB==", "h"),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap(), want.as_bytes(), "{text:?}");
        }
        for (text, at) in [
            ("a", 0),
            ("ab!d", 2),
            ("=abc", 0),
            ("a===", 1),
            ("ab=", 3),
            ("ab=c", 2),
            ("abc=d", 4),
            ("abcd-", 4),
            ("aGkha", 4),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(at), "{text:?}");
        }
    }
}
