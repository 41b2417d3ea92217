//! Type, help and unit of metric names.
//!
//! Version 1 sends them on their own, once a minute: all are passed on. Version 2 sends them with every
//! series: they are passed on when the series is new or its metadata changed.

use skald_limits::Limits;
use skald_model::MetricMetadata;
use xxhash_rust::xxh3::xxh3_64;

use super::labels::symbol;
use super::sink::Sink;
use crate::rejects::{cut, ids};
use crate::wire::{Fields, Malformed};

const KINDS: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// Kinds whose series carry suffixes that the family's name has not.
const SUFFIXED: [u32; 3] = [3, 4, 5];

/// Metadata of a version 2 series, as references.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Family {
    kind: u32,
    help: u64,
    unit: u64,
}

// === impl Family ===

impl Family {
    pub(super) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => this.kind = value.uint32()?,
                3 => this.help = value.varint()?,
                4 => this.unit = value.varint()?,
                _ => {}
            }
        }
        Ok(this)
    }

    pub(super) fn is_there(self) -> bool {
        self.kind != 0 || self.help != 0 || self.unit != 0
    }

    /// A hash of what the references stand for.
    pub(super) fn hash(self, symbols: &[u128]) -> u64 {
        let of = |n: u64| usize::try_from(n).ok().and_then(|n| symbols.get(n)).copied();
        let mut bytes = [0u8; 36];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..20].copy_from_slice(&of(self.help).unwrap_or_default().to_le_bytes());
        bytes[20..].copy_from_slice(&of(self.unit).unwrap_or_default().to_le_bytes());
        xxh3_64(&bytes)
    }

    /// Eight bits to notice a change by; 0 when there is no metadata.
    pub(super) fn fingerprint(self, symbols: &[u128]) -> u8 {
        if self.is_there() { self.hash(symbols).to_le_bytes()[0].max(1) } else { 0 }
    }
}

/// Passes on one `MetricMetadata` of version 1.
pub(super) fn take_v1(sink: &mut Sink<'_>, message: &[u8]) -> Result<(), Malformed> {
    let (mut kind, mut name, mut help, mut unit) = (0, "", "", "");
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => kind = value.uint32()?,
            2 => name = value.text()?,
            4 => help = value.text()?,
            5 => unit = value.text()?,
            _ => {}
        }
    }
    send(sink, kind, name, help, unit);
    Ok(())
}

/// Passes on the metadata of a version 2 series with metric name `name`.
pub(super) fn take_v2(
    sink: &mut Sink<'_>,
    name: &str,
    family: Family,
    symbols: &[(u32, u32)],
    body: &[u8],
) {
    let text = |n| symbol(n, symbols, body).and_then(|b| std::str::from_utf8(b).ok());
    // A reference that leads nowhere costs only the text.
    let (help, unit) =
        (text(family.help).unwrap_or_default(), text(family.unit).unwrap_or_default());
    send(sink, family.kind, family_name(name, family.kind), help, unit);
}

/// `x` of `x_bucket`, `x_sum` and `x_count` when the kind is one that has them.
fn family_name(name: &str, kind: u32) -> &str {
    if !SUFFIXED.contains(&kind) {
        return name;
    }
    let cut = ["_bucket", "_sum", "_count"].into_iter().find_map(|s| name.strip_suffix(s));
    cut.filter(|family| !family.is_empty()).unwrap_or(name)
}

fn send(sink: &mut Sink<'_>, kind: u32, name: &str, help: &str, unit: &str) {
    let limits: &Limits = &sink.ctx.limits;
    let limit = limits.max_metadata_length;
    let too_long = |s: &str| limit > 0 && s.len() > limit;
    if name.is_empty() {
        let message = || format!("metadata without a metric name; help {:.60?}", help);
        sink.rejects.add(ids::METADATA_MISSING_NAME, 1, message);
        return;
    }
    if too_long(name) || too_long(unit) {
        let message = || {
            format!(
                "metric name of {} or unit of {} bytes exceeds the limit of {limit} (setting \
                 max_metadata_length); name {:.60?}",
                name.len(),
                unit.len(),
                name
            )
        };
        sink.rejects.add(ids::METADATA_TOO_LONG, 1, message);
        return;
    }
    let mut help = help.to_owned();
    if limit > 0 {
        cut(&mut help, limit);
    }
    let kind = usize::try_from(kind).ok().and_then(|k| KINDS.get(k)).unwrap_or(&KINDS[0]);
    sink.metadata(&MetricMetadata {
        name: name.to_owned(),
        kind: (*kind).to_owned(),
        help,
        unit: unit.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_histograms_and_summaries_lose_their_suffix() {
        assert_eq!(family_name("x_bucket", 3), "x");
        assert_eq!(family_name("x_count", 5), "x");
        assert_eq!(family_name("x_count", 1), "x_count");
        assert_eq!(family_name("_sum", 5), "_sum");
    }
}
