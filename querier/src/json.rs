//! Writes JSON answers straight into bytes: no tree of values, no allocation per sample.
//!
//! The writer knows nothing of commas: whoever writes a list or an object puts them with
//! [`Json::sep`]. Strings are escaped as Go's `encoding/json` does; [`Json::html_string`] also
//! escapes `<`, `>` and `&`, which Loki's clients expect of lines.

mod number;

use std::borrow::Cow;

use bytes::Bytes;
use skald_model::Labels;

/// An answer under construction.
#[derive(Debug, Default)]
pub(crate) struct Json(Vec<u8>);

const HEX: &[u8; 16] = b"0123456789abcdef";

// === impl Json ===

impl Json {
    /// Goes on after `bytes`.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// Appends text that is JSON already.
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a comma unless this is the first element.
    pub(crate) fn sep(&mut self, first: &mut bool) -> &mut Self {
        if !std::mem::take(first) {
            self.0.push(b',');
        }
        self
    }

    /// Appends `"name":`; the name must need no escaping.
    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.raw("\"").raw(name).raw("\":")
    }

    pub(crate) fn string(&mut self, s: &str) -> &mut Self {
        self.bytes(s.as_bytes())
    }

    /// As [`Self::string`], of bytes that are UTF-8.
    fn bytes(&mut self, s: &[u8]) -> &mut Self {
        self.0.push(b'"');
        self.escape(s, false);
        self.0.push(b'"');
        self
    }

    /// As [`Self::string`], with `<`, `>`, `&` as `\u00xx`.
    pub(crate) fn html_string(&mut self, s: &str) -> &mut Self {
        self.0.push(b'"');
        self.escape(s.as_bytes(), true);
        self.0.push(b'"');
        self
    }

    pub(crate) fn int(&mut self, v: i64) -> &mut Self {
        number::int(&mut self.0, v);
        self
    }

    pub(crate) fn uint(&mut self, v: u64) -> &mut Self {
        number::uint(&mut self.0, v);
        self
    }

    /// A sample value as Prometheus writes it, without quotes: exponents outside of [1e-6, 1e21).
    pub(crate) fn value(&mut self, v: f64) -> &mut Self {
        number::value(&mut self.0, v);
        self
    }

    /// A sample value in plain decimal digits, as Loki writes it, without quotes.
    pub(crate) fn plain_value(&mut self, v: f64) -> &mut Self {
        number::plain(&mut self.0, v);
        self
    }

    /// A JSON number; 0 for what JSON cannot say.
    pub(crate) fn number(&mut self, v: f64) -> &mut Self {
        number::value(&mut self.0, if v.is_finite() { v } else { 0.0 });
        self
    }

    /// Milliseconds as seconds: an integer, or exactly three decimals.
    pub(crate) fn time_ms(&mut self, ms: i64) -> &mut Self {
        number::seconds(&mut self.0, ms, number::Decimals::Three);
        self
    }

    /// Milliseconds as seconds with as few decimals as needed.
    pub(crate) fn short_time_ms(&mut self, ms: i64) -> &mut Self {
        number::seconds(&mut self.0, ms, number::Decimals::Shortest);
        self
    }

    /// Nanoseconds since the epoch as RFC 3339 in UTC with all nine decimals, without quotes.
    pub(crate) fn rfc3339_ns(&mut self, ns: i64) -> &mut Self {
        number::rfc3339_ns(&mut self.0, ns);
        self
    }

    /// A label set as an object, sorted by name.
    pub(crate) fn labels(&mut self, labels: &Labels) -> &mut Self {
        self.raw("{");
        let mut first = true;
        for (name, value) in labels.raw() {
            self.sep(&mut first).bytes(name).raw(":").bytes(value);
        }
        self.raw("}")
    }

    /// A list of strings.
    pub(crate) fn strings<S: AsRef<str>>(
        &mut self,
        items: impl IntoIterator<Item = S>,
    ) -> &mut Self {
        self.raw("[");
        let mut first = true;
        for item in items {
            self.sep(&mut first).string(item.as_ref());
        }
        self.raw("]")
    }

    fn escape(&mut self, bytes: &[u8], html: bool) {
        // Without branches, so that many bytes are looked at together: most strings are plain.
        let special = |b: u8| {
            (b < 0x20)
                | (b == b'"')
                | (b == b'\\')
                | (b == 0xe2)
                | (html & ((b == b'<') | (b == b'>') | (b == b'&')))
        };
        if !bytes.iter().fold(false, |any, b| any | special(*b)) {
            self.0.extend_from_slice(bytes);
            return;
        }
        let mut copied = 0;
        for (i, &b) in bytes.iter().enumerate() {
            let plain = match b {
                b'"' | b'\\' | 0..0x20 => false,
                b'<' | b'>' | b'&' => !html,
                // U+2028 and U+2029 are line ends to JavaScript.
                0xe2 => !matches!(bytes.get(i + 1..i + 3), Some([0x80, 0xa8 | 0xa9])),
                _ => true,
            };
            if plain {
                continue;
            }
            self.0.extend_from_slice(&bytes[copied..i]);
            copied = i + if b == 0xe2 { 3 } else { 1 };
            self.0.extend_from_slice(&escaped(b, bytes.get(i + 2)));
        }
        if let Some(rest) = bytes.get(copied..) {
            self.0.extend_from_slice(rest);
        }
    }
}

fn escaped(b: u8, third: Option<&u8>) -> Cow<'static, [u8]> {
    match b {
        b'"' => Cow::Borrowed(b"\\\""),
        b'\\' => Cow::Borrowed(b"\\\\"),
        b'\n' => Cow::Borrowed(b"\\n"),
        b'\r' => Cow::Borrowed(b"\\r"),
        b'\t' => Cow::Borrowed(b"\\t"),
        0xe2 if third == Some(&0xa8) => Cow::Borrowed(b"\\u2028"),
        0xe2 => Cow::Borrowed(b"\\u2029"),
        _ => {
            let (high, low) = (HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]);
            Cow::Owned([b'\\', b'u', b'0', b'0', high, low].to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Json) -> &mut Json) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.0).unwrap()
    }

    #[test]
    fn strings_are_escaped_and_read_back_alike() {
        let nasty = "a\"b\\c\nd\te\r\u{0}\u{1f}<>&\u{2028}\u{2029}ä€🚀\u{20ac}\u{2027}";
        for s in [nasty, "", "plain", "\u{2028}", "€"] {
            let plain = text(|j| j.string(s));
            assert_eq!(serde_json::from_str::<String>(&plain).unwrap(), s);
            let html = text(|j| j.html_string(s));
            assert_eq!(serde_json::from_str::<String>(&html).unwrap(), s);
        }
        assert_eq!(text(|j| j.html_string("<b>&\u{1}")), r#""\u003cb\u003e\u0026\u0001""#);
        assert_eq!(text(|j| j.string("<b>\u{2028}")), r#""<b>\u2028""#);
    }

    #[test]
    fn label_sets_are_objects_sorted_by_name() {
        let labels = Labels::from_pairs([("b", "2\""), ("a", "1")]);
        assert_eq!(text(|j| j.labels(&labels)), r#"{"a":"1","b":"2\""}"#);
        assert_eq!(text(|j| j.labels(&Labels::empty())), "{}");
        assert_eq!(text(|j| j.strings(["x", "y"])), r#"["x","y"]"#);
    }
}
