//! Go's `Sprintf` for the values templates have.

use skald_model::quote::{quote, quote_char};

use super::MAX_OUTPUT;
use super::convert::to_float;
use super::value::{Value, general};

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn printf(format: &str, args: &[Value]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let spec = spec(&mut chars);
        if spec.width > MAX_OUTPUT || spec.precision.is_some_and(|p| p > 1_000) {
            return Err("width or precision is too large".to_owned());
        }
        match chars.next() {
            None => out.extend_from_slice(b"%!(NOVERB)"),
            Some('%') => out.push(b'%'),
            Some(verb) => match args.next() {
                None => out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes()),
                Some(value) => pad(&spec, verb, value, &mut out),
            },
        }
        if out.len() > MAX_OUTPUT {
            return Err("result is too long".to_owned());
        }
    }
    let extra: Vec<&Value> = args.collect();
    if !extra.is_empty() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (i, value) in extra.into_iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"" } else { b", " });
            out.extend_from_slice(format!("{}=", value.kind()).as_bytes());
            value.print_operand(&mut out);
        }
        out.push(b')');
    }
    Ok(out)
}

fn spec(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = chars.next_if(|c| "-+0 #".contains(*c)) {
        match flag {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            '0' => spec.zero = true,
            ' ' => spec.space = true,
            _ => spec.sharp = true,
        }
    }
    spec.width = digits(chars).unwrap_or(0);
    if chars.next_if_eq(&'.').is_some() {
        spec.precision = Some(digits(chars).unwrap_or(0));
    }
    spec
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut value = None;
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        let digit = c.to_digit(10).and_then(|d| usize::try_from(d).ok()).unwrap_or(0);
        value = Some(value.unwrap_or(0usize).saturating_mul(10).saturating_add(digit));
    }
    value
}

fn pad(spec: &Spec, verb: char, value: &Value, out: &mut Vec<u8>) {
    let text = verb_text(spec, verb, value);
    let have = String::from_utf8_lossy(&text).chars().count();
    let missing = spec.width.saturating_sub(have);
    if spec.minus {
        out.extend_from_slice(&text);
        out.resize(out.len() + missing, b' ');
    } else if spec.zero {
        let signed = matches!(text.first(), Some(b'-' | b'+')) && !matches!(value, Value::Str(_));
        let (sign, digits) = text.split_at(usize::from(signed));
        out.extend_from_slice(sign);
        out.resize(out.len() + missing, b'0');
        out.extend_from_slice(digits);
    } else {
        out.resize(out.len() + missing, b' ');
        out.extend_from_slice(&text);
    }
}

fn verb_text(spec: &Spec, verb: char, value: &Value) -> Vec<u8> {
    let signed = |text: String, negative: bool| {
        let sign = if negative {
            ""
        } else if spec.plus {
            "+"
        } else if spec.space {
            " "
        } else {
            ""
        };
        format!("{sign}{text}").into_bytes()
    };
    match (verb, value) {
        ('v', Value::Int(i)) | ('d', Value::Int(i)) => signed(i.to_string(), *i < 0),
        ('v', Value::Float(f)) if spec.precision.is_none() => signed(general(*f, 6), *f < 0.0),
        ('v' | 's', Value::Str(_) | Value::Raw(_)) => cut(spec, value),
        ('v', Value::Float(f)) => signed(significant(*f, spec.precision), *f < 0.0),
        ('v', _) => printed(value),
        ('s', Value::List(_) | Value::Map(_) | Value::Time(_)) => printed(value),
        ('t', Value::Bool(_)) => printed(value),
        ('q', Value::Str(s)) => {
            let some: String = s.chars().take(spec.precision.unwrap_or(usize::MAX)).collect();
            quote(&some).into_bytes()
        }
        ('q', Value::Int(i)) => quote_char(rune(*i)).into_bytes(),
        ('x' | 'X' | 'o' | 'b', Value::Int(i)) => {
            let (sign, size) = (if *i < 0 { "-" } else { "" }, i.unsigned_abs());
            let digits = match verb {
                'x' => format!("{size:x}"),
                'X' => format!("{size:X}"),
                'o' => format!("{size:o}"),
                _ => format!("{size:b}"),
            };
            signed(format!("{sign}{digits}"), *i < 0)
        }
        ('c', Value::Int(i)) => rune(*i).to_string().into_bytes(),
        ('x', Value::Str(s)) => s.bytes().flat_map(|b| format!("{b:02x}").into_bytes()).collect(),
        ('X', Value::Str(s)) => s.bytes().flat_map(|b| format!("{b:02X}").into_bytes()).collect(),
        ('f' | 'F' | 'e', Value::Float(f)) if !f.is_finite() => signed(general(*f, 6), true),
        ('f' | 'F', Value::Float(f)) => {
            signed(format!("{f:.*}", spec.precision.unwrap_or(6)), *f < 0.0)
        }
        ('e', Value::Float(f)) => signed(exponent(*f, spec.precision.unwrap_or(6)), *f < 0.0),
        ('g', Value::Float(f)) => signed(significant(*f, spec.precision), *f < 0.0),
        ('T', _) => value.kind().as_bytes().to_vec(),
        (_, Value::Nil) => format!("%!{verb}(<nil>)").into_bytes(),
        _ => {
            let mut out = format!("%!{verb}({}=", value.kind()).into_bytes();
            value.print_operand(&mut out);
            out.push(b')');
            out
        }
    }
}

fn rune(code: i64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn printed(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.print_operand(&mut out);
    out
}

/// Text, at most `precision` characters of it.
fn cut(spec: &Spec, value: &Value) -> Vec<u8> {
    match (spec.precision, value) {
        (Some(n), Value::Str(s)) => s.chars().take(n).collect::<String>().into_bytes(),
        _ => printed(value),
    }
}

fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// `%g`: so many significant digits, trailing zeros removed.
fn significant(value: f64, precision: Option<usize>) -> String {
    let Some(n) = precision.map(|p| p.max(1)) else { return general(value, 6) };
    let rounded: f64 = format!("{value:.*e}", n - 1).parse().unwrap_or(value);
    general(to_float(&Value::Float(rounded)), i32::try_from(n).unwrap_or(i32::MAX))
}
