//! Numbers with units as Go, Prometheus and humanize write them. Pure text, nothing allocates much.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "float to integer conversions are checked for range before"
)]

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// Prometheus units, largest first, in nanoseconds.
const PROM_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400 * NS_PER_S),
    ("w", 7 * 86_400 * NS_PER_S),
    ("d", 86_400 * NS_PER_S),
    ("h", 3_600 * NS_PER_S),
    ("m", 60 * NS_PER_S),
    ("s", NS_PER_S),
    ("ms", NS_PER_MS),
];

/// Parses `1d12h`, `5m`, `1m30s500ms`: units fall, each at most once, whole numbers. Nanoseconds.
pub fn prometheus_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0i64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: i64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let len = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[..len];
        rest = &rest[len..];
        let at = PROM_UNITS.iter().position(|(name, _)| *name == unit)?;
        if at < next_unit {
            return None;
        }
        next_unit = at + 1;
        total = total.checked_add(n.checked_mul(PROM_UNITS[at].1)?)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Parses what Go's `time.ParseDuration` takes: `1.5h`, `-3m2s`, `17us`, `0`. Nanoseconds.
pub fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let int_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let int = &rest[..int_len];
        rest = &rest[int_len..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let len = after.bytes().take_while(u8::is_ascii_digit).count();
            fraction = &after[..len];
            rest = &after[len..];
        }
        if int.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_len = rest
            .char_indices()
            .find(|(_, c)| *c == '.' || c.is_ascii_digit())
            .map_or(rest.len(), |(i, _)| i);
        let scale = match &rest[..unit_len] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => NS_PER_MS,
            "s" => NS_PER_S,
            "m" => 60 * NS_PER_S,
            "h" => 3_600 * NS_PER_S,
            _ => return None,
        };
        rest = &rest[unit_len..];
        let whole: i64 = if int.is_empty() { 0 } else { int.parse().ok()? };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        total = total.checked_add(fraction_of(fraction, scale))?;
    }
    Some(if negative { -total } else { total })
}

/// `0.<digits> * scale`, truncated.
fn fraction_of(digits: &str, scale: i64) -> i64 {
    let mut value = 0i128;
    let mut unit = 1i128;
    for digit in digits.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        unit *= 10;
    }
    i64::try_from(value * i128::from(scale) / unit).unwrap_or(0)
}

/// Prints nanoseconds so that [`prometheus_duration`], or else [`go_duration`], reads them back.
pub fn format_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    if ns % NS_PER_MS != 0 {
        return format!("{ns}ns");
    }
    let mut out = String::new();
    if ns < 0 {
        out.push('-');
    }
    let mut left = ns.unsigned_abs();
    for (name, scale) in PROM_UNITS {
        let scale = scale.unsigned_abs();
        // Whole multiples only for the calendar units, as Prometheus prints.
        if matches!(name, "y" | "w") && !left.is_multiple_of(scale) {
            continue;
        }
        if left >= scale {
            out.push_str(&(left / scale).to_string());
            out.push_str(name);
            left %= scale;
        }
    }
    out
}

/// Parses what Go's `strconv.ParseFloat` takes, hexadecimal floats included; overflow is an error.
pub fn go_float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if body.len() > 2 && body.as_bytes()[0] == b'0' && matches!(body.as_bytes()[1], b'x' | b'X') {
        let value = hex_float(&body[2..])?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    if body.eq_ignore_ascii_case("nan") && body.len() != text.len() {
        return None;
    }
    if body.contains('_') {
        return go_float(&without_underscores(text)?);
    }
    let value: f64 = text.parse().ok()?;
    let spelt = body.as_bytes().first().is_some_and(|b| matches!(b, b'i' | b'I'));
    (value.is_finite() || value.is_nan() || spelt).then_some(value)
}

/// `1_000` as `1000`; each underscore stands between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let between = |(i, _): (usize, &str)| is_digit(i.checked_sub(1)) && is_digit(Some(i + 1));
    text.match_indices('_').all(between).then(|| text.replace('_', ""))
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if int.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for c in int.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let value = value * 2f64.powi(shift);
    value.is_finite().then_some(value)
}

/// Parses a size as the Go package humanize does: `1.5KiB`, `5 MB`, `1,024B`, `12`. Truncates.
pub fn humanize_bytes(text: &str) -> Option<u64> {
    let split = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || *c == '.' || *c == ','))
        .map_or(text.len(), |(i, _)| i);
    let number = &text[..split];
    let value: f64 = if number.contains(',') {
        number.replace(',', "").parse().ok()?
    } else {
        number.parse().ok()?
    };
    let unit = text[split..].trim();
    let scale: f64 = if unit.is_empty() { 1.0 } else { byte_unit(&unit.to_ascii_lowercase())? };
    let bytes = value * scale;
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

fn byte_unit(unit: &str) -> Option<f64> {
    let short = unit.strip_suffix('b').unwrap_or(unit);
    let (prefix, base) = match short.strip_suffix('i') {
        Some(prefix) => (prefix, 1024f64),
        None => (short, 1000f64),
    };
    let power = match prefix {
        "" if short.is_empty() => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    Some(base.powi(power))
}

/// Parses a size of a query literal; the unit is case-sensitive and must be there.
pub fn query_bytes(text: &str) -> Option<u64> {
    const UNITS: [&str; 12] =
        ["KiB", "MiB", "GiB", "TiB", "PiB", "kB", "KB", "MB", "GB", "TB", "PB", "B"];
    let unit = UNITS.iter().find(|u| text.ends_with(**u))?;
    let number = &text[..text.len() - unit.len()];
    number.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| humanize_bytes(text))?
}

/// Prints a size so that [`query_bytes`] reads the same number back.
pub fn format_bytes(bytes: u64) -> String {
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_stand_between_digits() {
        assert_eq!(go_float("1_000"), Some(1000.0));
        assert_eq!(go_float("-1_0.2_5"), Some(-10.25));
        for bad in ["_1", "1_", "1__0", "1_.0", "_", "x_1"] {
            assert_eq!(go_float(bad), None, "{bad}");
        }
    }

    #[test]
    fn prometheus_durations_are_whole_and_ordered() {
        assert_eq!(prometheus_duration("1d12h"), Some(36 * 3_600 * NS_PER_S));
        assert_eq!(prometheus_duration("1m30s500ms"), Some(90_500 * NS_PER_MS));
        for bad in ["", "5", "5minutes", "0.5h", "1s1m", "1m1m", "99999999999999y", "-5m"] {
            assert_eq!(prometheus_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn go_durations_have_fractions_but_no_days() {
        assert_eq!(go_duration("1.5h"), Some(5_400 * NS_PER_S));
        assert_eq!(go_duration("-3m2s"), Some(-182 * NS_PER_S));
        assert_eq!(go_duration("17us"), Some(17_000));
        assert_eq!(go_duration(".5s"), Some(NS_PER_S / 2));
        for bad in ["", "1d", "5", "s", ".s", "1 s", "-"] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_follow_humanize() {
        assert_eq!(humanize_bytes("1.5KiB"), Some(1536));
        assert_eq!(humanize_bytes("5MB"), Some(5_000_000));
        assert_eq!(humanize_bytes("1,024B"), Some(1024));
        assert_eq!(humanize_bytes("4 kb"), Some(4000));
        assert_eq!(humanize_bytes("12"), Some(12));
        assert_eq!(humanize_bytes("x"), None);
        assert_eq!(humanize_bytes(""), None);
        assert_eq!(query_bytes("1mb"), None);
        assert_eq!(query_bytes("2KiB"), Some(2048));
    }

    #[test]
    fn floats_follow_go() {
        assert_eq!(go_float("0x1p3"), Some(8.0));
        assert_eq!(go_float("1e999"), None);
        assert_eq!(go_float("+Inf"), Some(f64::INFINITY));
        assert!(go_float("NaN").unwrap().is_nan());
        assert_eq!(go_float("0x1F"), None);
        assert_eq!(go_float("1 "), None);
    }

    #[test]
    fn printed_durations_are_read_back() {
        for ns in [300 * NS_PER_S, 90_500 * NS_PER_MS, 17_000, 86_400 * NS_PER_S, 1] {
            let text = format_duration(ns);
            let back = prometheus_duration(&text).or_else(|| go_duration(&text));
            assert_eq!(back, Some(ns), "{text}");
        }
    }
}
