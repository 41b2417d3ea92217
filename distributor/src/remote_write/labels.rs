//! Labels of a series: read from the wire on a cache miss, checked against the limits, made canonical.

use std::fmt;

use skald_limits::Limits;
use skald_model::{Labels, LabelsBuilder};

use crate::ha::Names;
use crate::rejects::{cut, ids};
use crate::wire::{Fields, Value, varints};

/// Labels of one series that are looked at even where the tenant has no limit.
pub(super) const HARD_MAX_LABELS: usize = 1 << 16;
/// Longest piece of a foreign name or label set in a message.
const MAX_SHOWN: usize = 200;

pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// What is wrong with the labels of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    Invalid(&'static str),
    NoMetricName,
    NameTooLong(&'a str),
    ValueTooLong(&'a str, usize),
    Duplicate(&'a str),
    TooMany(usize),
}

// === impl Fault ===

impl Fault<'_> {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Invalid(_) => ids::LABEL_INVALID,
            Self::NoMetricName => ids::MISSING_METRIC_NAME,
            Self::NameTooLong(_) => ids::LABEL_NAME_TOO_LONG,
            Self::ValueTooLong(..) => ids::LABEL_VALUE_TOO_LONG,
            Self::Duplicate(_) => ids::DUPLICATE_LABEL_NAMES,
            Self::TooMany(_) => ids::MAX_LABEL_NAMES,
        }
    }

    /// What, number, limit and setting.
    pub(super) fn describe(&self, limits: &Limits, pairs: &[(&str, &str)]) -> String {
        let series = Shown(pairs);
        match self {
            Self::Invalid(what) => format!("{what}; series {series}"),
            Self::NoMetricName => format!("series has no label __name__; series {series}"),
            Self::NameTooLong(name) => format!(
                "label name of {} bytes exceeds the limit of {} (setting max_label_name_length); \
                 label {:?}, series {series}",
                name.len(),
                limits.max_label_name_length,
                short(name),
            ),
            Self::ValueTooLong(name, len) => format!(
                "label value of {len} bytes exceeds the limit of {} (setting \
                 max_label_value_length); label {:?}, series {series}",
                limits.max_label_value_length,
                short(name),
            ),
            Self::Duplicate(name) => {
                format!("label name {:?} appears twice; series {series}", short(name))
            }
            Self::TooMany(n) => format!(
                "{n} labels exceed the limit of {} (setting max_label_names_per_series); series \
                 {series}",
                limits.max_label_names_per_series,
            ),
        }
    }
}

/// Prints a label set that may be anything, cut short.
pub(super) struct Shown<'p, 's>(pub(super) &'p [(&'s str, &'s str)]);

impl fmt::Display for Shown<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("{");
        for (i, (name, value)) in self.0.iter().enumerate() {
            if text.len() > MAX_SHOWN {
                break;
            }
            let sep = if i == 0 { "" } else { ", " };
            text.push_str(&format!("{sep}{}={:?}", short(name), short(value)));
        }
        text.push('}');
        cut(&mut text, MAX_SHOWN);
        f.write_str(&text)
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

/// Reads a run of v1 `Label` fields.
pub(super) fn read_v1<'a>(raw: &'a [u8], pairs: &mut Pairs<'a>) -> Result<(), Fault<'a>> {
    pairs.clear();
    let malformed = |_| Fault::Invalid("malformed label");
    let mut fields = Fields::new(raw);
    let mut n = 0;
    while let Some((_, value)) = fields.next().map_err(malformed)? {
        let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
        let mut label = Fields::new(value.bytes().map_err(malformed)?);
        while let Some((number, value)) = label.next().map_err(malformed)? {
            match number {
                1 => name = value.bytes().map_err(malformed)?,
                2 => text = value.bytes().map_err(malformed)?,
                _ => {}
            }
        }
        n += 1;
        if n <= HARD_MAX_LABELS {
            pairs.push((utf8(name)?, utf8(text)?));
        }
    }
    if n > HARD_MAX_LABELS { Err(Fault::TooMany(n)) } else { Ok(()) }
}

/// Reads packed v2 `labels_refs`.
pub(super) fn read_v2<'a>(
    refs: &[u8],
    symbols: &[(u32, u32)],
    body: &'a [u8],
    pairs: &mut Pairs<'a>,
) -> Result<(), Fault<'a>> {
    pairs.clear();
    let mut name: Option<&'a [u8]> = None;
    let mut fault = None;
    let mut n = 0;
    let read = varints(Value::Bytes(refs), |r| {
        match (symbol(r, symbols, body), name.take()) {
            (None, _) => fault = fault.or(Some("labels_refs points beyond the symbols")),
            (Some(text), None) => name = Some(text),
            (Some(text), Some(name)) => {
                n += 1;
                match (std::str::from_utf8(name), std::str::from_utf8(text)) {
                    (Ok(name), Ok(text)) if n <= HARD_MAX_LABELS => pairs.push((name, text)),
                    (Ok(_), Ok(_)) => {}
                    _ => fault = fault.or(Some("label is not valid UTF-8")),
                }
            }
        }
        Ok(())
    });
    if read.is_err() {
        return Err(Fault::Invalid("malformed labels_refs"));
    }
    match fault {
        Some(what) => Err(Fault::Invalid(what)),
        None if name.is_some() => Err(Fault::Invalid("labels_refs has an odd number of elements")),
        None if n > HARD_MAX_LABELS => Err(Fault::TooMany(n)),
        None => Ok(()),
    }
}

/// The bytes of symbol `number`.
pub(super) fn symbol<'a>(number: u64, symbols: &[(u32, u32)], body: &'a [u8]) -> Option<&'a [u8]> {
    let (at, len) = *symbols.get(usize::try_from(number).ok()?)?;
    let at = usize::try_from(at).ok()?;
    body.get(at..at.checked_add(usize::try_from(len).ok()?)?)
}

/// Checks and sorts `pairs`; empty values are dropped.
pub(super) fn canonical<'a>(pairs: &mut Pairs<'a>, limits: &Limits) -> Result<Labels, Fault<'a>> {
    pairs.retain(|(_, value)| !value.is_empty());
    let over = |n: usize, limit: usize| limit > 0 && n > limit;
    if over(pairs.len(), limits.max_label_names_per_series) {
        return Err(Fault::TooMany(pairs.len()));
    }
    for (name, value) in pairs.iter() {
        if name.is_empty() {
            return Err(Fault::Invalid("label name is empty"));
        }
        if over(name.len(), limits.max_label_name_length) {
            return Err(Fault::NameTooLong(name));
        }
        if over(value.len(), limits.max_label_value_length) {
            return Err(Fault::ValueTooLong(name, value.len()));
        }
    }
    sorted(pairs)?;
    if pairs.binary_search_by_key(&Labels::NAME, |(n, _)| n).is_err() {
        return Err(Fault::NoMetricName);
    }
    build(pairs)
}

/// The label sets of exemplars and resends: canonical, but for the limits.
pub(super) fn unlimited<'a>(pairs: &mut Pairs<'a>) -> Result<Labels, Fault<'a>> {
    pairs.retain(|(_, value)| !value.is_empty());
    sorted(pairs)?;
    build(pairs)
}

fn sorted<'a>(pairs: &mut Pairs<'a>) -> Result<(), Fault<'a>> {
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_unstable();
        if let Some(two) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(Fault::Duplicate(two[0].0));
        }
    }
    Ok(())
}

fn build<'a>(pairs: &Pairs<'a>) -> Result<Labels, Fault<'a>> {
    LabelsBuilder::from_sorted(pairs.iter().copied()).ok_or(Fault::Invalid("label name is empty"))
}

fn utf8<'a>(bytes: &'a [u8]) -> Result<&'a str, Fault<'a>> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Invalid("label is not valid UTF-8"))
}

/// Cluster and replica of v1 labels, if both are there. Bytes that cannot be read have none; reading them again tells why.
pub(super) fn pair_v1<'v>(raw: &'v [u8], names: Names<'_>) -> Option<(&'v str, &'v str)> {
    let mut search = names.search();
    let mut fields = Fields::new(raw);
    while let Some((_, value)) = fields.next().ok()? {
        let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
        let mut label = Fields::new(value.bytes().ok()?);
        while let Some((number, value)) = label.next().ok()? {
            match number {
                1 => name = value.bytes().ok()?,
                2 => text = value.bytes().ok()?,
                _ => {}
            }
        }
        search.see(name, text);
    }
    search.found()
}

/// As [`pair_v1`], of packed v2 references.
pub(super) fn pair_v2<'v>(
    refs: &[u8],
    symbols: &[(u32, u32)],
    body: &'v [u8],
    names: Names<'_>,
) -> Option<(&'v str, &'v str)> {
    let mut search = names.search();
    let mut name: Option<&[u8]> = None;
    varints(Value::Bytes(refs), |r| {
        let text = symbol(r, symbols, body).unwrap_or_default();
        match name.take() {
            None => name = Some(text),
            Some(name) => search.see(name, text),
        }
        Ok(())
    })
    .ok()?;
    search.found()
}

/// The canonical labels of v1 bytes that were accepted before.
pub(crate) fn labels_v1(raw: &[u8], ha: Option<Names<'_>>) -> Option<Labels> {
    let mut pairs = Pairs::new();
    read_v1(raw, &mut pairs).ok()?;
    if let Some(names) = ha {
        names.strip(&mut pairs);
    }
    unlimited(&mut pairs).ok()
}

/// The canonical labels of v2 references that were accepted before.
pub(crate) fn labels_v2(
    refs: &[u8],
    symbols: &[(u32, u32)],
    body: &[u8],
    ha: Option<Names<'_>>,
) -> Option<Labels> {
    let mut pairs = Pairs::new();
    read_v2(refs, symbols, body, &mut pairs).ok()?;
    if let Some(names) = ha {
        names.strip(&mut pairs);
    }
    unlimited(&mut pairs).ok()
}
