//! Functions over vectors: element-wise mathematics, labels, calendar, sorting.

mod calendar;
mod label;
mod math;
mod named;
mod order;
mod scalar;

#[cfg(test)]
mod tests;

pub use self::calendar::{DatePart, rfc3339};
pub(crate) use self::label::with_label;
pub use self::label::{label_join, label_replace};
pub use self::math::{clamp, go_max, go_min, map_floats, round};
pub use self::named::{date_part, math};
pub use self::order::{Direction, sort, sort_by_labels, sort_by_value};
pub use self::scalar::single_values;

/// Prints a float as the query APIs do in label values: shortest digits, no exponent, `+Inf`.
pub fn format_float(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{v}")
    }
}

/// Prints a float as messages do (Go's `%g`): shortest digits, an exponent below 1e-4 and from 1e6 on.
pub fn format_g(v: f64) -> String {
    let size = v.abs();
    if !v.is_finite() || size == 0.0 || (1e-4..1e6).contains(&size) {
        return format_float(v);
    }
    with_exponent(&format!("{v:e}"))
}

/// As [`format_g`], rounded to two digits (`%.2g`).
pub fn format_g2(v: f64) -> String {
    let text = format!("{v:.1e}");
    let (digits, exp) = text.split_once('e').unwrap_or((&text, ""));
    match exp.parse::<i32>() {
        Ok(-4..=1) => format_float(text.parse().unwrap_or(v)),
        Ok(_) => with_exponent(&format!("{}e{exp}", digits.trim_end_matches(".0"))),
        Err(_) => format_float(v),
    }
}

/// Gives the exponent of `1.5e7` a sign and two digits.
fn with_exponent(text: &str) -> String {
    let (digits, exp) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exp) = exp.strip_prefix('-').map_or(('+', exp), |e| ('-', e));
    format!("{digits}e{sign}{exp:0>2}")
}
