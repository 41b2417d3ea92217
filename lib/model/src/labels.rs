//! A label set as one run of bytes: cheap to clone, to hash, to send and to store.
//!
//! The bytes are the form used in batches, in the WAL and in chunk headers alike, so a label set
//! is never re-encoded on its way.
//!
//! ```text
//! labels := { uvarint(len) name, uvarint(len) value }*      sorted by name, names unique, values not empty
//! ```
//!
//! Invariant: a [`Labels`] is canonical; two label sets are equal iff their bytes are.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;

/// 128-bit xxh3 of a canonical label set: the identity of a series or stream within a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u128);

/// A canonical label set.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Bytes);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    #[error("label bytes end in the middle of a name or value")]
    Truncated,
    #[error("label bytes are not valid UTF-8")]
    NotUtf8,
    #[error("labels are not sorted by name")]
    Unsorted,
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
    #[error("empty label name")]
    EmptyName,
    #[error("label {0:?} has an empty value")]
    EmptyValue(String),
}

// === impl Labels ===

impl Labels {
    pub const NAME: &'static str = "__name__";

    pub fn empty() -> Self {
        Self::default()
    }

    /// Validates canonical bytes that came from outside.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, InvalidLabels> {
        let mut rest: &[u8] = &bytes;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = take_str(&mut rest)?;
            let value = take_str(&mut rest)?;
            if name.is_empty() {
                return Err(InvalidLabels::EmptyName);
            }
            if value.is_empty() {
                return Err(InvalidLabels::EmptyValue(name.to_owned()));
            }
            match last.map(|l| l.cmp(name)) {
                Some(Ordering::Equal) => return Err(InvalidLabels::Duplicate(name.to_owned())),
                Some(Ordering::Greater) => return Err(InvalidLabels::Unsorted),
                _ => last = Some(name),
            }
        }
        Ok(Self(bytes))
    }

    /// Takes bytes that are canonical: they came out of a [`Labels`] or were validated before.
    ///
    /// Other bytes do no harm but give labels that end early.
    pub fn from_canonical(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Builds from pairs in any order; empty values are dropped, the last of equal names wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn id(&self) -> SeriesId {
        SeriesId(xxhash_rust::xxh3::xxh3_128(&self.0))
    }

    /// Name and value pairs in name order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(&self.0)
    }

    /// As [`iter`](Self::iter), without looking at the encoding of the strings again.
    pub fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let name = take_slice(&mut rest).ok()?;
            Some((name, take_slice(&mut rest).ok()?))
        })
    }

    pub fn len(&self) -> usize {
        self.raw().count()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.as_bytes();
        let found = self.raw().take_while(|(n, _)| *n <= name).find(|(n, _)| *n == name);
        found.and_then(|(_, v)| std::str::from_utf8(v).ok())
    }

    pub fn metric_name(&self) -> Option<&str> {
        self.get(Self::NAME)
    }

    /// The labels for which `keep` answers true.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        self.filter_raw(|name| std::str::from_utf8(name).is_ok_and(&mut keep))
    }

    /// As [`filter`](Self::filter), without looking at the encoding of the names again.
    pub fn filter_raw(&self, mut keep: impl FnMut(&[u8]) -> bool) -> Self {
        let mut out = Vec::with_capacity(self.0.len());
        let mut rest: &[u8] = &self.0;
        while !rest.is_empty() {
            let pair = rest;
            let Ok(name) = take_slice(&mut rest) else { break };
            if take_slice(&mut rest).is_err() {
                break;
            }
            if keep(name) {
                out.extend_from_slice(&pair[..pair.len() - rest.len()]);
            }
        }
        Self(out.into())
    }

    /// The same labels with another value of one; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut rest: &[u8] = &self.0;
        let (before, behind) = loop {
            let at = self.0.len() - rest.len();
            match take_slice(&mut rest) {
                Ok(n) if n < name.as_bytes() => {
                    let _ = take_slice(&mut rest);
                }
                Ok(n) if n == name.as_bytes() => {
                    let _ = take_slice(&mut rest);
                    break (at, self.0.len() - rest.len());
                }
                _ => break (at, at),
            }
        };
        let mut out = Vec::with_capacity(self.0.len() + name.len() + value.len() + 20);
        out.extend_from_slice(&self.0[..before]);
        if !name.is_empty() && !value.is_empty() {
            put_str(&mut out, name);
            put_str(&mut out, value);
        }
        out.extend_from_slice(&self.0[behind..]);
        Self(out.into())
    }

    pub fn without_name(&self) -> Self {
        self.filter(|n| n != Self::NAME)
    }

    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Orders as Prometheus does: pair by pair, a prefix first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Names and values alternate, so what differs first decides; UTF-8 orders like the characters
        // it stands for.
        let common = common_prefix(&self.0, &other.0);
        if common == self.0.len() || common == other.0.len() {
            return self.0.len().cmp(&other.0.len());
        }
        let mut rest: &[u8] = &self.0;
        loop {
            let at = self.0.len() - rest.len();
            let Ok(one) = take_slice(&mut rest) else { return self.0.cmp(&other.0) };
            if self.0.len() - rest.len() > common {
                let mut other = &other.0[at..];
                return one.cmp(take_slice(&mut other).unwrap_or_default());
            }
        }
    }
}

/// How many bytes at the front are equal.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let blocks = a.chunks_exact(STEP).zip(b.chunks_exact(STEP));
    let equal = blocks.take_while(|(a, b)| a == b).count() * STEP;
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prints as `{a="b", c="d"}` with Go-like quoting.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let sep = if i == 0 { "" } else { ", " };
            write!(f, "{sep}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates over the pairs of a [`Labels`].
#[derive(Clone, Debug)]
pub struct LabelsIter<'a>(&'a [u8]);

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        // The bytes were validated when the set was made.
        let name = take_str(&mut self.0).ok()?;
        let value = take_str(&mut self.0).ok()?;
        Some((name, value))
    }
}

// === impl LabelsBuilder ===

/// Collects pairs in any order and makes a canonical [`Labels`].
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets `name`, replacing an earlier value; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    pub fn build(mut self) -> Labels {
        self.pairs.retain(|(n, v)| !n.is_empty() && !v.is_empty());
        self.pairs.sort_unstable();
        let size = self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        let mut out = Vec::with_capacity(size);
        for (name, value) in &self.pairs {
            put_str(&mut out, name);
            put_str(&mut out, value);
        }
        Labels(out.into())
    }

    /// Builds canonical bytes from pairs that are already sorted, unique and not empty.
    ///
    /// The fast path for decoders: no string is copied twice. `None` when a rule is broken.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
        Self::encode_sorted(pairs, |value| !value.is_empty())
    }

    /// As [`Self::from_sorted`], but empty values stay: LogQL tells `a=""` from no `a` in results.
    ///
    /// For results only, never for what is stored.
    pub fn from_sorted_with_empty<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<Labels> {
        Self::encode_sorted(pairs, |_| true)
    }

    fn encode_sorted<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        accepts: impl Fn(&str) -> bool,
    ) -> Option<Labels> {
        let mut out = Vec::with_capacity(256);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            if name.is_empty() || !accepts(value) || last.is_some_and(|l| l >= name) {
                return None;
            }
            last = Some(name);
            put_str(&mut out, name);
            put_str(&mut out, value);
        }
        Some(Labels(out.into()))
    }
}

/// Appends `uvarint(len) s`.
pub fn put_str(out: &mut Vec<u8>, s: &str) {
    put_uvarint(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

/// Appends an unsigned LEB128 varint.
#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is wanted")]
pub fn put_uvarint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Takes an unsigned LEB128 varint of at most ten bytes from the front of `rest`.
#[inline]
pub fn take_uvarint(rest: &mut &[u8]) -> Option<u64> {
    // Nearly all are short.
    if let Some((first, tail)) = rest.split_first()
        && *first < 0x80
    {
        *rest = tail;
        return Some(u64::from(*first));
    }
    take_long_uvarint(rest)
}

fn take_long_uvarint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(i).ok()?;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

fn take_str<'a>(rest: &mut &'a [u8]) -> Result<&'a str, InvalidLabels> {
    std::str::from_utf8(take_slice(rest)?).map_err(|_| InvalidLabels::NotUtf8)
}

#[inline]
fn take_slice<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], InvalidLabels> {
    let len = take_uvarint(rest).ok_or(InvalidLabels::Truncated)?;
    let len = usize::try_from(len).map_err(|_| InvalidLabels::Truncated)?;
    let (head, tail) = rest.split_at_checked(len).ok_or(InvalidLabels::Truncated)?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_canonical_whatever_the_order() {
        let a = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]);
        let b = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(a, b);
        assert_eq!(a.id(), b.id());
        assert_eq!(a.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(a.get("b"), Some("2"));
        assert_eq!(a.get("c"), None);
    }

    #[test]
    fn refuses_bytes_that_are_not_canonical() {
        let raw = |pairs: &[(&str, &str)]| {
            let mut out = Vec::new();
            for (n, v) in pairs {
                put_str(&mut out, n);
                put_str(&mut out, v);
            }
            Labels::from_bytes(out.into())
        };
        assert!(raw(&[("a", "1"), ("b", "2")]).is_ok());
        assert_eq!(raw(&[("b", "1"), ("a", "2")]), Err(InvalidLabels::Unsorted));
        assert_eq!(raw(&[("a", "1"), ("a", "2")]), Err(InvalidLabels::Duplicate("a".into())));
        assert_eq!(raw(&[("a", "")]), Err(InvalidLabels::EmptyValue("a".into())));
        assert_eq!(raw(&[("", "x")]), Err(InvalidLabels::EmptyName));
        assert_eq!(
            Labels::from_bytes(Bytes::from_static(&[5, b'a'])),
            Err(InvalidLabels::Truncated)
        );
        assert_eq!(
            Labels::from_bytes(Bytes::from_static(&[1, 0xff, 1, b'a'])),
            Err(InvalidLabels::NotUtf8)
        );
    }

    #[test]
    fn orders_like_prometheus() {
        let set = |p: &[(&str, &str)]| Labels::from_pairs(p.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "2")]) > set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "10")]) < set(&[("a", "9")]));
    }

    #[test]
    fn order_and_replacement_are_those_of_the_pairs() {
        let texts = ["", "a", "b", "ab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "é", &"x".repeat(200)];
        let mut sets = Vec::new();
        for (i, a) in texts.iter().enumerate() {
            for b in texts {
                let name = texts[(i + 3) % texts.len()];
                sets.push(Labels::from_pairs([("m", *a), ("n", b), (name, "1")]));
            }
        }
        for one in &sets {
            for other in &sets {
                assert_eq!(one.cmp(other), one.iter().cmp(other.iter()), "{one} {other}");
            }
            for (name, value) in [("m", "v"), ("n", ""), ("a", "w"), ("zz", "x"), ("", "x")] {
                let mut builder = one.to_builder();
                builder.set(name, value);
                assert_eq!(one.with(name, value), builder.build(), "{one} {name:?}");
            }
        }
    }

    #[test]
    fn varints_are_bounded() {
        let mut out = Vec::new();
        put_uvarint(&mut out, u64::MAX);
        assert_eq!(take_uvarint(&mut out.as_slice()), Some(u64::MAX));
        assert_eq!(take_uvarint(&mut [0x80u8; 12].as_slice()), None);
        assert_eq!(
            take_uvarint(
                &mut [0xffu8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2].as_slice()
            ),
            None
        );
    }
}
