//! Which parts of a line vary: words with digits, quoted texts, values of JSON and logfmt, times.
//!
//! Any choice is lossless; this one makes lines of one statement of a program share a template, and
//! gives each field of a JSON or logfmt line a column.

use memchr::memchr;

use super::{SLOT, times};

/// Longer lines, and lines with more variables, are not split.
const MAX_LINE: usize = 32 << 10;
const MAX_SLOTS: usize = 200;

/// A variable of a line: where it stands in the text of all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) start: u32,
    pub(super) len: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    Letter,
    Digit,
    Quote,
    Equals,
    Zero,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut i = 0;
    while i < 256 {
        classes[i] = match i as u8 {
            b'0'..=b'9' => Class::Digit,
            // Bytes of other alphabets are letters.
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => Class::Letter,
            b'"' => Class::Quote,
            b'=' => Class::Equals,
            SLOT => Class::Zero,
            _ => Class::Other,
        };
        i += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

fn is_word(byte: u8) -> bool {
    matches!(class(byte), Class::Letter | Class::Digit)
}

/// Takes a line apart.
struct Splitter<'a> {
    line: &'a [u8],
    /// Where the line begins in the text.
    base: u32,
    at: usize,
    /// End of what is in the key already.
    copied: usize,
    key: &'a mut Vec<u8>,
    slots: &'a mut Vec<Slot>,
    n_slots: usize,
    /// No quote behind here ends one.
    unclosed: bool,
}

/// Appends the template of `line`, which begins at `base`, to `key` and its variables to `slots`.
///
/// False when the line is not to be split; what was appended is of no meaning then.
pub(super) fn split(line: &[u8], base: u32, key: &mut Vec<u8>, slots: &mut Vec<Slot>) -> bool {
    if line.len() > MAX_LINE {
        return false;
    }
    let mut splitter =
        Splitter { line, base, at: 0, copied: 0, key, slots, n_slots: 0, unclosed: false };
    splitter.run() && splitter.n_slots <= MAX_SLOTS
}

// === impl Splitter ===

impl Splitter<'_> {
    fn run(&mut self) -> bool {
        while let Some(byte) = self.line.get(self.at) {
            match class(*byte) {
                Class::Other => self.at += 1,
                Class::Letter | Class::Digit => self.word(),
                Class::Quote => self.quoted(),
                Class::Equals => self.assigned(),
                Class::Zero => return false,
            }
        }
        self.key.extend_from_slice(&self.line[self.copied..]);
        true
    }

    /// `start..end` is a variable.
    fn variable(&mut self, start: usize, end: usize) {
        self.key.extend_from_slice(&self.line[self.copied..start]);
        self.key.push(SLOT);
        // A line is at most `MAX_LINE` long.
        let (offset, len) = (start as u32, (end - start) as u32);
        self.slots.push(Slot { start: self.base + offset, len });
        self.n_slots += 1;
        self.copied = end;
        self.at = end;
    }

    fn word(&mut self) {
        let start = self.at;
        let rest = &self.line[start..];
        if let Some(len) = times::len_of(rest) {
            return self.variable(start, start + len);
        }
        let mut has_digit = false;
        let len = rest.iter().take_while(|b| {
            has_digit |= b.is_ascii_digit();
            is_word(**b)
        });
        let end = start + len.count();
        if has_digit {
            self.variable(start, end);
        } else {
            self.at = end;
        }
    }

    /// A quoted text is a variable unless it is the key of JSON.
    fn quoted(&mut self) {
        let start = self.at + 1;
        let end = if self.unclosed { None } else { closing(self.line, start) };
        let Some(end) = end else {
            self.unclosed = true;
            self.at = start;
            return;
        };
        if self.line.get(end + 1) != Some(&b':') {
            self.variable(start, end);
            self.at = end + 1;
            return;
        }
        self.at = end + 2;
        while self.line.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        let scalar = &self.line[self.at..];
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        match scalar.first() {
            Some(b'"' | b'{' | b'[') | None => {}
            _ => {
                let len = scalar.iter().position(ends).unwrap_or(scalar.len());
                if len > 0 && !scalar[..len].contains(&SLOT) {
                    self.variable(self.at, self.at + len);
                }
            }
        }
    }

    /// What follows `name=` up to a blank is a variable.
    fn assigned(&mut self) {
        let named =
            self.at > 0 && (is_word(self.line[self.at - 1]) || self.line[self.at - 1] == b'_');
        self.at += 1;
        let value = &self.line[self.at..];
        if !named || value.first() == Some(&b'"') {
            return;
        }
        let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'"');
        let len = value.iter().position(ends).unwrap_or(value.len());
        if len > 0 && !value[..len].contains(&SLOT) {
            self.variable(self.at, self.at + len);
        }
    }
}

/// Where the quote that begins before `start` ends.
fn closing(line: &[u8], start: usize) -> Option<usize> {
    let mut from = start;
    loop {
        let rest = line.get(from..)?;
        let at = from + memchr(b'"', rest)?;
        let escapes = line[start..at].iter().rev().take_while(|b| **b == b'\\').count();
        if escapes % 2 == 0 {
            return (!line[start..at].contains(&SLOT)).then_some(at);
        }
        from = at + 1;
    }
}

/// Splits a value further: appends its pattern to `key` and its parts to `parts`, as ranges in it.
///
/// Parts are words with digits; letters before or behind all digits of a word belong to the pattern.
pub(super) fn split_value(value: &[u8], key: &mut Vec<u8>, parts: &mut Vec<(u32, u32)>) {
    let (mut at, mut copied) = (0, 0);
    while at < value.len() {
        if !is_word(value[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let (mut first, mut last, mut n_digits) = (usize::MAX, 0, 0);
        while at < value.len() && is_word(value[at]) {
            if value[at].is_ascii_digit() {
                first = first.min(at);
                last = at + 1;
                n_digits += 1;
            }
            at += 1;
        }
        if n_digits == 0 {
            continue;
        }
        // The digits stand together at an end of the word: `v1`, `12ms`; else it is an id.
        let together = last - first == n_digits && (first == start || last == at);
        let (from, to) = if together { (first, last) } else { (start, at) };
        key.extend_from_slice(&value[copied..from]);
        key.push(SLOT);
        parts.push((from as u32, to as u32));
        copied = to;
    }
    key.extend_from_slice(&value[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (String, Vec<String>) {
        let (mut key, mut slots) = (Vec::new(), Vec::new());
        assert!(split(line.as_bytes(), 0, &mut key, &mut slots), "{line}");
        let at = |s: &Slot| line[s.start as usize..(s.start + s.len) as usize].to_owned();
        (String::from_utf8(key).unwrap().replace('\0', "~"), slots.iter().map(at).collect())
    }

    fn pattern(value: &str) -> (String, Vec<String>) {
        let (mut key, mut found) = (Vec::new(), Vec::new());
        split_value(value.as_bytes(), &mut key, &mut found);
        let at = |(a, b): &(u32, u32)| value[*a as usize..*b as usize].to_owned();
        (String::from_utf8(key).unwrap().replace('\0', "~"), found.iter().map(at).collect())
    }

    #[test]
    fn json_logfmt_and_text_have_templates() {
        let (key, values) =
            parts(r#"{"ts":"2026-01-02T03:04:05.678Z","n":12.5,"ok":true,"o":{"a":"x\"y"}}"#);
        assert_eq!(key, r#"{"ts":"~","n":~,"ok":~,"o":{"a":"~"}}"#);
        assert_eq!(values, ["2026-01-02T03:04:05.678Z", "12.5", "true", "x\\\"y"]);
        let (key, values) =
            parts(r#"ts=2026-01-02T03:04:05Z caller=a.go:12 msg="not found" n=5 e="#);
        assert_eq!(key, r#"ts=~ caller=~ msg="~" n=~ e="#);
        assert_eq!(values, ["2026-01-02T03:04:05Z", "a.go:12", "not found", "5"]);
        let (key, values) = parts("2026-01-02 03:04:05,678 INFO exec-7 took 12ms, 10:20:30 late");
        assert_eq!(key, "~ INFO exec-~ took ~, ~ late");
        assert_eq!(values, ["2026-01-02 03:04:05,678", "7", "12ms", "10:20:30"]);
        assert_eq!(parts("say \"no").0, "say \"no");
        assert_eq!(parts("").0, "");
    }

    #[test]
    fn values_have_patterns() {
        assert_eq!(
            pattern("/api/v1/items/77"),
            ("/api/v~/items/~".into(), vec!["1".into(), "77".into()])
        );
        assert_eq!(pattern("12.345ms"), ("~.~ms".into(), vec!["12".into(), "345".into()]));
        assert_eq!(pattern("pod-9a3b"), ("pod-~".into(), vec!["9a3b".into()]));
        assert_eq!(pattern("none"), ("none".into(), vec![]));
    }
}
