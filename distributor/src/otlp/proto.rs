//! OTLP protobuf: `ExportLogsServiceRequest`, read from the body without building messages.

use std::borrow::Cow;

use super::record::{Mapper, Record, Scope, hex};
use super::value::{Any, Attributes};
use super::{MAX_DEPTH, MAX_VALUES};
use crate::remote_write::{Context, Decoded};
use crate::wire::{Fields, Malformed, Value};

/// Decodes a decompressed body.
pub(crate) fn decode_proto(ctx: &Context, body: &[u8]) -> Result<Decoded, Malformed> {
    let mut mapper = Mapper::new(ctx, body);
    let mut request = Fields::new(body);
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            resource_logs(&mut mapper, value.bytes()?)?;
        }
    }
    Ok(mapper.finish())
}

fn resource_logs<'a>(mapper: &mut Mapper<'a>, message: &'a [u8]) -> Result<(), Malformed> {
    // The resource need not come first, and the number of its records must be known.
    let mut attributes = Attributes::new();
    let (mut n_records, mut left) = (0, MAX_VALUES);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => attributes.append(&mut key_values(value.bytes()?, 1, 0, &mut left)?),
            2 => n_records += count(value.bytes()?, 2)?,
            _ => {}
        }
    }
    if n_records == 0 {
        return Ok(());
    }
    mapper.resource(attributes, n_records);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            scope_logs(mapper, value.bytes()?)?;
        }
    }
    Ok(())
}

fn scope_logs<'a>(mapper: &mut Mapper<'a>, message: &'a [u8]) -> Result<(), Malformed> {
    let (mut scope, mut left) = (Scope::default(), MAX_VALUES);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let mut inner = Fields::new(value.bytes()?);
            while let Some((number, value)) = inner.next()? {
                match number {
                    1 => scope.name = repaired(value.bytes()?),
                    2 => scope.version = repaired(value.bytes()?),
                    3 => scope.attributes.push(key_value(value.bytes()?, 0, &mut left)?),
                    4 => scope.dropped_attributes = value.uint32()?,
                    _ => {}
                }
            }
        }
    }
    mapper.scope(scope);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            mapper.record(record(value.bytes()?)?);
        }
    }
    Ok(())
}

fn record(message: &[u8]) -> Result<Record<'_>, Malformed> {
    let (mut out, mut left) = (Record::default(), MAX_VALUES);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => out.time_ns = value.fixed64()?,
            2 => out.severity_number = value.int64()?,
            3 => out.severity_text = repaired(value.bytes()?),
            5 => out.body = any(value.bytes()?, 0, &mut left)?,
            6 => out.attributes.push(key_value(value.bytes()?, 0, &mut left)?),
            7 => out.dropped_attributes = value.uint32()?,
            8 => out.flags = value.fixed32()?,
            9 => out.trace_id = hex(value.bytes()?),
            10 => out.span_id = hex(value.bytes()?),
            11 => out.observed_ns = value.fixed64()?,
            12 => out.event_name = repaired(value.bytes()?),
            _ => {}
        }
    }
    Ok(out)
}

/// How often a field stands in a message.
fn count(message: &[u8], wanted: u64) -> Result<u64, Malformed> {
    let mut n = 0;
    let mut fields = Fields::new(message);
    while let Some((number, _)) = fields.next()? {
        n += u64::from(number == wanted);
    }
    Ok(n)
}

/// The pairs in field `wanted` of a message. `left` is how many values there may still be.
fn key_values<'a>(
    message: &'a [u8],
    wanted: u64,
    depth: usize,
    left: &mut usize,
) -> Result<Attributes<'a>, Malformed> {
    let mut out = Attributes::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            out.push(key_value(value.bytes()?, depth, left)?);
        }
    }
    Ok(out)
}

fn key_value<'a>(
    message: &'a [u8],
    depth: usize,
    left: &mut usize,
) -> Result<(Cow<'a, str>, Any<'a>), Malformed> {
    count_down(left)?;
    let (mut name, mut any_value) = (Cow::Borrowed(""), Any::Empty);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = repaired(value.bytes()?),
            2 => any_value = any(value.bytes()?, depth, left)?,
            _ => {}
        }
    }
    Ok((name, any_value))
}

fn any<'a>(message: &'a [u8], depth: usize, left: &mut usize) -> Result<Any<'a>, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed("values are nested too deeply"));
    }
    let mut out = Any::Empty;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        out = match number {
            1 => Any::Text(repaired(value.bytes()?)),
            2 => Any::Bool(value.varint()? != 0),
            3 => Any::Int(value.int64()?),
            4 => Any::Double(value.double()?),
            5 => Any::List(list(value, depth, left)?),
            6 => Any::Map(key_values(value.bytes()?, 1, depth + 1, left)?),
            7 => Any::Bytes(Cow::Borrowed(value.bytes()?)),
            _ => out,
        };
    }
    Ok(out)
}

fn list<'a>(value: Value<'a>, depth: usize, left: &mut usize) -> Result<Vec<Any<'a>>, Malformed> {
    let mut values = Vec::new();
    let mut fields = Fields::new(value.bytes()?);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            count_down(left)?;
            values.push(any(value.bytes()?, depth + 1, left)?);
        }
    }
    Ok(values)
}

fn count_down(left: &mut usize) -> Result<(), Malformed> {
    let too_many = Malformed("a resource, scope or record of too many values");
    *left = left.checked_sub(1).ok_or(too_many)?;
    Ok(())
}

/// The text with a space for everything that is not UTF-8.
fn repaired(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).replace('\u{fffd}', " ")),
    }
}
