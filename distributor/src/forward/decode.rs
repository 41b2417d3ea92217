//! Messages of the forward protocol: the four modes, and records as documents.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use skald_codec::compress;

use super::msgpack::{Malformed, Value, read};
use crate::document::{Fields, Intake, MAX_PATH, Record, Shape};
use crate::rejects::ids;
use crate::remote_write::{Context, Decoded};

/// Longest id of a chunk; fluentd's have 24 bytes.
const MAX_CHUNK: usize = 1024;
/// Maps within maps that become fields of their own.
const MAX_DEPTH: usize = 16;

/// Why a message is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadMessage {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Form(&'static str),
    #[error("compressed entries")]
    Compressed(#[from] compress::DecompressError),
}

/// A message whose entries are bytes of their own, checked but not taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) tag: String,
    /// To be acknowledged.
    pub(super) chunk: Option<Vec<u8>>,
    /// `[time, record]` after `[time, record]`.
    pub(super) entries: Bytes,
}

/// Reads a message; `None` is a heartbeat. Entries may unpack to `max` bytes.
pub(super) fn message(bytes: &[u8], max: usize) -> Result<Option<Message>, BadMessage> {
    // The head is looked at value by value, so that many entries are never held as a tree.
    let mut rest = bytes;
    let n = match bytes.first() {
        Some(0xc0) if bytes.len() == 1 => return Ok(None),
        Some(tag @ 0x92..=0x94) => tag & 15,
        _ => return Err(BadMessage::Form("a message is a list of two to four values")),
    };
    rest = rest.get(1..).unwrap_or_default();
    let Value::Raw(tag) = read(&mut rest)? else {
        return Err(BadMessage::Form("a message begins with its tag"));
    };
    let tag = String::from_utf8_lossy(tag).into_owned();
    let first = rest;
    let one_mode = !matches!(
        first.first(),
        Some(0x90..=0x9f | 0xdc | 0xdd | 0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb)
    );
    let (mut entries, n_read): (Bytes, u8) = if one_mode {
        read(&mut rest)?;
        read(&mut rest)?;
        // The two values as the list that they are elsewhere.
        let body = first.get(..first.len() - rest.len()).unwrap_or_default();
        ([&[0x92], body].concat().into(), 3)
    } else if matches!(first.first(), Some(0x90..=0x9f | 0xdc | 0xdd)) {
        let head = match first.first() {
            Some(0xdc) => 3,
            Some(0xdd) => 5,
            _ => 1,
        };
        read_list(&mut rest)?;
        let body = first.get(head..first.len() - rest.len()).unwrap_or_default();
        (Bytes::copy_from_slice(body), 2)
    } else {
        match read(&mut rest)? {
            Value::Raw(packed) => (Bytes::copy_from_slice(packed), 2),
            _ => return Err(BadMessage::Form("entries are a list or bytes")),
        }
    };
    let options = if n > n_read { read(&mut rest)? } else { Value::Nil };
    if is(&options, b"compressed", |v| v == b"gzip") {
        entries = compress::gzip(&entries, max)?.into();
    }
    let chunk = option(&options, b"chunk").map(<[u8]>::to_vec);
    if chunk.as_ref().is_some_and(|c| c.len() > MAX_CHUNK) {
        return Err(BadMessage::Form("the id of the chunk is too long"));
    }
    Ok(Some(Message { tag, chunk, entries }))
}

/// Moves behind a list whose elements are read one by one and dropped.
fn read_list(rest: &mut &[u8]) -> Result<(), Malformed> {
    let mut scanner = super::msgpack::Scanner::new();
    let end = scanner.end(rest, usize::MAX)?.ok_or(Malformed::Bytes("truncated"))?;
    *rest = rest.get(end..).ok_or(Malformed::Bytes("truncated"))?;
    Ok(())
}

fn option<'v>(options: &'v Value<'_>, name: &[u8]) -> Option<&'v [u8]> {
    let Value::Map(pairs) = options else { return None };
    pairs.iter().find_map(|pair| match pair {
        (Value::Raw(n), Value::Raw(v)) if *n == name => Some(*v),
        _ => None,
    })
}

fn is(options: &Value<'_>, name: &[u8], want: impl Fn(&[u8]) -> bool) -> bool {
    option(options, name).is_some_and(want)
}

/// Decodes entries of `tag`. `tag_label` is the stream label that holds the tag, empty for none.
pub(super) fn decode_entries(ctx: &Context, tag: &str, tag_label: &str, entries: &[u8]) -> Decoded {
    let mut intake = Intake::new(ctx, entries, Shape::of(&ctx.limits));
    let mut rest = entries;
    while !rest.is_empty() {
        let entry = match read(&mut rest) {
            Ok(entry) => entry,
            Err(e) => {
                // Where the next would begin is not known.
                intake.refuse(ids::BAD_DOCUMENT, || format!("the rest of the entries: {e}"));
                break;
            }
        };
        // What is refused is counted with its reason.
        let _ = add(&mut intake, entry, tag, tag_label);
    }
    intake.finish()
}

fn add(
    intake: &mut Intake<'_>,
    entry: Value<'_>,
    tag: &str,
    tag_label: &str,
) -> Result<(), &'static str> {
    let bad = |intake: &mut Intake<'_>| {
        let why = "an entry is a list of a time and a map";
        Err(intake.refuse(ids::BAD_DOCUMENT, || why.to_owned()))
    };
    let Value::List(two) = entry else { return bad(intake) };
    let mut two = two.into_iter();
    let (Some(time), Some(record @ Value::Map(_)), None) = (two.next(), two.next(), two.next())
    else {
        return bad(intake);
    };
    let ts = match &time {
        // Fluent Bit's second form: the time and metadata of the entry.
        Value::List(inner) => inner.first().and_then(time_of),
        other => time_of(other),
    };
    let Some(ts) = ts else {
        let why = "the time of an entry is a number or an event time";
        return Err(intake.refuse(ids::BAD_TIME, || why.to_owned()));
    };
    let mut fields = Fields::default();
    flatten("", &record, 0, &mut fields);
    let mut labels = Vec::new();
    if tag_label.is_empty() {
        fields.add(Cow::Borrowed("tag"), Cow::Owned(tag.to_owned()));
    } else {
        labels.push((Cow::Owned(tag_label.to_owned()), Cow::Owned(tag.to_owned())));
    }
    // The client's clock said when: a field that looks like a time is a field.
    intake.fields(Record { ts: Some(ts), labels }, fields, || json(&record).into())
}

#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn time_of(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(secs) => secs.checked_mul(1_000_000_000),
        Value::Float(secs) if secs.is_finite() => Some((secs * 1e9) as i64),
        Value::Ext(0, data) => {
            let (secs, nanos) = data.split_at_checked(4)?;
            let secs = u32::from_be_bytes(secs.try_into().ok()?);
            let nanos = u32::from_be_bytes(nanos.try_into().ok()?);
            Some(i64::from(secs) * 1_000_000_000 + i64::from(nanos))
        }
        _ => None,
    }
}

fn flatten(path: &str, value: &Value<'_>, depth: usize, out: &mut Fields<'_>) {
    match value {
        Value::Map(pairs) if depth < MAX_DEPTH && path.len() <= MAX_PATH => {
            for (name, value) in pairs {
                let name = text(name);
                let name = if path.is_empty() { name } else { format!("{path}_{name}") };
                flatten(&name, value, depth + 1, out);
            }
        }
        value => out.add(Cow::Owned(path.to_owned()), Cow::Owned(text(value))),
    }
}

/// A value as a field's text; empty for none.
fn text(value: &Value<'_>) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => json(other),
    }
}

/// A value as JSON.
fn json(value: &Value<'_>) -> String {
    tree(value).to_string()
}

fn tree(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Uint(n) => (*n).into(),
        Value::Float(v) => (*v).into(),
        Value::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        Value::List(values) => values.iter().map(tree).collect(),
        Value::Map(pairs) => {
            let pair = |(n, v): &(Value<'_>, Value<'_>)| (text(n), tree(v));
            serde_json::Value::Object(pairs.iter().map(pair).collect())
        }
        Value::Ext(_, data) => STANDARD.encode(data).into(),
    }
}
