//! The functions of templates: logic, comparison, numbers, time. Text is in [`text_funcs`].

#![expect(clippy::float_cmp, reason = "templates compare floats exactly, as Go does")]

use std::cmp::Ordering;

use super::convert::{round, to_float, to_int};
use super::decimal::{self, Op};
use super::value::Value;
use super::{printf, text_funcs, time};

type Result = std::result::Result<Value, String>;
pub(super) type Func = fn(&[Value]) -> Result;

/// Least and most arguments.
pub(super) type Arity = (usize, usize);
pub(super) const MANY: usize = usize::MAX;

/// Evaluated where labels and line are at hand.
const SPECIAL: [&str; 5] = ["and", "or", "__line__", "__timestamp__", "index"];

const TABLE: &[(&str, Arity, Func)] = &[
    ("not", (1, 1), |a| Ok(Value::Bool(!a[0].truth()))),
    ("eq", (2, MANY), eq),
    ("ne", (2, 2), |a| Ok(Value::Bool(!equal(&a[0], &a[1])?))),
    ("lt", (2, 2), |a| Ok(Value::Bool(order(&a[0], &a[1])? == Some(Ordering::Less)))),
    ("le", (2, 2), |a| Ok(Value::Bool(order(&a[0], &a[1])?.is_some_and(Ordering::is_le)))),
    ("gt", (2, 2), |a| Ok(Value::Bool(order(&a[0], &a[1])? == Some(Ordering::Greater)))),
    ("ge", (2, 2), |a| Ok(Value::Bool(order(&a[0], &a[1])?.is_some_and(Ordering::is_ge)))),
    ("len", (1, 1), len),
    ("default", (1, 2), |a| Ok(a.get(1).filter(|v| v.truth()).unwrap_or(&a[0]).clone())),
    ("print", (0, MANY), |a| Ok(Value::text(print(a)))),
    ("println", (0, MANY), println),
    ("printf", (1, MANY), |a| printf::printf(&text(&a[0])?, &a[1..]).map(Value::text)),
    ("fromJson", (1, 1), from_json),
    ("int", (1, 1), |a| Ok(Value::Int(to_int(&a[0])))),
    ("float64", (1, 1), |a| Ok(Value::Float(to_float(&a[0])))),
    ("add", (0, MANY), |a| Ok(Value::Int(a.iter().fold(0, |s, v| s.wrapping_add(to_int(v)))))),
    ("sub", (2, 2), |a| Ok(Value::Int(to_int(&a[0]).wrapping_sub(to_int(&a[1]))))),
    ("mul", (1, MANY), |a| Ok(Value::Int(a.iter().fold(1, |s, v| s.wrapping_mul(to_int(v)))))),
    ("div", (2, 2), |a| divide(to_int(&a[0]).checked_div(to_int(&a[1])))),
    ("mod", (2, 2), |a| divide(to_int(&a[0]).checked_rem(to_int(&a[1])))),
    ("addf", (0, MANY), |a| decimal(Op::Add, a)),
    ("subf", (1, MANY), |a| decimal(Op::Sub, a)),
    ("mulf", (1, MANY), |a| decimal(Op::Mul, a)),
    ("divf", (1, MANY), |a| decimal(Op::Div, a)),
    ("max", (1, MANY), |a| Ok(Value::Int(a.iter().map(to_int).max().unwrap_or(0)))),
    ("min", (1, MANY), |a| Ok(Value::Int(a.iter().map(to_int).min().unwrap_or(0)))),
    ("maxf", (1, MANY), |a| Ok(fold_floats(a, go_max))),
    ("minf", (1, MANY), |a| Ok(fold_floats(a, |x, y| -go_max(-x, -y)))),
    ("ceil", (1, 1), |a| Ok(Value::Float(to_float(&a[0]).ceil()))),
    ("floor", (1, 1), |a| Ok(Value::Float(to_float(&a[0]).floor()))),
    ("round", (2, 3), |a| {
        Ok(Value::Float(round(to_float(&a[0]), to_int(&a[1]), a.get(2).map_or(0.5, to_float))))
    }),
    ("bytes", (1, 1), bytes),
    ("duration", (1, 1), seconds),
    ("duration_seconds", (1, 1), seconds),
    ("unixEpoch", (1, 1), |a| Ok(Value::Str(epoch(&a[0], 1_000_000_000)?.to_string()))),
    ("unixEpochMillis", (1, 1), |a| Ok(Value::Str(epoch(&a[0], 1_000_000)?.to_string()))),
    ("unixEpochNanos", (1, 1), |a| Ok(Value::Str(epoch(&a[0], 1)?.to_string()))),
    ("unixToTime", (1, 1), |a| time::unix_to_time(&text(&a[0])?).map(|t| Value::Time(Some(t)))),
    ("date", (2, 2), |a| {
        let layout = text(&a[0])?;
        Ok(Value::Str(time::format(&layout, instant(&a[1])?)))
    }),
    ("now", (0, 0), |_| Ok(Value::Time(Some(time::now())))),
    ("call", (1, MANY), |a| Err(format!("non-function of type {}", a[0].kind()))),
    ("toDate", (2, 2), |a| Ok(Value::Time(time::parse(&text(&a[0])?, &text(&a[1])?)))),
    ("toDateInZone", (3, 3), |a| {
        time::check_zone(&text(&a[1])?)?;
        Ok(Value::Time(time::parse(&text(&a[0])?, &text(&a[2])?)))
    }),
];

/// The table's own name for `word`, if there is such a function.
pub(super) fn name(word: &str) -> Option<&'static str> {
    let special = SPECIAL.iter().find(|name| **name == word).copied();
    special.or_else(|| find(word).map(|(name, ..)| *name))
}

fn find(word: &str) -> Option<&'static (&'static str, Arity, Func)> {
    TABLE.iter().chain(text_funcs::TABLE).find(|(name, ..)| *name == word)
}

pub(super) fn call(name: &str, args: &[Value]) -> Result {
    let (_, (least, most), func) = find(name).ok_or("not defined")?;
    if args.len() < *least || args.len() > *most {
        return Err(format!("wrong number of args: want {least} got {}", args.len()));
    }
    func(args)
}

/// The text of a value that must be text.
pub(super) fn text(value: &Value) -> std::result::Result<String, String> {
    match value {
        Value::Str(s) => Ok(s.clone()),
        Value::Raw(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(format!("wrong type for value; expected string; got {}", other.kind())),
    }
}

fn eq(args: &[Value]) -> Result {
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(a: &Value, b: &Value) -> std::result::Result<bool, String> {
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Str(a), Value::Str(b)) => Ok(a == b),
        (Value::Raw(a), Value::Raw(b)) => Ok(a == b),
        (Value::Raw(_), Value::Str(_)) | (Value::Str(_), Value::Raw(_)) => Ok(false),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn order(a: &Value, b: &Value) -> std::result::Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn len(args: &[Value]) -> Result {
    let n = match &args[0] {
        Value::Str(s) => s.len(),
        Value::Raw(b) => b.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

/// Go's `Sprint`: a space between two neighbours of which neither is text.
pub(super) fn print(args: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let is_text = |v: &Value| matches!(v, Value::Str(_) | Value::Raw(_));
    for (i, value) in args.iter().enumerate() {
        if i > 0 && !is_text(value) && !is_text(&args[i - 1]) {
            out.push(b' ');
        }
        value.print_operand(&mut out);
    }
    out
}

fn println(args: &[Value]) -> Result {
    let mut out = Vec::new();
    for (i, value) in args.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        value.print_operand(&mut out);
    }
    out.push(b'\n');
    Ok(Value::text(out))
}

fn from_json(args: &[Value]) -> Result {
    Ok(serde_json::from_str(&text(&args[0])?).map_or(Value::Nil, Value::from_json))
}

fn divide(quotient: Option<i64>) -> Result {
    quotient.map(Value::Int).ok_or_else(|| "runtime error: integer divide by zero".to_owned())
}

fn decimal(op: Op, args: &[Value]) -> Result {
    decimal::fold(op, args.iter().map(to_float)).map(Value::Float)
}

/// The greater one; what is no number wins over all but infinity.
fn go_max(a: f64, b: f64) -> f64 {
    match (a, b) {
        (f64::INFINITY, _) | (_, f64::INFINITY) => f64::INFINITY,
        (a, b) if a.is_nan() || b.is_nan() => f64::NAN,
        (a, b) => a.max(b),
    }
}

fn fold_floats(args: &[Value], join: fn(f64, f64) -> f64) -> Value {
    Value::Float(args.iter().map(to_float).reduce(join).unwrap_or(0.0))
}

#[expect(clippy::cast_precision_loss, reason = "sizes above 2^53 lose their last digits in Go too")]
fn bytes(args: &[Value]) -> Result {
    let text = text(&args[0])?;
    let size = crate::units::humanize_bytes(&text)
        .ok_or_else(|| format!("parsing {text:?}: invalid syntax"))?;
    Ok(Value::Float(size as f64))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds to float seconds, as in Go")]
fn seconds(args: &[Value]) -> Result {
    let text = text(&args[0])?;
    let ns =
        crate::units::go_duration(&text).ok_or_else(|| format!("invalid duration {text:?}"))?;
    Ok(Value::Float(ns as f64 / 1e9))
}

fn instant(value: &Value) -> std::result::Result<Option<i64>, String> {
    match value {
        Value::Time(t) => Ok(*t),
        Value::Int(seconds) => Ok(seconds.checked_mul(1_000_000_000)),
        other => Err(format!("wrong type for value; expected time.Time; got {}", other.kind())),
    }
}

fn epoch(value: &Value, unit: i64) -> std::result::Result<i64, String> {
    match value {
        Value::Time(Some(ns)) => Ok(ns.div_euclid(unit)),
        Value::Time(None) => Ok((time::ZERO_SECONDS).saturating_mul(1_000_000_000 / unit)),
        other => Err(format!("wrong type for value; expected time.Time; got {}", other.kind())),
    }
}
