//! Labels of a stream: checked against the limits, `service_name` added, made canonical.

use std::borrow::Cow;

use serde::de::{Deserializer, MapAccess, Visitor};
use skald_limits::Limits;
use skald_model::labels::{put_str, take_uvarint};
use skald_model::{Labels, LabelsBuilder};
use xxhash_rust::xxh3::xxh3_64;

use super::text;
use crate::json::Text;
use crate::rejects::ids;

pub(crate) const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";

pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What is wrong with the labels of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unreadable(String),
    Missing,
    TooMany(usize),
    NameTooLong(String),
    ValueTooLong(String),
    Duplicate(String),
}

// === impl Fault ===

impl Fault {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => ids::INVALID_LABELS,
            Self::Missing => ids::MISSING_LABELS,
            Self::TooMany(_) => ids::MAX_LABEL_NAMES,
            Self::NameTooLong(_) => ids::LABEL_NAME_TOO_LONG,
            Self::ValueTooLong(_) => ids::LABEL_VALUE_TOO_LONG,
            Self::Duplicate(_) => ids::DUPLICATE_LABEL_NAMES,
        }
    }

    pub(super) fn setting(&self) -> Option<&'static str> {
        match self {
            Self::TooMany(_) => Some("max_label_names_per_stream"),
            Self::NameTooLong(_) => Some("max_label_name_length"),
            Self::ValueTooLong(_) => Some("max_label_value_length"),
            _ => None,
        }
    }

    /// The text that Loki's users know.
    pub(super) fn describe(&self, limits: &Limits, stream: &str) -> String {
        match self {
            Self::Unreadable(why) => format!("error parsing labels '{stream}' with error: {why}"),
            Self::Missing => "error at least one label pair is required per stream".to_owned(),
            Self::TooMany(n) => format!(
                "entry for stream '{stream}' has {n} label names; limit {}",
                limits.max_label_names_per_stream
            ),
            Self::NameTooLong(name) => {
                format!("stream '{stream}' has label name too long: '{name}'")
            }
            Self::ValueTooLong(value) => {
                format!("stream '{stream}' has label value too long: '{value}'")
            }
            Self::Duplicate(name) => {
                format!("stream '{stream}' has duplicate label name: '{name}'")
            }
        }
    }
}

pub(super) fn read_text(raw: &[u8]) -> Result<Pairs<'_>, Fault> {
    let not_utf8 = |_| Fault::Unreadable("labels are not valid UTF-8".to_owned());
    text::parse(std::str::from_utf8(raw).map_err(not_utf8)?).map_err(Fault::Unreadable)
}

pub(super) fn read_json(raw: &[u8]) -> Result<Pairs<'_>, Fault> {
    let pairs = object(raw)?;
    let bad = pairs.iter().find(|(name, _)| !is_name(name));
    match bad {
        Some((name, _)) => Err(Fault::Unreadable(format!("invalid label name {name:.100?}"))),
        None => Ok(pairs),
    }
}

/// Pairs as [`super::Sink::begin_pairs`] writes them: names are valid.
pub(super) fn read_pairs<'a>(raw: &'a [u8], limits: &Limits) -> Result<Pairs<'a>, Fault> {
    let mut pairs = Pairs::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let two = take_text(&mut rest).zip(take_text(&mut rest));
        let (name, value) = two.ok_or_else(|| Fault::Unreadable("damaged labels".to_owned()))?;
        pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }
    // Only Loki's own push must name a label.
    if pairs.is_empty() && !limits.discover_service_name.is_empty() {
        pairs.push((Cow::Borrowed(SERVICE_NAME), Cow::Borrowed(UNKNOWN_SERVICE)));
    }
    Ok(pairs)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take_uvarint(rest)?).ok()?;
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

/// The members of a JSON object of strings, whatever their names.
pub(super) fn object(raw: &[u8]) -> Result<Pairs<'_>, Fault> {
    let mut source = serde_json::Deserializer::from_slice(raw);
    source.deserialize_map(PairsVisitor).map_err(|e| Fault::Unreadable(e.to_string()))
}

/// Checks the labels, drops empty values and adds `service_name`.
pub(super) fn canonical(mut pairs: Pairs<'_>, limits: &Limits) -> Result<Labels, Fault> {
    pairs.retain(|(_, value)| !value.is_empty());
    if pairs.is_empty() {
        return Err(Fault::Missing);
    }
    let over = |n: usize, limit: usize| limit > 0 && n > limit;
    if over(pairs.len(), limits.max_label_names_per_stream) {
        return Err(Fault::TooMany(pairs.len()));
    }
    for (name, value) in &pairs {
        if over(name.len(), limits.max_label_name_length) {
            return Err(Fault::NameTooLong(shortened(name)));
        }
        if over(value.len(), limits.max_label_value_length) {
            return Err(Fault::ValueTooLong(shortened(value)));
        }
    }
    pairs.sort_unstable();
    if let Some(two) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(Fault::Duplicate(shortened(&two[0].0)));
    }
    add_service_name(&mut pairs, limits);
    let borrowed = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
    LabelsBuilder::from_sorted(borrowed).ok_or(Fault::Missing)
}

/// Not counted among the labels that are limited.
fn add_service_name(pairs: &mut Pairs<'_>, limits: &Limits) {
    let get = |name: &str| pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name));
    if limits.discover_service_name.is_empty() {
        return;
    }
    let Err(at) = get(SERVICE_NAME) else { return };
    let found = limits.discover_service_name.iter().find_map(|name| get(name).ok());
    let value = found.map_or(Cow::Borrowed(UNKNOWN_SERVICE), |i| pairs[i].1.clone());
    pairs.insert(at, (Cow::Borrowed(SERVICE_NAME), value));
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(100)].to_owned()
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub(super) fn is_name(name: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(ok) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// The name with `_` for all that a label name must not have, as labels and metadata have it.
pub(crate) fn field_name(name: Cow<'_, str>) -> Cow<'_, str> {
    if is_name(&name) {
        return name;
    }
    let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let mut out: String = name.chars().map(valid).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    Cow::Owned(out)
}

/// Makes the names valid.
pub(super) fn make_valid(pairs: &mut Pairs<'_>) {
    for (name, _) in pairs {
        if !is_name(name) {
            *name = field_name(std::mem::take(name));
        }
    }
}

/// Makes `out` the pairs in the order of their names, without empty values; of equal names the last counts.
pub(super) fn put_sorted(pairs: &mut Pairs<'_>, out: &mut Vec<u8>) {
    // Stable, so that the last stays the last.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    out.clear();
    for (i, (name, value)) in pairs.iter().enumerate() {
        let is_replaced = pairs.get(i + 1).is_some_and(|next| next.0 == *name);
        if !is_replaced && !value.is_empty() {
            put_str(out, name);
            put_str(out, value);
        }
    }
}

/// Changes when a limit changes that labels are checked against.
pub(super) fn fingerprint(limits: &Limits) -> u64 {
    let mut bytes = Vec::new();
    for n in [
        limits.max_label_names_per_stream,
        limits.max_label_name_length,
        limits.max_label_value_length,
    ] {
        bytes.extend_from_slice(&(n as u64).to_le_bytes());
    }
    for name in &limits.discover_service_name {
        put_str(&mut bytes, name);
    }
    xxh3_64(&bytes)
}

/// The canonical labels of a label text that was accepted before.
pub(crate) fn labels_of_text(raw: &[u8], limits: &Limits) -> Option<Labels> {
    canonical(read_text(raw).ok()?, limits).ok()
}

/// The canonical labels of a JSON object that was accepted before.
pub(crate) fn labels_of_json(raw: &[u8], limits: &Limits) -> Option<Labels> {
    canonical(read_json(raw).ok()?, limits).ok()
}

/// The canonical labels of pairs that were accepted before.
pub(crate) fn labels_of_pairs(raw: &[u8], limits: &Limits) -> Option<Labels> {
    canonical(read_pairs(raw, limits).ok()?, limits).ok()
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Pairs::new();
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            pairs.push((name, value));
        }
        Ok(pairs)
    }
}
