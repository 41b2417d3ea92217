//! Pieces of JSON that several decoders read: strings that are borrowed where they can be, and lists
//! whose elements are never held together, for as values they may take many times their bytes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string, borrowed from the body unless it has escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(TextVisitor)
    }
}

/// Calls `take` for every element of a list, of none when there is no list.
pub(crate) fn each<'a, T: Deserialize<'a>>(
    list: Option<&'a RawValue>,
    take: impl FnMut(T) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    let Some(list) = list else { return Ok(()) };
    let mut source = serde_json::Deserializer::from_str(list.get());
    source.deserialize_seq(Each(take, PhantomData))
}

struct Each<F, T>(F, PhantomData<T>);

impl<'a, T, F> Visitor<'a> for Each<F, T>
where
    T: Deserialize<'a>,
    F: FnMut(T) -> Result<(), serde_json::Error>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<T>()? {
            (self.0)(element).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

/// How many lists and objects there are in `text`, which is JSON.
pub(crate) fn n_nested(text: &str) -> usize {
    let mut n = 0;
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'"', b'{', b'[', rest) {
        let is_string = rest.get(at) == Some(&b'"');
        rest = rest.get(at + 1..).unwrap_or_default();
        if is_string {
            rest = behind_string(rest);
        } else {
            n += 1;
        }
    }
    n
}

/// What follows the string whose opening quote was read.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    b""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_objects_are_counted_outside_of_strings() {
        for (text, want) in [
            ("1", 0),
            ("{}", 1),
            (r#"[{"a{":[1,"[\"{\\"]},[]]"#, 4),
            (r#""\\","#, 0),
            (r#"["unfinished {"#, 1),
        ] {
            assert_eq!(n_nested(text), want, "{text}");
        }
    }
}
