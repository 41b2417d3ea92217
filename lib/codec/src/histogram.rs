//! One native histogram as bytes, lossless: integer counts stay integers, floats keep their bits.
//!
//! ```text
//! histogram := flags u8 (bit 0 float, bits 1-2 reset hint) ivarint(schema) f64(zero_threshold) f64(sum)
//!              spans(positive) spans(negative) uvarint(n) f64*n (custom values) counts
//! spans     := uvarint(n) { ivarint(offset) uvarint(length) }*n
//! counts    := uvarint(count) uvarint(zero_count) uvarint(n) ivarint*n uvarint(n) ivarint*n     integer
//!            | f64(count) f64(zero_count) uvarint(n) f64*n uvarint(n) f64*n                     float
//! ```
//! Part of docs/formats/batch.md.

use skald_model::{BucketCounts, Histogram, ResetHint, Span};

use crate::wire::{
    WireError, count, put_f64, put_ivarint, put_uvarint, take_array, take_f64, take_ivarint,
    uvarint,
};

const FLOAT: u8 = 1;

/// Appends `h`.
pub fn encode(h: &Histogram, out: &mut Vec<u8>) {
    let float = matches!(h.counts, BucketCounts::Float { .. });
    let hint = match h.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Yes => 1,
        ResetHint::No => 2,
        ResetHint::Gauge => 3,
    };
    out.push(u8::from(float) | (hint << 1));
    put_ivarint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_f64(out, h.sum);
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_floats(out, &h.custom_values);
    match &h.counts {
        BucketCounts::Integer { count, zero_count, positive, negative } => {
            put_uvarint(out, *count);
            put_uvarint(out, *zero_count);
            put_deltas(out, positive);
            put_deltas(out, negative);
        }
        BucketCounts::Float { count, zero_count, positive, negative } => {
            put_f64(out, *count);
            put_f64(out, *zero_count);
            put_floats(out, positive);
            put_floats(out, negative);
        }
    }
}

/// Takes one histogram from the front of `rest`.
pub fn decode(rest: &mut &[u8]) -> Result<Histogram, WireError> {
    let [flags] = take_array(rest)?;
    if flags > 7 {
        return Err(WireError::Range("histogram flags"));
    }
    let reset_hint = match flags >> 1 {
        0 => ResetHint::Unknown,
        1 => ResetHint::Yes,
        2 => ResetHint::No,
        _ => ResetHint::Gauge,
    };
    let schema = i32::try_from(take_ivarint(rest)?).map_err(|_| WireError::Range("schema"))?;
    let zero_threshold = take_f64(rest)?;
    let sum = take_f64(rest)?;
    let positive_spans = take_spans(rest)?;
    let negative_spans = take_spans(rest)?;
    let custom_values = take_floats(rest)?;
    let counts = if flags & FLOAT == 0 {
        BucketCounts::Integer {
            count: uvarint(rest)?,
            zero_count: uvarint(rest)?,
            positive: take_deltas(rest)?,
            negative: take_deltas(rest)?,
        }
    } else {
        BucketCounts::Float {
            count: take_f64(rest)?,
            zero_count: take_f64(rest)?,
            positive: take_floats(rest)?,
            negative: take_floats(rest)?,
        }
    };
    Ok(Histogram {
        schema,
        reset_hint,
        zero_threshold,
        sum,
        positive_spans,
        negative_spans,
        custom_values,
        counts,
    })
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_ivarint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn take_spans(rest: &mut &[u8]) -> Result<Vec<Span>, WireError> {
    let n = count(rest, 2)?;
    let span = |rest: &mut &[u8]| {
        let offset = i32::try_from(take_ivarint(rest)?).map_err(|_| WireError::Range("offset"))?;
        let length = u32::try_from(uvarint(rest)?).map_err(|_| WireError::Range("length"))?;
        Ok(Span { offset, length })
    };
    (0..n).map(|_| span(rest)).collect()
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    values.iter().for_each(|v| put_f64(out, *v));
}

fn take_floats(rest: &mut &[u8]) -> Result<Vec<f64>, WireError> {
    let n = count(rest, 8)?;
    (0..n).map(|_| take_f64(rest)).collect()
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    put_uvarint(out, values.len() as u64);
    values.iter().for_each(|v| put_ivarint(out, *v));
}

fn take_deltas(rest: &mut &[u8]) -> Result<Vec<i64>, WireError> {
    let n = count(rest, 1)?;
    (0..n).map(|_| take_ivarint(rest)).collect()
}
