//! Numbers and durations, which PromQL treats alike.

/// Units in the order in which they may follow each other.
const UNITS: [(&str, f64); 7] = [
    ("y", 365.0 * 86_400.0),
    ("w", 7.0 * 86_400.0),
    ("d", 86_400.0),
    ("h", 3_600.0),
    ("m", 60.0),
    ("s", 1.0),
    ("ms", 0.001),
];

/// Takes a number or duration (as seconds) off the front of `s`. Answers its length too.
pub(super) fn scan(s: &str) -> Result<(f64, usize), String> {
    let len = extent(s);
    let text = &s[..len];
    let bad = || format!("bad number or duration syntax: {text:?}");
    if let Some(seconds) = duration(text) {
        return Ok((seconds, len));
    }
    number(text).map(|v| (v, len)).ok_or_else(bad)
}

/// How far what looks like a number reaches.
fn extent(s: &str) -> usize {
    let bytes = s.as_bytes();
    let hex = s.len() > 1 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
    let mut len = 0;
    while let Some(&c) = bytes.get(len) {
        let exponent_sign = matches!(c, b'+' | b'-')
            && !hex
            && len > 0
            && bytes[len - 1].eq_ignore_ascii_case(&b'e')
            && bytes.get(len + 1).is_some_and(u8::is_ascii_digit);
        if !(c.is_ascii_alphanumeric() || c == b'.' || c == b'_' || exponent_sign) {
            break;
        }
        len += 1;
    }
    len
}

fn duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters])?;
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        // Milliseconds are added as such, so that 1s500ms is exact.
        seconds += if UNITS[unit].0 == "ms" { count / 1000.0 } else { count * UNITS[unit].1 };
        rest = &rest[letters..];
    }
    Some(seconds)
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts integers that are literals")]
fn number(text: &str) -> Option<f64> {
    let underscores_apart = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    if !underscores_apart {
        return None;
    }
    let text = text.replace('_', "");
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(|v| v as f64);
    }
    let octal = lower.len() > 1
        && lower.starts_with('0')
        && lower.bytes().all(|c| (b'0'..b'8').contains(&c));
    if octal {
        return u64::from_str_radix(&lower, 8).ok().map(|v| v as f64);
    }
    let plain = lower.bytes().all(|c| c.is_ascii_digit() || b".e+-".contains(&c));
    if plain { lower.parse().ok() } else { None }
}

/// Decimal digits that the crate reads back as exactly `v`.
pub(super) fn canonical(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    format!("{v}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_durations() {
        for (text, want) in [
            ("1", 1.0),
            ("1_000", 1000.0),
            ("0x1F", 31.0),
            ("017", 15.0),
            ("089", 89.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1e-3", 0.001),
            ("1h30m", 5400.0),
            ("1s500ms", 1.5),
            ("0s", 0.0),
        ] {
            assert_eq!(scan(text), Ok((want, text.len())), "{text}");
        }
        for text in ["1a", "1m1h", "1.5m", "1__0", "0xg", "1.2.3", "5mm"] {
            assert!(scan(text).is_err(), "{text}");
        }
        assert_eq!(scan("1e+x"), Err("bad number or duration syntax: \"1e\"".to_owned()));
        assert_eq!(scan("5m]"), Ok((300.0, 2)));
        assert_eq!(scan("1+2"), Ok((1.0, 1)));
    }
}
