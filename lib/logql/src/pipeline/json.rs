//! A scanner of JSON text that takes it apart without building it.
//!
//! It is as tolerant as log lines need: fields read before a fault count, text after the closing
//! brace is ignored, numbers keep their spelling. It never recurses; depth costs only bytes of the
//! line.

/// What a line has against being a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("value is not a json object")]
    NotAnObject,
    #[error("key is not a string")]
    Key,
    #[error("missing ':' after key")]
    Colon,
    #[error("string is not terminated")]
    String,
    #[error("value is an array without its closing ']'")]
    Array,
    #[error("value is an object without its closing '}}'")]
    Object,
    #[error("unknown value type")]
    Value,
    #[error("expecting ',' or '}}' after a value")]
    Separator,
}

/// A value, as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    /// Without quotes, escapes not yet resolved.
    String(&'a str),
    /// Numbers, `true`, `false`: the text itself.
    Bare(&'a str),
    Null,
    Object(&'a str),
    Array(&'a str),
}

/// Walks the members of the object that `text` begins with. `visit` answers whether to go on.
///
/// `enter` is called for nested objects with their raw key and answers whether to look inside;
/// `leave` when one ends.
pub(crate) trait Visitor {
    fn member(&mut self, key: &str, value: Json<'_>) -> bool;
    fn enter(&mut self, key: &str) -> bool;
    fn leave(&mut self);
}

struct Scanner<'a> {
    text: &'a str,
    pos: usize,
}

/// Reports all members, nested ones between `enter` and `leave`.
pub(crate) fn walk(text: &str, visitor: &mut impl Visitor) -> Result<(), JsonError> {
    let mut scan = Scanner { text, pos: 0 };
    if scan.peek() != Some(b'{') {
        return Err(JsonError::NotAnObject);
    }
    scan.pos += 1;
    let mut depth = 1usize;
    // Objects that end before this are known to be closed.
    let mut closed_before = 0;
    loop {
        match scan.peek() {
            Some(b'}') => {
                scan.pos += 1;
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                visitor.leave();
                scan.separator()?;
                continue;
            }
            Some(b'"') => {}
            Some(_) => return Err(JsonError::Key),
            None => return Err(JsonError::Object),
        }
        let key = scan.string()?;
        if scan.peek() != Some(b':') {
            return Err(JsonError::Colon);
        }
        scan.pos += 1;
        if scan.peek() == Some(b'{') {
            if scan.pos >= closed_before {
                closed_before = scan.pos + block_len(&text[scan.pos..]).ok_or(JsonError::Object)?;
            }
            if visitor.enter(key) {
                scan.pos += 1;
                depth += 1;
                continue;
            }
            scan.pos += block_len(&text[scan.pos..]).ok_or(JsonError::Object)?;
        } else {
            let value = scan.value()?;
            if !visitor.member(key, value) {
                return Ok(());
            }
        }
        scan.separator()?;
    }
}

/// The value of `key` in the object that `text` begins with.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Option<Json<'a>> {
    let mut scan = Scanner { text, pos: 0 };
    if scan.peek() != Some(b'{') {
        return None;
    }
    scan.pos += 1;
    while scan.peek() == Some(b'"') {
        let found = scan.string().ok()?;
        if scan.peek() != Some(b':') {
            return None;
        }
        scan.pos += 1;
        let value = scan.value().ok()?;
        if found == key || (found.contains('\\') && unescape(found) == key) {
            return Some(value);
        }
        scan.separator().ok()?;
    }
    None
}

/// Element `index` of the array that `text` begins with.
pub(crate) fn element(text: &str, index: usize) -> Option<Json<'_>> {
    let mut scan = Scanner { text, pos: 0 };
    if scan.peek() != Some(b'[') {
        return None;
    }
    scan.pos += 1;
    for i in 0.. {
        if scan.peek() == Some(b']') {
            return None;
        }
        let value = scan.value().ok()?;
        if i == index {
            return Some(value);
        }
        if scan.peek() != Some(b',') {
            return None;
        }
        scan.pos += 1;
    }
    None
}

impl<'a> Scanner<'a> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        let mut byte = *bytes.get(self.pos)?;
        while matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            self.pos += 1;
            byte = *bytes.get(self.pos)?;
        }
        Some(byte)
    }

    /// The string at the position, between its quotes.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.pos + 1;
        let len = string_len(&self.text.as_bytes()[start..]).ok_or(JsonError::String)?;
        self.pos = start + len + 1;
        Ok(&self.text[start..start + len])
    }

    /// Takes a comma. `false` when the object ends here instead.
    fn separator(&mut self) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(b'}') => Ok(false),
            Some(_) => Err(JsonError::Separator),
            None => Err(JsonError::Object),
        }
    }

    fn value(&mut self) -> Result<Json<'a>, JsonError> {
        let first = self.peek().ok_or(JsonError::Value)?;
        let rest = &self.text[self.pos..];
        match first {
            b'"' => Ok(Json::String(self.string()?)),
            b'{' => {
                let len = block_len(rest).ok_or(JsonError::Object)?;
                self.pos += len;
                Ok(Json::Object(&rest[..len]))
            }
            b'[' => {
                let len = block_len(rest).ok_or(JsonError::Array)?;
                self.pos += len;
                Ok(Json::Array(&rest[..len]))
            }
            _ => {
                let stops = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']');
                let len = rest.as_bytes().iter().position(stops).unwrap_or(rest.len());
                let word = &rest[..len];
                self.pos += word.len();
                match word {
                    "null" => Ok(Json::Null),
                    "true" | "false" => Ok(Json::Bare(word)),
                    _ if first == b'-' || first.is_ascii_digit() => Ok(Json::Bare(word)),
                    _ => Err(JsonError::Value),
                }
            }
        }
    }
}

/// Bytes before the closing quote.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut pos = 0;
    loop {
        pos += quote_or_backslash(text.get(pos..)?)?;
        if text[pos] == b'"' {
            return Some(pos);
        }
        pos += 2;
    }
}

/// Longer strings are worth a call.
const SHORT: usize = 32;

/// As `memchr2`, without a call for the short strings that keys and most values are.
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT
        && let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>)
    {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ every(b'"')) | zero_bytes(word ^ every(b'\\'));
        if found != 0 {
            // The lowest bit is exact; those above it need not be.
            return Some(at + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0));
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    if rest.len() < 8 {
        return Some(at + rest.iter().position(|b| matches!(b, b'"' | b'\\'))?);
    }
    Some(at + memchr::memchr2(b'"', b'\\', rest)?)
}

pub(super) const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// A bit in each byte that is zero, up to and with the lowest one.
pub(super) fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(every(1)) & !word & every(0x80)
}

/// Bytes of the object or array that `text` begins with, up to and with its closing bracket.
fn block_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (open, close) = if bytes.first() == Some(&b'[') { (b'[', b']') } else { (b'{', b'}') };
    let mut depth = 0usize;
    let mut pos = 0;
    loop {
        pos += memchr::memchr3(b'"', open, close, bytes.get(pos..)?)?;
        let byte = bytes[pos];
        pos += 1;
        if byte == b'"' {
            pos += string_len(&bytes[pos..])? + 1;
        } else if byte == open {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return Some(pos);
            }
        }
    }
}

/// Resolves the escapes of a JSON string. A bad escape makes the whole string empty.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::new();
    unescape_into(text, &mut out);
    out
}

/// As [`unescape`], into a buffer that is cleared first.
pub(crate) fn unescape_into(text: &str, out: &mut String) {
    out.clear();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        match escape(&rest[at + 1..]) {
            Some((c, len)) => {
                out.push(c);
                rest = &rest[at + 1 + len..];
            }
            None => {
                out.clear();
                return;
            }
        }
    }
    out.push_str(rest);
}

/// The character an escape stands for, and its length without the backslash.
fn escape(text: &str) -> Option<(char, usize)> {
    let plain = match text.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex4(text.get(1..5)?)?;
            if let Some(c) = char::from_u32(high) {
                return Some((c, 5));
            }
            let low = hex4(text.get(5..)?.strip_prefix("\\u")?.get(..4)?)?;
            let in_range = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
            let code = in_range.then(|| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?;
            return Some((char::from_u32(code)?, 11));
        }
        _ => return None,
    };
    Some((plain, 1))
}

fn hex4(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collect {
        path: Vec<String>,
        found: Vec<String>,
    }

    impl Visitor for Collect {
        fn member(&mut self, key: &str, value: Json<'_>) -> bool {
            self.found.push(format!("{}{key}={value:?}", self.path.concat()));
            true
        }
        fn enter(&mut self, key: &str) -> bool {
            self.path.push(format!("{key}."));
            true
        }
        fn leave(&mut self) {
            self.path.pop();
        }
    }

    fn collect(text: &str) -> (Vec<String>, Result<(), JsonError>) {
        let mut out = Collect::default();
        let end = walk(text, &mut out);
        (out.found, end)
    }

    #[test]
    fn nested_members_come_in_order_with_their_text() {
        let (found, end) = collect(
            r#" {"a":{"b":1.0,"c":[1,{"x":"]"}],"e":{}},"t":true , "n":null,"s":"q\"}"} rest"#,
        );
        assert_eq!(end, Ok(()));
        assert_eq!(
            found,
            [
                r#"a.b=Bare("1.0")"#,
                r#"a.c=Array("[1,{\"x\":\"]\"}]")"#,
                r#"t=Bare("true")"#,
                "n=Null",
                r#"s=String("q\\\"}")"#
            ]
        );
    }

    #[test]
    fn what_stands_before_a_fault_counts() {
        for (text, n, error) in [
            (r#"{"a":1,"b":"#, 1, JsonError::Value),
            (r#"{"a":1,"b":{"c":2"#, 1, JsonError::Object),
            (r#"{"a":1,"b":[2"#, 1, JsonError::Array),
            (r#"{"a":1 "b":2}"#, 1, JsonError::Separator),
            (r#"{"a":x}"#, 0, JsonError::Value),
            ("{'a':1}", 0, JsonError::Key),
            ("[1]", 0, JsonError::NotAnObject),
            ("", 0, JsonError::NotAnObject),
            (r#"{"a"#, 0, JsonError::String),
            (r#"{"a\"#, 0, JsonError::String),
        ] {
            let (found, end) = collect(text);
            assert_eq!((found.len(), end), (n, Err(error)), "{text}");
        }
    }

    #[test]
    fn strings_end_where_a_plain_look_says() {
        let plain = |text: &[u8]| {
            let mut at = 0;
            loop {
                match text.get(at)? {
                    b'"' => return Some(at),
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
        };
        for len in 0..80 {
            for fill in [b'x', b'!', b'#', b'[', 0xa2, 0xdc] {
                for at in 0..len {
                    for what in ["\"", "\\", "\\\"", "\\\\\""] {
                        let mut text = vec![fill; len];
                        let end = (at + what.len()).min(len);
                        text[at..end].copy_from_slice(&what.as_bytes()[..end - at]);
                        assert_eq!(string_len(&text), plain(&text), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn deep_nesting_costs_no_stack_and_little_time() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(40_000), "}".repeat(40_000));
        let (found, end) = collect(&deep);
        assert_eq!((found.len(), end), (1, Ok(())));
    }

    #[test]
    fn escapes_are_resolved_or_empty_the_string() {
        assert_eq!(unescape(r#"tab\t \u00e9 \ud83d\ude80"#), "tab\t é 🚀");
        assert_eq!(unescape(r"\ud83d x"), "");
        assert_eq!(unescape(r"\q"), "");
        assert_eq!(unescape(r"a\"), "");
    }

    #[test]
    fn paths_are_looked_up_lazily() {
        let text = r#"{"a":{"b":[0,{"k":"v"}]},"x":broken"#;
        let Some(Json::Object(a)) = member(text, "a") else { panic!() };
        let Some(Json::Array(b)) = member(a, "b") else { panic!() };
        let Some(Json::Object(k)) = element(b, 1) else { panic!() };
        assert_eq!(member(k, "k"), Some(Json::String("v")));
        assert_eq!(element(b, 2), None);
        assert_eq!(member(text, "x"), None);
    }
}
