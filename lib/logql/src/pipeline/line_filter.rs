//! Line filters over raw bytes: substrings, regular expressions, patterns, addresses.
//!
//! Literal work is memmem; a regular expression that is nothing but literals becomes one. What
//! every matching line must contain is offered as needles, for the source to skip data with.

use bytes::Bytes;
use memchr::memmem::Finder;
use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};
use skald_model::regex::unanchored;

use super::ip::IpMatcher;
use super::pattern::LinePattern;
use crate::ast::{LineFilter, LineOp, LineOperand};

#[derive(Clone, Debug)]
enum Test {
    Any,
    Contains(Box<Finder<'static>>),
    /// Any of these.
    AnyOf(Vec<Finder<'static>>),
    Regex(Regex),
    Pattern(LinePattern),
    Ip(IpMatcher),
}

/// One line filter, compiled.
#[derive(Clone, Debug)]
pub(crate) struct LineMatcher {
    negative: bool,
    tests: Vec<Test>,
    needles: Vec<Bytes>,
}

// === impl LineMatcher ===

impl LineMatcher {
    pub(crate) fn new(filter: &LineFilter) -> Result<Self, String> {
        let negative = filter.op.is_negative();
        let mut tests = Vec::with_capacity(filter.operands.len());
        let mut needles = Vec::new();
        for operand in &filter.operands {
            let (test, required) = compile(filter.op, operand)?;
            tests.push(test);
            // With alternatives no single one is required.
            if !negative && filter.operands.len() == 1 {
                needles = required;
            }
        }
        Ok(Self { negative, tests, needles })
    }

    /// What every line that passes contains.
    pub(crate) fn needles(&self) -> &[Bytes] {
        &self.needles
    }

    /// Whether every line passes that contains the needles.
    pub(crate) fn is_needle(&self) -> bool {
        !self.negative && matches!(self.tests.as_slice(), [Test::Contains(_) | Test::Any])
    }

    pub(crate) fn matches(&self, line: &[u8]) -> bool {
        self.tests.iter().any(|t| t.matches(line)) != self.negative
    }
}

impl Test {
    fn matches(&self, line: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Contains(finder) => finder.find(line).is_some(),
            Self::AnyOf(finders) => finders.iter().any(|f| f.find(line).is_some()),
            Self::Regex(re) => std::str::from_utf8(line).is_ok_and(|text| re.is_match(text)),
            Self::Pattern(pattern) => pattern.matches(line),
            Self::Ip(ip) => ip.found_in(line),
        }
    }
}

fn compile(op: LineOp, operand: &LineOperand) -> Result<(Test, Vec<Bytes>), String> {
    let text = match operand {
        LineOperand::Ip(pattern) => {
            let ip = IpMatcher::new(pattern).map_err(|e| e.to_string())?;
            return Ok((Test::Ip(ip), Vec::new()));
        }
        LineOperand::Text(text) => text,
    };
    if text.is_empty() && !matches!(op, LineOp::Pattern | LineOp::NotPattern) {
        return Ok((Test::Any, Vec::new()));
    }
    match op {
        LineOp::Contains | LineOp::NotContains => {
            Ok((contains(text.as_bytes()), vec![Bytes::copy_from_slice(text.as_bytes())]))
        }
        LineOp::Regex | LineOp::NotRegex => regex(text),
        LineOp::Pattern | LineOp::NotPattern => {
            let pattern = LinePattern::new(text)?;
            let needles = pattern.literals().filter(|l| l.len() > 1).cloned().collect();
            Ok((Test::Pattern(pattern), needles))
        }
    }
}

fn contains(literal: &[u8]) -> Test {
    Test::Contains(Box::new(Finder::new(literal).into_owned()))
}

fn regex(text: &str) -> Result<(Test, Vec<Bytes>), String> {
    // Always compiled: the text must be valid whatever path is taken.
    let re = unanchored(text).map_err(|e| e.to_string())?;
    let Ok(hir) = regex_syntax::parse(text) else { return Ok((Test::Regex(re), Vec::new())) };
    match hir.kind() {
        HirKind::Literal(literal) => {
            return Ok((contains(&literal.0), vec![Bytes::copy_from_slice(&literal.0)]));
        }
        HirKind::Alternation(parts) if parts.iter().all(is_literal) => {
            let finders = parts.iter().filter_map(|part| match part.kind() {
                HirKind::Literal(literal) => Some(Finder::new(&literal.0).into_owned()),
                _ => None,
            });
            return Ok((Test::AnyOf(finders.collect()), Vec::new()));
        }
        _ => {}
    }
    let mut needles = Vec::new();
    required(&hir, &mut needles);
    Ok((Test::Regex(re), needles))
}

fn is_literal(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(_))
}

/// Literals that stand in every match: those joined by concatenation.
fn required(hir: &Hir, out: &mut Vec<Bytes>) {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() > 1 => {
            out.push(Bytes::copy_from_slice(&literal.0));
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| required(part, out)),
        HirKind::Capture(capture) => required(&capture.sub, out),
        HirKind::Repetition(repeat) if repeat.min > 0 => required(&repeat.sub, out),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(op: LineOp, texts: &[&str]) -> LineMatcher {
        let operands = texts.iter().map(|t| LineOperand::Text((*t).to_owned())).collect();
        LineMatcher::new(&LineFilter { op, operands }).unwrap()
    }

    #[test]
    fn the_empty_string_is_in_every_line() {
        assert!(matcher(LineOp::Contains, &[""]).matches(b"x"));
        assert!(!matcher(LineOp::NotContains, &[""]).matches(b"x"));
        assert!(matcher(LineOp::Regex, &[""]).matches(b""));
        assert!(!matcher(LineOp::NotRegex, &[".+"]).matches(b"x"));
    }

    #[test]
    fn alternatives_are_any_or_none() {
        let any = matcher(LineOp::Contains, &["a", "b"]);
        assert!(any.matches(b"xb") && !any.matches(b"xc"));
        let none = matcher(LineOp::NotContains, &["a", "b"]);
        assert!(!none.matches(b"xb") && none.matches(b"xc"));
        assert!(any.needles().is_empty() && none.needles().is_empty());
    }

    #[test]
    fn regexes_offer_their_literals() {
        let needles = |re| {
            let m = matcher(LineOp::Regex, &[re]);
            m.needles().iter().map(|n| String::from_utf8(n.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(needles("error"), ["error"]);
        assert_eq!(needles(r"user=(\d+) took=\d+ms"), ["user=", " took=", "ms"]);
        assert!(needles("GET|POST").is_empty());
        assert!(needles("(?i)error").is_empty());
        assert!(needles("(abc)?x").is_empty());
        assert!(matcher(LineOp::Regex, &["GET|POST"]).matches(b"a POST"));
        assert!(
            matcher(LineOp::Regex, &["(?i)gr\u{f6}\u{df}e"]).matches("GR\u{d6}\u{df}E".as_bytes())
        );
    }
}
