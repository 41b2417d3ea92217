//! OTLP JSON: protobuf's JSON form, with ids in hexadecimal and 64-bit numbers as strings or numbers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde_json::value::RawValue;

use super::MAX_VALUES;
use super::record::{Mapper, Record, Scope};
use super::value::{Any, Attributes};
use crate::json::{Text, each, n_nested};
use crate::remote_write::{Context, Decoded};

/// Decodes a decompressed body. Its lists are walked, and a resource, a scope or a record is held as
/// values only one at a time.
pub(crate) fn decode_json(ctx: &Context, body: &[u8]) -> Result<Decoded, serde_json::Error> {
    let mut mapper = Mapper::new(ctx, body);
    let request: Request<'_> = serde_json::from_slice(body)?;
    each(request.resource_logs, |logs| resource_logs(&mut mapper, logs))?;
    Ok(mapper.finish())
}

fn resource_logs<'a>(
    mapper: &mut Mapper<'a>,
    logs: ResourceLogs<'a>,
) -> Result<(), serde_json::Error> {
    let mut n_records = 0;
    each(logs.scope_logs, |logs: ScopeLogs<'a>| {
        each(logs.log_records, |_: IgnoredAny| {
            n_records += 1;
            Ok(())
        })
    })?;
    if n_records == 0 {
        return Ok(());
    }
    mapper.resource(pairs(tree::<Resource<'a>>(logs.resource)?.attributes)?, n_records);
    each(logs.scope_logs, |logs: ScopeLogs<'a>| {
        let scope: JsonScope<'a> = tree(logs.scope)?;
        mapper.scope(Scope {
            name: scope.name,
            version: scope.version,
            attributes: pairs(scope.attributes)?,
            dropped_attributes: scope.dropped_attributes_count,
        });
        each(logs.log_records, |record: &'a RawValue| {
            mapper.record(tree::<JsonRecord<'a>>(Some(record))?.read()?);
            Ok(())
        })
    })
}

/// Reads a resource, a scope or a record, which must not be of too many values.
fn tree<'a, T: Default + Deserialize<'a>>(
    raw: Option<&'a RawValue>,
) -> Result<T, serde_json::Error> {
    let Some(raw) = raw else { return Ok(T::default()) };
    if n_nested(raw.get()) > MAX_VALUES {
        let why = "a resource, scope or record of too many values";
        return Err(serde_json::Error::custom(why));
    }
    serde_json::from_str(raw.get())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    resource_logs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scope_logs: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default)]
    log_records: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonScope<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
    dropped_attributes_count: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonRecord<'a> {
    time_unix_nano: Number,
    observed_time_unix_nano: Number,
    severity_number: Severity,
    #[serde(borrow)]
    severity_text: Cow<'a, str>,
    #[serde(borrow)]
    body: Option<JsonAny<'a>>,
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
    dropped_attributes_count: u32,
    flags: u32,
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
    #[serde(borrow)]
    span_id: Cow<'a, str>,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<JsonAny<'a>>,
}

/// One field of them is set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonAny<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    bool_value: Option<bool>,
    int_value: Option<Number>,
    double_value: Option<Double>,
    #[serde(borrow)]
    array_value: Option<JsonList<'a>>,
    #[serde(borrow)]
    kvlist_value: Option<JsonMap<'a>>,
    #[serde(borrow)]
    bytes_value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct JsonList<'a> {
    #[serde(borrow, default)]
    values: Vec<JsonAny<'a>>,
}

#[derive(Deserialize)]
struct JsonMap<'a> {
    #[serde(borrow, default)]
    values: Vec<KeyValue<'a>>,
}

/// A 64-bit number, as string or number.
#[derive(Clone, Copy, Default)]
struct Number(i128);

/// A number, or the name of one that JSON has not.
#[derive(Clone, Copy, Default)]
struct Double(f64);

/// A number, or the name of protobuf's enum.
#[derive(Clone, Copy, Default)]
struct Severity(i64);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

// === impl JsonRecord ===

impl<'a> JsonRecord<'a> {
    fn read(self) -> Result<Record<'a>, serde_json::Error> {
        let unsigned = |n: Number| u64::try_from(n.0).unwrap_or(0);
        Ok(Record {
            time_ns: unsigned(self.time_unix_nano),
            observed_ns: unsigned(self.observed_time_unix_nano),
            severity_number: self.severity_number.0,
            severity_text: self.severity_text,
            body: self.body.unwrap_or_default().read()?,
            attributes: pairs(self.attributes)?,
            dropped_attributes: self.dropped_attributes_count,
            flags: self.flags,
            trace_id: id(self.trace_id),
            span_id: id(self.span_id),
            event_name: self.event_name,
        })
    }
}

// === impl JsonAny ===

impl<'a> JsonAny<'a> {
    fn read(self) -> Result<Any<'a>, serde_json::Error> {
        if let Some(Text(text)) = self.string_value {
            return Ok(Any::Text(text));
        }
        if let Some(b) = self.bool_value {
            return Ok(Any::Bool(b));
        }
        if let Some(n) = self.int_value {
            return Ok(Any::Int(i64::try_from(n.0).map_err(serde_json::Error::custom)?));
        }
        if let Some(v) = self.double_value {
            return Ok(Any::Double(v.0));
        }
        if let Some(list) = self.array_value {
            return Ok(Any::List(
                list.values.into_iter().map(Self::read).collect::<Result<_, _>>()?,
            ));
        }
        if let Some(map) = self.kvlist_value {
            return Ok(Any::Map(pairs(map.values)?));
        }
        if let Some(Text(text)) = self.bytes_value {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(serde_json::Error::custom)?;
            return Ok(Any::Bytes(Cow::Owned(bytes)));
        }
        Ok(Any::Empty)
    }
}

fn pairs<'a>(from: Vec<KeyValue<'a>>) -> Result<Attributes<'a>, serde_json::Error> {
    let read = |kv: KeyValue<'a>| Ok((kv.key, kv.value.unwrap_or_default().read()?));
    from.into_iter().map(read).collect()
}

/// An id in hexadecimal as the protobuf form would give it.
fn id(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|b| b == b'0') {
        return Cow::Borrowed("");
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    text
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(d)? {
            NumberOrText::Unsigned(n) => Ok(Self(n.into())),
            NumberOrText::Signed(n) => Ok(Self(n.into())),
            NumberOrText::Float(v) => Err(D::Error::custom(format_args!("{v} is no integer"))),
            NumberOrText::Text(text) => {
                let bad = || D::Error::custom(format_args!("{text:.40?} is no integer"));
                Ok(Self(text.parse().map_err(|_| bad())?))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Double {
    #[expect(clippy::cast_precision_loss, reason = "JSON writes doubles without a point too")]
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrText::deserialize(d)? {
            NumberOrText::Unsigned(n) => n as f64,
            NumberOrText::Signed(n) => n as f64,
            NumberOrText::Float(v) => v,
            NumberOrText::Text(text) => match text.as_str() {
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                "NaN" => f64::NAN,
                _ => text.parse().map_err(|_| D::Error::custom("no number"))?,
            },
        }))
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrText::deserialize(d)? {
            NumberOrText::Unsigned(n) => i64::try_from(n).unwrap_or(0),
            NumberOrText::Signed(n) => n,
            NumberOrText::Float(_) => 0,
            NumberOrText::Text(text) => of_name(&text),
        }))
    }
}

/// `SEVERITY_NUMBER_ERROR2` is 18.
fn of_name(name: &str) -> i64 {
    let short = name.strip_prefix("SEVERITY_NUMBER_").unwrap_or(name);
    let word = short.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].iter().position(|w| *w == word);
    let step = short.get(word.len()..).and_then(|d| d.parse::<i64>().ok()).unwrap_or(1);
    base.map_or(0, |at| i64::try_from(at).unwrap_or(0) * 4 + step.clamp(1, 4))
}
