//! The text functions of templates.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

use super::convert::to_int;
use super::funcs::{Arity, Func, MANY, print, text};
use super::value::Value;
use super::{MAX_OUTPUT, base64};

type Result = std::result::Result<Value, String>;

pub(super) const TABLE: &[(&str, Arity, Func)] = &[
    ("ToLower", (1, 1), |a| string(text(&a[0])?.to_lowercase())),
    ("ToUpper", (1, 1), |a| string(text(&a[0])?.to_uppercase())),
    ("lower", (1, 1), |a| string(text(&a[0])?.to_lowercase())),
    ("upper", (1, 1), |a| string(text(&a[0])?.to_uppercase())),
    ("title", (1, 1), |a| string(title(&text(&a[0])?))),
    ("Replace", (4, 4), |a| replace(&text(&a[0])?, &text(&a[1])?, &text(&a[2])?, to_int(&a[3]))),
    ("replace", (3, 3), |a| replace(&text(&a[2])?, &text(&a[0])?, &text(&a[1])?, -1)),
    ("Trim", (2, 2), |a| string(text(&a[0])?.trim_matches(|c| in_set(&a[1], c)).to_owned())),
    ("TrimLeft", (2, 2), |a| {
        string(text(&a[0])?.trim_start_matches(|c| in_set(&a[1], c)).to_owned())
    }),
    ("TrimRight", (2, 2), |a| {
        string(text(&a[0])?.trim_end_matches(|c| in_set(&a[1], c)).to_owned())
    }),
    ("TrimPrefix", (2, 2), |a| trim_prefix(&text(&a[0])?, &text(&a[1])?)),
    ("TrimSuffix", (2, 2), |a| trim_suffix(&text(&a[0])?, &text(&a[1])?)),
    ("TrimSpace", (1, 1), |a| string(text(&a[0])?.trim().to_owned())),
    ("trim", (1, 1), |a| string(text(&a[0])?.trim().to_owned())),
    ("trimAll", (2, 2), |a| string(text(&a[1])?.trim_matches(|c| in_set(&a[0], c)).to_owned())),
    ("trimPrefix", (2, 2), |a| trim_prefix(&text(&a[1])?, &text(&a[0])?)),
    ("trimSuffix", (2, 2), |a| trim_suffix(&text(&a[1])?, &text(&a[0])?)),
    ("contains", (2, 2), |a| Ok(Value::Bool(text(&a[1])?.contains(&text(&a[0])?)))),
    ("hasPrefix", (2, 2), |a| Ok(Value::Bool(text(&a[1])?.starts_with(&text(&a[0])?)))),
    ("hasSuffix", (2, 2), |a| Ok(Value::Bool(text(&a[1])?.ends_with(&text(&a[0])?)))),
    ("trunc", (2, 2), |a| Ok(trunc(to_int(&a[0]), &a[1]))),
    ("substr", (3, 3), |a| substr(to_int(&a[0]), to_int(&a[1]), &a[2])),
    ("slice", (1, 3), slice),
    ("repeat", (2, 2), |a| repeat(to_int(&a[0]), &text(&a[1])?)),
    ("indent", (2, 2), |a| indent(to_int(&a[0]), &text(&a[1])?, "")),
    ("nindent", (2, 2), |a| indent(to_int(&a[0]), &text(&a[1])?, "\n")),
    ("alignLeft", (2, 2), |a| align(to_int(&a[0]), &text(&a[1])?, true)),
    ("alignRight", (2, 2), |a| align(to_int(&a[0]), &text(&a[1])?, false)),
    ("regexReplaceAll", (3, 3), |a| regex_replace(a, false)),
    ("regexReplaceAllLiteral", (3, 3), |a| regex_replace(a, true)),
    ("count", (2, 2), count),
    ("urlencode", (1, 1), |a| string(url_encode(&text(&a[0])?))),
    ("urlquery", (0, MANY), |a| string(url_encode(&printed(a)))),
    ("urldecode", (1, 1), |a| url_decode(&text(&a[0])?)),
    ("b64enc", (1, 1), |a| string(STANDARD.encode(bytes(&a[0])))),
    ("b64dec", (1, 1), |a| Ok(base64_decode(&text(&a[0])?))),
    ("html", (0, MANY), |a| string(html(&printed(a)))),
    ("js", (0, MANY), |a| string(js(&printed(a)))),
];

#[expect(clippy::unnecessary_wraps, reason = "the shape of the table's functions")]
fn string(text: String) -> Result {
    Ok(Value::Str(text))
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Str(s) => s.as_bytes(),
        Value::Raw(b) => b,
        _ => &[],
    }
}

fn in_set(set: &Value, c: char) -> bool {
    matches!(set, Value::Str(s) if s.contains(c))
}

/// Upper-cases the first letter of each word.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = if c.is_ascii() {
            !(c.is_ascii_alphanumeric() || c == '_')
        } else {
            !c.is_alphanumeric() && c.is_whitespace()
        };
    }
    out
}

fn replace(text: &str, old: &str, new: &str, n: i64) -> Result {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let n_found = text.matches(old).count().min(n);
    limit(text.len().saturating_add(n_found.saturating_mul(new.len())))?;
    string(text.replacen(old, new, n))
}

fn trim_prefix(text: &str, prefix: &str) -> Result {
    string(text.strip_prefix(prefix).unwrap_or(text).to_owned())
}

fn trim_suffix(text: &str, suffix: &str) -> Result {
    string(text.strip_suffix(suffix).unwrap_or(text).to_owned())
}

/// The first `n` bytes, or the last `-n`.
fn trunc(n: i64, value: &Value) -> Value {
    let all = bytes(value);
    let size = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX).min(all.len());
    Value::text(if n < 0 { all[all.len() - size..].to_vec() } else { all[..size].to_vec() })
}

/// Bytes `start..end`; one that is negative, or an `end` behind the text, is not there.
fn substr(start: i64, end: i64, value: &Value) -> Result {
    let all = bytes(value);
    let at = |i: i64| usize::try_from(i).unwrap_or(usize::MAX);
    let found = match (start < 0, at(end) > all.len()) {
        (true, _) => all.get(..at(end)),
        (false, true) => all.get(at(start)..),
        (false, false) => all.get(at(start)..at(end)),
    };
    let found = found.ok_or_else(|| format!("slice bounds out of range [{start}:{end}]"))?;
    Ok(Value::text(found.to_vec()))
}

fn slice(args: &[Value]) -> Result {
    let n = match &args[0] {
        Value::List(items) => items.len(),
        value => bytes(value).len(),
    };
    let at = |i: usize, or: usize| match args.get(i) {
        None => Ok(or),
        Some(v) => usize::try_from(to_int(v)).ok().filter(|i| *i <= n).ok_or("index out of range"),
    };
    let (start, end) = (at(1, 0)?, at(2, n)?);
    if start > end {
        return Err("invalid slice index".to_owned());
    }
    match &args[0] {
        Value::List(items) => Ok(Value::List(items[start..end].to_vec())),
        Value::Str(_) | Value::Raw(_) => Ok(Value::text(bytes(&args[0])[start..end].to_vec())),
        other => Err(format!("can't slice item of type {}", other.kind())),
    }
}

fn limit(size: usize) -> std::result::Result<(), String> {
    if size > MAX_OUTPUT { Err(format!("result of {size} bytes is too long")) } else { Ok(()) }
}

fn count_of(n: i64) -> std::result::Result<usize, String> {
    usize::try_from(n).map_err(|_| "negative repeat count".to_owned())
}

fn repeat(n: i64, text: &str) -> Result {
    let n = count_of(n)?;
    limit(text.len().saturating_mul(n))?;
    string(text.repeat(n))
}

fn indent(n: i64, text: &str, before: &str) -> Result {
    let n = count_of(n)?;
    limit(text.len().saturating_add(n.saturating_mul(text.matches('\n').count() + 1)))?;
    let pad = " ".repeat(n);
    string(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

/// Pads with spaces or cuts to `n` characters; a negative `n` does nothing.
fn align(n: i64, text: &str, left: bool) -> Result {
    let Ok(n) = usize::try_from(n) else { return string(text.to_owned()) };
    limit(n)?;
    let have = text.chars().count();
    string(match (have > n, left) {
        (true, true) => text.chars().take(n).collect(),
        (true, false) => text.chars().skip(have - n).collect(),
        (false, true) => format!("{text}{}", " ".repeat(n - have)),
        (false, false) => format!("{}{text}", " ".repeat(n - have)),
    })
}

fn compile(pattern: &str) -> std::result::Result<regex::Regex, String> {
    skald_model::regex::unanchored(pattern).map_err(|e| e.to_string())
}

fn regex_replace(args: &[Value], literal: bool) -> Result {
    let re = compile(&text(&args[0])?)?;
    let (subject, with) = (text(&args[1])?, text(&args[2])?);
    let n_found = re.find_iter(&subject).count();
    limit(
        subject.len().saturating_add(n_found.saturating_mul(with.len() + subject.len().min(1024))),
    )?;
    let out = if literal {
        re.replace_all(&subject, regex::NoExpand(&with))
    } else {
        re.replace_all(&subject, with.as_str())
    };
    string(out.into_owned())
}

fn count(args: &[Value]) -> Result {
    let n = compile(&text(&args[0])?)?.find_iter(&text(&args[1])?).count();
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b if b.is_ascii_alphanumeric() => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn url_decode(text: &str) -> Result {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = rest.get(..2).and_then(|h| std::str::from_utf8(h).ok());
                let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
                out.push(byte.ok_or_else(|| format!("invalid URL escape in {text:?}"))?);
                rest = &rest[2..];
            }
            b => out.push(*b),
        }
    }
    Ok(Value::text(out))
}

/// What does not decode is told in the value itself.
fn base64_decode(text: &str) -> Value {
    match base64::decode(text.as_bytes()) {
        Ok(bytes) => Value::text(bytes),
        Err(at) => Value::Str(format!("illegal base64 data at input byte {at}")),
    }
}

fn printed(args: &[Value]) -> String {
    // Nothing has another name here.
    if let [Value::Nil] = args {
        return "<no value>".to_owned();
    }
    String::from_utf8_lossy(&print(args)).into_owned()
}

/// What JavaScript reads back as `text`.
fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
