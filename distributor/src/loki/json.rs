//! Loki's JSON push: `{"streams":[{"stream":{},"values":[["<ns>","line",{}?]]}]}`.
//!
//! Entries are written to the batch while they are parsed: the body is never held as a tree.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::sink::{Entry, Sink, Stream};
use super::{DecodeError, MAX_LABELS_TEXT};
use crate::batches::Item;
use crate::buffer::Buffer;
use crate::cache::Domain;
use crate::ha::Wanted;
use crate::json::Text;
use crate::remote_write::{Context, Decoded};
use crate::source::{Form, Source};
use crate::wire::offset_in;

/// Decodes a decompressed body.
pub(crate) fn decode_json(ctx: &Context, body: impl Into<Buffer>) -> Result<Decoded, DecodeError> {
    let body = body.into();
    let mut sink = Sink::new(ctx, Domain::LokiJson, &body);
    let mut source = serde_json::Deserializer::from_slice(&body);
    let mut too_long = None;
    let request = Request { sink: &mut sink, body: &body, too_long: &mut too_long };
    let read = source.deserialize_map(request).and_then(|()| source.end());
    if let Some(len) = too_long {
        return Err(DecodeError::LabelsTooLong(len));
    }
    read.map_err(|e| DecodeError::Json(e.to_string()))?;
    let (parts, counts, rejects) = sink.finish()?;
    let form = Form::LokiJson(Arc::clone(&ctx.limits));
    let (source, wanted) = (Source { body, spill: Vec::new(), form }, Wanted::default());
    Ok(Decoded { parts, source, counts, rejects, wanted })
}

struct Request<'s, 'a> {
    sink: &'s mut Sink<'a>,
    body: &'a [u8],
    too_long: &'s mut Option<usize>,
}

impl<'a> Visitor<'a> for Request<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a push request with streams")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { sink, body, too_long } = self;
        while let Some(Text(key)) = map.next_key()? {
            if key == "streams" {
                map.next_value_seed(Streams(Request { sink, body, too_long }))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Streams<'s, 'a>(Request<'s, 'a>);

impl<'a> DeserializeSeed<'a> for Streams<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

/// One stream; its parts are read again, for `values` may stand before `stream`.
#[derive(Deserialize)]
struct RawStream<'a> {
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    values: Option<&'a RawValue>,
}

impl<'a> Visitor<'a> for Streams<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of streams")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let Request { sink, body, too_long } = self.0;
        while let Some(raw) = seq.next_element::<RawStream<'a>>()? {
            let Some(values) = raw.values else { continue };
            let labels = raw.stream.map_or("{}", RawValue::get).as_bytes();
            if labels.len() > MAX_LABELS_TEXT {
                *too_long = Some(labels.len());
                return Err(de::Error::custom("stream labels too long"));
            }
            let n_entries = {
                let mut source = serde_json::Deserializer::from_str(values.get());
                source.deserialize_seq(Count).map_err(de::Error::custom)?
            };
            if n_entries == 0 {
                continue;
            }
            let at = if raw.stream.is_some() { offset_in(body, labels) } else { 0 };
            let mut stream = sink.begin(Item::in_body(at, labels.len()), labels, n_entries);
            let mut source = serde_json::Deserializer::from_str(values.get());
            let entries = Entries { sink: &mut *sink, stream: stream.as_mut() };
            source.deserialize_seq(entries).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

/// Counts the elements of a list.
struct Count;

impl<'a> Visitor<'a> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut n = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            n += 1;
        }
        Ok(n)
    }
}

struct Entries<'s, 'a> {
    sink: &'s mut Sink<'a>,
    stream: Option<&'s mut Stream>,
}

impl<'a> Visitor<'a> for Entries<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let Self { sink, stream } = &mut self;
        while seq.next_element_seed(OneEntry { sink, stream: stream.as_deref_mut() })?.is_some() {}
        Ok(())
    }
}

struct OneEntry<'s, 'a> {
    sink: &'s mut Sink<'a>,
    stream: Option<&'s mut Stream>,
}

impl<'a> DeserializeSeed<'a> for OneEntry<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for OneEntry<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry [\"<nanoseconds>\", \"line\", {metadata}]")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let short = |n| de::Error::invalid_length(n, &"timestamp and line");
        let Text(ts) = seq.next_element()?.ok_or_else(|| short(0))?;
        let ts: i64 = ts.parse().map_err(|_| {
            de::Error::custom(format_args!("timestamp {ts:.40?} is not a number of nanoseconds"))
        })?;
        let Text(line) = seq.next_element()?.ok_or_else(|| short(1))?;
        self.sink.metadata.clear();
        seq.next_element_seed(Metadata(self.sink))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        if let Some(stream) = self.stream {
            self.sink.entry(stream, Entry { ts, line: line.as_bytes() });
        }
        Ok(())
    }
}

struct Metadata<'s, 'a>(&'s mut Sink<'a>);

impl<'a> DeserializeSeed<'a> for Metadata<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Metadata<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("structured metadata: an object of strings")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            self.0.metadata.push((name, value));
        }
        Ok(())
    }
}
