//! A JSON object as a flat list of names and texts, borrowed where the text has no escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field_name;
use crate::json::Text;

/// Objects within objects that are taken apart; deeper ones stay JSON. Each level is read again for
/// the next, so this bounds the work too.
const MAX_DEPTH: usize = 16;
/// More fields than this are not looked at: the document is kept whole anyway.
const MAX_FIELDS: usize = 1024;
/// Longest name of an object that is taken apart: each of its fields has that name too.
pub(crate) const MAX_PATH: usize = 1024;

/// The fields of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) list: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether there are more.
    pub(crate) is_cut: bool,
}

/// Takes a document apart. Nulls and empty values are left out; numbers, booleans and lists are the
/// text that they have in the document.
pub(crate) fn flatten(document: &str) -> Result<Fields<'_>, serde_json::Error> {
    let mut fields = Fields::default();
    let walk = Walk { path: "", depth: 0, fields: &mut fields };
    let mut source = serde_json::Deserializer::from_str(document);
    source.deserialize_map(walk)?;
    source.end()?;
    Ok(fields)
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Adds a field; the name is made valid.
    pub(crate) fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if value.is_empty() {
            return;
        }
        if self.list.len() < MAX_FIELDS {
            self.list.push((field_name(name), value));
        } else {
            self.is_cut = true;
        }
    }

    /// Takes the field out, the last of those with that name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.list.iter().rposition(|(n, _)| n == name)?;
        Some(self.list.remove(at).1)
    }
}

struct Walk<'f, 'a> {
    path: &'f str,
    depth: usize,
    fields: &'f mut Fields<'a>,
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            let value: &'a RawValue = map.next_value()?;
            let name = match self.path {
                "" => key,
                path => Cow::Owned(format!("{path}_{key}")),
            };
            let text = value.get();
            let is_small = self.depth < MAX_DEPTH && name.len() <= MAX_PATH && !self.fields.is_cut;
            let nested = text.starts_with('{') && is_small;
            if nested {
                let walk = Walk { path: &name, depth: self.depth + 1, fields: &mut *self.fields };
                let mut source = serde_json::Deserializer::from_str(text);
                source.deserialize_map(walk).map_err(de::Error::custom)?;
            } else if text.starts_with('"') {
                let Text(text) = serde_json::from_str(text).map_err(de::Error::custom)?;
                self.fields.add(name, text);
            } else if text != "null" {
                self.fields.add(name, Cow::Borrowed(text));
            }
        }
        Ok(())
    }
}
