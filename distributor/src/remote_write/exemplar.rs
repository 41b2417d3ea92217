//! Exemplars of a series.

use skald_model::Exemplar;

use super::labels::{Fault, Pairs, read_v1, read_v2, unlimited};
use super::sink::{Resolved, Sink};
use crate::rejects::ids;
use crate::wire::{Fields, Malformed, Value, varints};

/// Characters of all names and values together, as OpenMetrics says.
const MAX_LABEL_CHARS: usize = 128;

/// Reads the exemplars of a version 1 series into `sink.exemplars`.
pub(super) fn take_v1(
    sink: &mut Sink<'_>,
    series: &Resolved,
    messages: &[&[u8]],
) -> Result<(), Malformed> {
    if sink.ctx.limits.max_exemplars_per_series == 0 {
        return Ok(());
    }
    for message in messages {
        let mut labels = Vec::new();
        let read = read(message, |field, _| {
            labels.extend_from_slice(field);
            Ok(())
        })?;
        let mut pairs = Pairs::new();
        let fault = read_v1(&labels, &mut pairs).err();
        take(sink, series, read, &mut pairs, fault);
    }
    Ok(())
}

/// Reads the exemplars of a version 2 series into `sink.exemplars`.
pub(super) fn take_v2(
    sink: &mut Sink<'_>,
    series: &Resolved,
    messages: &[&[u8]],
    symbols: &[(u32, u32)],
    body: &[u8],
) -> Result<(), Malformed> {
    if sink.ctx.limits.max_exemplars_per_series == 0 {
        return Ok(());
    }
    for message in messages {
        let mut refs = Vec::new();
        let read = read(message, |_, value| {
            varints(value, |r| {
                skald_model::labels::put_uvarint(&mut refs, r);
                Ok(())
            })
        })?;
        let mut pairs = Pairs::new();
        let fault = read_v2(&refs, symbols, body, &mut pairs).err();
        take(sink, series, read, &mut pairs, fault);
    }
    Ok(())
}

/// Timestamp and value; `label` gets every field 1, whole and as its value.
fn read<'m>(
    message: &'m [u8],
    mut label: impl FnMut(&'m [u8], Value<'m>) -> Result<(), Malformed>,
) -> Result<(i64, f64), Malformed> {
    let (mut ts, mut number_of_it) = (0, 0.0);
    let mut fields = Fields::new(message);
    loop {
        let before = fields.rest();
        let Some((number, value)) = fields.next()? else { break };
        match number {
            1 => label(&before[..before.len() - fields.rest().len()], value)?,
            2 => number_of_it = value.double()?,
            3 => ts = value.int64()?,
            _ => {}
        }
    }
    Ok((ts, number_of_it))
}

fn take(
    sink: &mut Sink<'_>,
    series: &Resolved,
    (timestamp_ms, value): (i64, f64),
    pairs: &mut Pairs<'_>,
    fault: Option<Fault<'_>>,
) {
    let chars: usize = pairs.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
    if chars > MAX_LABEL_CHARS {
        sink.reject(ids::EXEMPLAR_LABELS_TOO_LONG, series, || {
            format!("exemplar labels of {chars} characters exceed the limit of {MAX_LABEL_CHARS}")
        });
        return;
    }
    let labels = fault.map_or_else(|| unlimited(pairs), Err);
    match labels {
        Ok(labels) => sink.exemplars.push(Exemplar { labels, timestamp_ms, value }),
        Err(fault) => {
            let what = format!("exemplar with {fault:?}");
            sink.reject(ids::EXEMPLAR_LABELS_INVALID, series, || what);
        }
    }
}
