//! What template expressions compute.

use std::collections::BTreeMap;

use super::time;

/// A value. Text is nearly always UTF-8; functions that cut bytes can make it not so.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// Text that is not UTF-8.
    Raw(Vec<u8>),
    /// Nanoseconds since the epoch, UTC; `None` is Go's zero time.
    Time(Option<i64>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// The labels of the line.
    Labels,
}

// === impl Value ===

impl Value {
    pub(super) fn text(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|e| Self::Raw(e.into_bytes()), Self::Str)
    }

    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Raw(b) => !b.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) | Self::Labels => true,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) | Self::Raw(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels => "map[string]string",
        }
    }

    /// Appends the value as it looks inside others, and to functions that print.
    pub(super) fn print_operand(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.extend_from_slice(b"<nil>"),
            value => value.print(out),
        }
    }

    /// Appends the value as Go prints it.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.extend_from_slice(b"<no value>"),
            Self::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
            Self::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
            Self::Float(f) => out.extend_from_slice(float(*f).as_bytes()),
            Self::Str(s) => out.extend_from_slice(s.as_bytes()),
            Self::Raw(b) => out.extend_from_slice(b),
            Self::Time(t) => out.extend_from_slice(time::default_format(*t).as_bytes()),
            Self::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    item.print_operand(out);
                }
                out.push(b']');
            }
            Self::Map(map) => {
                out.extend_from_slice(b"map[");
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(key.as_bytes());
                    out.push(b':');
                    value.print_operand(out);
                }
                out.push(b']');
            }
            Self::Labels => out.extend_from_slice(b"map[]"),
        }
    }

    pub(super) fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(b) => Self::Bool(b),
            serde_json::Value::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => Self::Str(s),
            serde_json::Value::Array(items) => {
                Self::List(items.into_iter().map(Self::from_json).collect())
            }
            serde_json::Value::Object(map) => {
                Self::Map(map.into_iter().map(|(k, v)| (k, Self::from_json(v))).collect())
            }
        }
    }
}

/// A float as Go's `%v`: shortest digits, exponent form below 1e-4 and from 1e6 on.
pub(super) fn float(value: f64) -> String {
    general(value, 6)
}

/// `%g`-like with the exponent from which the exponent form is taken.
pub(super) fn general(value: f64, from_exponent: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..from_exponent).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}
