//! A value of an attribute or a body, borrowed from the request where that is possible.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::document::MAX_PATH;

/// What OTLP calls `AnyValue`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Any<'a> {
    #[default]
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Any<'a>>),
    Map(Attributes<'a>),
}

pub(super) type Attributes<'a> = Vec<(Cow<'a, str>, Any<'a>)>;

// === impl Any ===

impl<'a> Any<'a> {
    /// The value as a line or as metadata: strings as they are, lists and maps as JSON.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) => text,
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(n) => Cow::Owned(n.to_string()),
            Self::Double(v) => Cow::Owned(number(v)),
            Self::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::List(_) | Self::Map(_) => {
                let mut out = String::new();
                self.put_json(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends the value as JSON.
    fn put_json(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => put_quoted(out, text),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Int(n) => out.push_str(&n.to_string()),
            // JSON has no word for these.
            Self::Double(v) if !v.is_finite() => put_quoted(out, &number(*v)),
            Self::Double(v) => out.push_str(&number(*v)),
            Self::Bytes(bytes) => put_quoted(out, &STANDARD.encode(bytes)),
            Self::List(values) => {
                out.push('[');
                for (i, value) in values.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    value.put_json(out);
                }
                out.push(']');
            }
            Self::Map(pairs) => {
                out.push('{');
                for (i, (name, value)) in pairs.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    put_quoted(out, name);
                    out.push(':');
                    value.put_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends `text` as a JSON string.
fn put_quoted(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// As Go prints numbers within JSON: shortest, with an exponent only when very large or small.
fn number(v: f64) -> String {
    let size = v.abs();
    match () {
        () if v.is_nan() => "NaN".to_owned(),
        () if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        () if size != 0.0 && !(1e-6..1e21).contains(&size) => {
            let text = format!("{v:e}");
            // Rust writes `1e21`, Go `1e+21`.
            if size >= 1.0 { text.replace('e', "e+") } else { text }
        }
        () => v.to_string(),
    }
}

/// Appends the attribute as metadata pairs: maps become a pair for each leaf, names joined by `_`,
/// unless they are too long for that.
pub(super) fn flatten<'a>(
    name: Cow<'a, str>,
    value: Any<'a>,
    out: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) {
    match value {
        Any::Map(pairs) if name.len() <= MAX_PATH => {
            for (inner, value) in pairs {
                flatten(Cow::Owned(format!("{name}_{inner}")), value, out);
            }
        }
        value => out.push((name, value.into_text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_go_does() {
        let cases = [
            (1.0, "1"),
            (0.5, "0.5"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1.5e21, "1.5e+21"),
            (2.5e-7, "2.5e-7"),
            (f64::INFINITY, "+Inf"),
        ];
        for (v, want) in cases {
            assert_eq!(number(v), want);
        }
    }

    #[test]
    fn maps_are_flattened_and_lists_are_json() {
        let list = Any::List(vec![Any::Int(1), Any::Text("a\"".into()), Any::Empty]);
        let inner = Any::Map(vec![("c".into(), list), ("d".into(), Any::Bool(true))]);
        let mut out = Vec::new();
        flatten("a.b".into(), inner, &mut out);
        let want = [("a.b_c".into(), "[1,\"a\\\"\",null]".into()), ("a.b_d".into(), "true".into())];
        assert_eq!(out, want);
    }
}
