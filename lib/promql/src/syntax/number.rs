//! Values of number and duration literals.

/// Units in the order in which they may follow each other, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const NANOS_PER_MS: u64 = 1_000_000;

/// The nanoseconds of `1h30m`.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("not a valid duration string: {text:?}");
    let out_of_range = || "duration out of range".to_owned();
    let (mut rest, mut total, mut next_unit) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let name = &rest[..letters];
        rest = &rest[letters..];
        let unit = UNITS
            .iter()
            .position(|(unit, _)| *unit == name)
            .ok_or_else(|| format!("unknown unit {name:?} in duration {text:?}"))?;
        if unit < next_unit {
            return Err(bad());
        }
        next_unit = unit + 1;
        let nanos = count
            .checked_mul(UNITS[unit].1)
            .and_then(|ms| ms.checked_mul(NANOS_PER_MS))
            .ok_or_else(out_of_range)?;
        total = total.checked_add(nanos).ok_or_else(out_of_range)?;
    }
    i64::try_from(total).map_err(|_| out_of_range())
}

/// The value of a number.
#[expect(clippy::cast_precision_loss, reason = "as Go converts integers that are literals")]
pub(super) fn number(text: &str) -> Result<f64, String> {
    let bad = |why: &str| Err(format!("strconv.ParseFloat: parsing {text:?}: {why}"));
    if !underscores_fit(text) {
        return bad("invalid syntax");
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    if let Some(hex) = plain.strip_prefix("0x") {
        let value = i64::from_str_radix(hex, 16);
        return value.map_or_else(|_| bad("invalid syntax"), |v| Ok(v as f64));
    }
    let octal = plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|c| (b'0'..b'8').contains(&c));
    if octal && let Ok(v) = i64::from_str_radix(&plain, 8) {
        return Ok(v as f64);
    }
    match plain.parse::<f64>() {
        Ok(v) if v.is_infinite() && plain != "inf" => bad("value out of range"),
        Ok(v) => Ok(v),
        Err(_) => bad("invalid syntax"),
    }
}

/// Underscores stand between digits, or between `0x` and a digit.
fn underscores_fit(text: &str) -> bool {
    let hex = text.starts_with("0x") || text.starts_with("0X");
    let (mut after_digit, mut open) = (hex, false);
    for c in text.chars().skip(if hex { 2 } else { 0 }) {
        let digit = c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
        if c == '_' && !after_digit || c != '_' && open && !digit {
            return false;
        }
        open = c == '_';
        after_digit = digit;
    }
    !open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers() {
        for (text, want) in [
            ("1", 1.0),
            ("1_000", 1000.0),
            ("1_000.5", 1000.5),
            ("0x1F", 31.0),
            ("0x_1F", 31.0),
            ("017", 15.0),
            ("089", 89.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1e-3", 0.001),
            ("iNf", f64::INFINITY),
        ] {
            assert_eq!(number(text), Ok(want), "{text}");
        }
        let err = |text: &str| number(text).unwrap_err();
        assert_eq!(err("1e999"), r#"strconv.ParseFloat: parsing "1e999": value out of range"#);
        assert_eq!(err("1__0"), r#"strconv.ParseFloat: parsing "1__0": invalid syntax"#);
        assert!(number("0xFFFFFFFFFFFFFFFFF").is_err());
    }

    #[test]
    fn reads_durations() {
        let ms = |n: i64| Ok(n * 1_000_000);
        assert_eq!(duration("1h30m"), ms(5_400_000));
        assert_eq!(duration("1s500ms"), ms(1500));
        assert_eq!(duration("0s"), ms(0));
        let err = |text: &str| duration(text).unwrap_err();
        assert_eq!(err("1m1h"), r#"not a valid duration string: "1m1h""#);
        assert_eq!(err("5hs"), r#"unknown unit "hs" in duration "5hs""#);
        assert_eq!(err("300y"), "duration out of range");
        assert_eq!(
            err("99999999999999999999s"),
            r#"not a valid duration string: "99999999999999999999s""#
        );
    }
}
