//! Loki's protobuf push: `logproto.PushRequest`.

use std::borrow::Cow;
use std::sync::Arc;

use super::sink::{Entry, Sink, Stream};
use super::{DecodeError, MAX_LABELS_TEXT};
use crate::batches::Item;
use crate::buffer::Buffer;
use crate::cache::Domain;
use crate::ha::Wanted;
use crate::remote_write::{Context, Decoded};
use crate::source::{Form, Source};
use crate::wire::{Fields, Malformed, offset_in};

const NS_PER_SEC: i64 = 1_000_000_000;

/// Decodes a decompressed body.
pub(crate) fn decode_proto(ctx: &Context, body: impl Into<Buffer>) -> Result<Decoded, DecodeError> {
    let body = body.into();
    let mut sink = Sink::new(ctx, Domain::LokiLabels, &body);
    let mut request = Fields::new(&body);
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            stream(&mut sink, &body, value.bytes()?)?;
        }
    }
    let (parts, counts, rejects) = sink.finish()?;
    let form = Form::LokiLabels(Arc::clone(&ctx.limits));
    let (source, wanted) = (Source { body, spill: Vec::new(), form }, Wanted::default());
    Ok(Decoded { parts, source, counts, rejects, wanted })
}

fn stream<'a>(sink: &mut Sink<'a>, body: &'a [u8], message: &'a [u8]) -> Result<(), DecodeError> {
    // First the labels and how many entries there are; labels need not come first.
    let mut labels: &[u8] = &[];
    let mut n_entries = 0u64;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => labels = value.bytes()?,
            2 => n_entries += 1,
            _ => {}
        }
    }
    if n_entries == 0 {
        return Ok(());
    }
    if labels.len() > MAX_LABELS_TEXT {
        return Err(DecodeError::LabelsTooLong(labels.len()));
    }
    let at = if labels.is_empty() { 0 } else { offset_in(body, labels) };
    let mut stream = sink.begin(Item::in_body(at, labels.len()), labels, n_entries);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            entry(sink, stream.as_mut(), value.bytes()?)?;
        }
    }
    Ok(())
}

fn entry<'a>(
    sink: &mut Sink<'a>,
    stream: Option<&mut Stream>,
    message: &'a [u8],
) -> Result<(), Malformed> {
    let mut ts = 0;
    let mut line: &[u8] = &[];
    sink.metadata.clear();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => ts = timestamp(value.bytes()?)?,
            2 => line = value.bytes()?,
            3 => {
                let (name, value) = pair(value.bytes()?)?;
                sink.metadata.push((repaired(name), repaired(value)));
            }
            _ => {}
        }
    }
    // Entries of a refused stream are read all the same: the request must be well-formed.
    if let Some(stream) = stream {
        sink.entry(stream, Entry { ts, line });
    }
    Ok(())
}

fn timestamp(message: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.int64()?,
            2 => nanos = value.int64()?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(NS_PER_SEC).saturating_add(nanos))
}

fn pair(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.bytes()?,
            2 => text = value.bytes()?,
            _ => {}
        }
    }
    Ok((name, text))
}

/// The text with a space for everything that is not UTF-8.
fn repaired(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).replace('\u{fffd}', " ")),
    }
}
