//! Regular expressions with the semantics of Go's RE2 syntax, as PromQL and LogQL define them.
//!
//! The crate `regex` agrees with Go but for three points, which [`translate`] mends: perl classes
//! and word boundaries are ASCII in Go, `\z` is spelt alike, and repeat counts stop at 1000.

use regex::{Regex, RegexBuilder};

/// Longest pattern accepted, in bytes.
pub const MAX_PATTERN: usize = 64 * 1024;
const SIZE_LIMIT: usize = 4 << 20;
const DFA_LIMIT: usize = 2 << 20;
const NEST_LIMIT: u32 = 250;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("regular expression of {0} bytes exceeds the limit of 65536")]
    TooLong(usize),
    #[error("error parsing regexp: {0}")]
    Syntax(String),
}

/// Compiles `pattern` anchored at both ends with `.` matching newlines: what a label matcher means.
pub fn anchored(pattern: &str) -> Result<Regex, RegexError> {
    check(pattern)?;
    build(&format!("^(?s:{})$", translate(pattern)))
}

/// Compiles `pattern` as it is, unanchored: what a line filter means.
pub fn unanchored(pattern: &str) -> Result<Regex, RegexError> {
    check(pattern)?;
    build(&translate(pattern))
}

/// The literal strings that an anchored `pattern` matches, when it is a plain alternation of at most `max` literals.
pub fn literal_set(pattern: &str, max: usize) -> Option<Vec<String>> {
    let parts: Vec<&str> = pattern.split('|').take(max + 1).collect();
    let plain = |s: &&str| !s.contains(|c| r"\.+*?()[]{}^$".contains(c));
    (parts.len() <= max && parts.iter().all(plain))
        .then(|| parts.into_iter().map(str::to_owned).collect())
}

fn check(pattern: &str) -> Result<(), RegexError> {
    if pattern.len() > MAX_PATTERN {
        return Err(RegexError::TooLong(pattern.len()));
    }
    if let Some(nested) = nested_repetition(pattern) {
        let what = "invalid nested repetition operator";
        return Err(RegexError::Syntax(format!("{what}: `{nested}`")));
    }
    // Compile the bare pattern first: wrapping must not make `a)(b` valid.
    regex_syntax::ParserBuilder::new()
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(&translate(pattern))
        .map(drop)
        .map_err(|e| RegexError::Syntax(first_line(&e.to_string(), pattern)))
}

fn build(pattern: &str) -> Result<Regex, RegexError> {
    RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(DFA_LIMIT)
        .nest_limit(NEST_LIMIT + 4)
        .build()
        .map_err(|e| RegexError::Syntax(first_line(&e.to_string(), pattern)))
}

/// The parser's message without its drawing, in Go's manner: what, then the pattern.
fn first_line(message: &str, pattern: &str) -> String {
    let last = message.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("invalid");
    let what = last.trim().trim_start_matches("error: ");
    let shown: String = pattern.chars().take(100).collect();
    format!("{what}: `{shown}`")
}

/// Rewrites Go syntax to the crate's: ASCII perl classes and boundaries.
fn translate(pattern: &str) -> String {
    if !pattern.contains(['\\', '[', '{']) {
        return pattern.to_owned();
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
                Some('w') => out.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('s') => out.push_str(if in_class { r"\t\n\f\r " } else { r"[\t\n\f\r ]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?-u:\B)"),
                Some('Q') => quote_literal(&mut chars, &mut out),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push(c);
                // A `]` right after `[` or `[^` is a literal.
                let mut ahead = chars.clone();
                let mut next = ahead.next();
                if next == Some('^') {
                    out.push('^');
                    chars.next();
                    next = ahead.next();
                }
                if next == Some(']') {
                    out.push_str(r"\]");
                    chars.next();
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            '[' if in_class => {
                // `[:alpha:]` stays, any other `[` inside a class is a literal in Go.
                if chars.as_str().starts_with(':') {
                    out.push('[');
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                } else {
                    out.push_str(r"\[");
                }
            }
            '{' if !in_class
                && counted_repetition(&pattern[pattern.len() - chars.as_str().len() - 1..])
                    .is_none() =>
            {
                out.push_str(r"\{");
            }
            '&' | '~' if in_class => {
                // `&&` and `~~` are set operations in the crate, literals in Go.
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// How long the repetition operator at the front of `s` is, with its `?` for "as few as possible".
fn repetition(s: &str) -> Option<usize> {
    let len = match s.as_bytes().first()? {
        b'*' | b'+' | b'?' => 1,
        b'{' => counted_repetition(s)?,
        _ => return None,
    };
    Some(len + usize::from(s[len..].starts_with('?')))
}

/// The length of `{n}`, `{n,}` or `{n,m}`; Go takes any other brace literally.
fn counted_repetition(s: &str) -> Option<usize> {
    let (body, _) = s.strip_prefix('{')?.split_once('}')?;
    let (least, most) = body.split_once(',').unwrap_or((body, "0"));
    let digits = |s: &str| s.bytes().all(|c| c.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(body.len() + 2)
}

/// The first `**`, `+*`, `??+` and the like: valid for the crate, an error in Go.
fn nested_repetition(pattern: &str) -> Option<&str> {
    let mut at = 0;
    let mut in_class = false;
    while let Some(c) = pattern.get(at..)?.chars().next() {
        let rest = &pattern[at..];
        match c {
            '\\' if rest.starts_with(r"\Q") => {
                at += rest.find(r"\E").map_or(rest.len(), |end| end + 2);
                continue;
            }
            '\\' => at += 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' if !in_class => {
                in_class = true;
                let negated = usize::from(rest[1..].starts_with('^'));
                at += 1 + negated + usize::from(rest[1 + negated..].starts_with(']'));
            }
            ']' if in_class => {
                in_class = false;
                at += 1;
            }
            _ if !in_class && let Some(first) = repetition(rest) => {
                if let Some(second) = repetition(&rest[first..]) {
                    return Some(&rest[..first + second]);
                }
                at += first;
            }
            c => at += c.len_utf8(),
        }
    }
    None
}

fn quote_literal(chars: &mut std::str::Chars<'_>, out: &mut String) {
    let rest = chars.as_str();
    let (literal, tail) = rest.split_once(r"\E").unwrap_or((rest, ""));
    out.push_str(&regex_syntax::escape(literal));
    *chars = tail.chars();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchored_patterns_match_whole_values() {
        let re = anchored("a|bc.*").unwrap();
        assert!(re.is_match("a") && re.is_match("bc") && re.is_match("bc\nx"));
        assert!(!re.is_match("ab") && !re.is_match("xa"));
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(!anchored(r"\d+").unwrap().is_match("٣"));
        assert!(anchored(r"[\d_]+").unwrap().is_match("1_2"));
        assert!(!anchored(r"\w").unwrap().is_match("ä"));
        assert!(anchored(r"[\[x]").unwrap().is_match("["));
        assert!(anchored(r"[[:alpha:]\d]+").unwrap().is_match("a1"));
        assert!(anchored(r"\Qa.b\E+").unwrap().is_match("a.bb"));
    }

    #[test]
    fn repetitions_are_read_as_go_does() {
        for nested in ["a**", "a+*", "a*??", "a{2}*", "(a)+{3}", r"\d**"] {
            assert!(anchored(nested).is_err(), "{nested}");
        }
        for fine in ["a*?", "(a*)*", r"a\**", "[*+]+", "[]*]*", r"\Q**\E", "a{1,2}?", "^*", "a{1,}"]
        {
            assert!(anchored(fine).is_ok(), "{fine}");
        }
        assert!(anchored("a{b}{,3}").unwrap().is_match("a{b}{,3}"));
        assert!(anchored("[a&&b]+").unwrap().is_match("a&b"));
    }

    #[test]
    fn refuses_what_would_cost_too_much() {
        assert!(matches!(anchored(&"a".repeat(70_000)), Err(RegexError::TooLong(_))));
        assert!(anchored(&format!("{}a{}", "(".repeat(300), ")".repeat(300))).is_err());
        assert!(anchored("((a{1000}){1000}){1000}").is_err());
        assert!(anchored("a)(b").is_err());
        assert!(anchored("(").is_err());
    }

    #[test]
    fn plain_alternations_are_literal_sets() {
        assert_eq!(literal_set("a|b|", 8), Some(vec!["a".into(), "b".into(), String::new()]));
        assert_eq!(literal_set("a.b", 8), None);
        assert_eq!(literal_set("a|b|c", 2), None);
    }
}
