//! Numbers, durations and histogram literals of the test language.

use skald_model::{BucketCounts, Histogram, ResetHint, Span};

/// Milliseconds.
pub(crate) fn duration(s: &str) -> Option<i64> {
    if s == "0" {
        return Some(0);
    }
    if let Some(rest) = s.strip_prefix('-') {
        return duration(rest).map(|d| -d);
    }
    let mut rest = s;
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let n: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total += n * unit;
        rest = &rest[letters..];
    }
    (!s.is_empty()).then_some(total)
}

#[expect(clippy::cast_precision_loss, reason = "small test durations")]
pub(crate) fn float(s: &str) -> Option<f64> {
    let (sign, body) = match s.as_bytes().first()? {
        b'-' => (-1.0, &s[1..]),
        b'+' => (1.0, &s[1..]),
        _ => (1.0, s),
    };
    let value = match body.to_ascii_lowercase().as_str() {
        "inf" => f64::INFINITY,
        "nan" => f64::NAN,
        b if b.starts_with("0x") => u64::from_str_radix(&b[2..], 16).ok()? as f64,
        b if b.starts_with("infinity") => return None,
        b => match b.replace('_', "").parse::<f64>() {
            Ok(v) => v,
            Err(_) => duration(b)? as f64 / 1000.0,
        },
    };
    Some(sign * value)
}

/// `schema:0 sum:5 count:4 buckets:[1 2 1]`; the braces are already off. Says whether a hint was named.
pub(crate) fn histogram(body: &str) -> Option<(Histogram, bool)> {
    let mut h = Histogram {
        schema: 0,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 0.0,
        sum: 0.0,
        positive_spans: vec![],
        negative_spans: vec![],
        custom_values: vec![],
        counts: BucketCounts::Float {
            count: 0.0,
            zero_count: 0.0,
            positive: vec![],
            negative: vec![],
        },
    };
    let (mut offset, mut n_offset, mut hinted) = (0i32, 0i32, false);
    let (mut count, mut zero_count) = (0.0, 0.0);
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':')?;
        let (value, tail) = if let Some(list) = after.strip_prefix('[') {
            list.split_once(']')?
        } else {
            after.split_once(char::is_whitespace).unwrap_or((after, ""))
        };
        let list = || value.split_whitespace().map(float).collect::<Option<Vec<f64>>>();
        match key.trim() {
            "schema" => h.schema = value.parse().ok()?,
            "sum" => h.sum = float(value)?,
            "count" => count = float(value)?,
            "z_bucket" => zero_count = float(value)?,
            "z_bucket_w" => h.zero_threshold = float(value)?,
            "custom_values" => h.custom_values = list()?,
            "buckets" => positive = list()?,
            "n_buckets" => negative = list()?,
            "offset" => offset = value.parse().ok()?,
            "n_offset" => n_offset = value.parse().ok()?,
            "counter_reset_hint" => {
                hinted = true;
                h.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Yes,
                    "not_reset" => ResetHint::No,
                    "gauge" => ResetHint::Gauge,
                    _ => return None,
                };
            }
            _ => return None,
        }
        rest = tail.trim_start();
    }
    let span = |offset, n: usize| vec![Span { offset, length: u32::try_from(n).unwrap() }];
    h.positive_spans = span(offset, positive.len());
    h.negative_spans = span(n_offset, negative.len());
    h.counts = BucketCounts::Float { count, zero_count, positive, negative };
    Some((h, hinted))
}
