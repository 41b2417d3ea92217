//! What a label matcher tests: patterns taken apart at their top, so that most of what people write
//! needs no automaton.
//!
//! Each branch of the outermost alternation is put where it is cheapest to test: `abc` in a set,
//! `abc.*` among prefixes, `.*abc` among suffixes, `.*abc.*` among parts; the others are compiled
//! together. A value matches if one of these says so.

use std::collections::HashSet;

use regex::Regex;
use regex_syntax::hir::Look;

use super::compile::{Captures, build, translate};
use super::literal::{Case, key, product, strings};
use super::node::{Node, Weight};
use super::parse::{Dot, parse};
use super::{RegexError, check_len, literal_set};

/// Bytes that a program costs besides its instructions, and each instruction, about.
const PROGRAM_COST: usize = 64 << 10;
const INSTRUCTION_COST: usize = 64;
/// Bytes that a string of a set costs besides its own.
const STRING_COST: usize = 64;

/// A compiled pattern that has to match all of a value. `.` means newlines too.
#[derive(Debug, Default)]
pub struct Pattern {
    set: HashSet<String>,
    folded: HashSet<String>,
    prefixes: Affixes,
    suffixes: Affixes,
    part: Option<String>,
    /// Any one of these, anywhere.
    parts: Option<Regex>,
    everything: bool,
    something: bool,
    rest: Option<Rest>,
    cost: usize,
}

/// Strings of which none starts with another, in order; suffixes are kept back to front.
#[derive(Debug, Default)]
struct Affixes(Vec<Box<[u8]>>);

/// What needs an automaton, with what has to be there whatever it says.
#[derive(Debug)]
struct Rest {
    head: String,
    tail: String,
    regex: Regex,
}

// === impl Pattern ===

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        check_len(pattern)?;
        let mut out = Self::default();
        if let Some(set) = literal_set(pattern, usize::MAX) {
            out.set = set.into_iter().collect();
        } else {
            let (node, weight) = parse(pattern, Dot::Everything)?;
            out.take_apart(&node, pattern, weight)?;
        }
        let strings = out.set.iter().chain(&out.folded);
        out.cost += strings.map(|s| s.len() + STRING_COST).sum::<usize>();
        Ok(out)
    }

    pub fn is_match(&self, value: &str) -> bool {
        self.everything
            || (self.something && !value.is_empty())
            || (!self.set.is_empty() && self.set.contains(value))
            || (!self.folded.is_empty() && self.folded.contains(&key(value)))
            || self.prefixes.fit(value.bytes())
            || self.suffixes.fit(value.bytes().rev())
            || self.part.as_ref().is_some_and(|part| value.contains(part.as_str()))
            || self.parts.as_ref().is_some_and(|parts| parts.is_match(value))
            || self.rest.as_ref().is_some_and(|rest| rest.is_match(value))
    }

    /// All values that match, when they are few and known.
    pub fn literals(&self) -> Option<Vec<&str>> {
        let only = !self.everything
            && !self.something
            && self.folded.is_empty()
            && self.prefixes.0.is_empty()
            && self.suffixes.0.is_empty()
            && self.part.is_none()
            && self.parts.is_none()
            && self.rest.is_none();
        only.then(|| self.set.iter().map(String::as_str).collect())
    }

    /// Bytes of memory that it takes, about.
    pub fn cost(&self) -> usize {
        self.cost
    }

    #[cfg(test)]
    pub(super) fn has_program(&self) -> bool {
        self.rest.is_some()
    }

    fn take_apart(&mut self, node: &Node, pattern: &str, weight: Weight) -> Result<(), RegexError> {
        let branches = match node.ungrouped() {
            Node::Alternate(branches) => branches.as_slice(),
            one => std::slice::from_ref(one),
        };
        let (mut prefixes, mut suffixes, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for branch in branches {
            let branch = Branch::of(branch);
            let (open_start, open_end) = (branch.open_start, branch.open_end);
            match product(branch.middle, Case::Matters) {
                Some(strings) => match (open_start, open_end) {
                    (false, false) => self.set.extend(strings),
                    (false, true) => prefixes.extend(strings),
                    (true, false) => suffixes.extend(strings),
                    (true, true) => parts.extend(strings),
                },
                None if !open_start && !open_end && self.fold(branch.middle) => {}
                None if matches!(branch.middle, [one] if one.is_something()) => {
                    self.something = true;
                }
                None => rest.push(branch),
            }
        }
        self.everything =
            [&prefixes, &suffixes, &parts].iter().any(|l| l.iter().any(String::is_empty));
        self.cost += [&prefixes, &suffixes, &parts]
            .iter()
            .flat_map(|l| l.iter())
            .map(|s| s.len() + STRING_COST)
            .sum::<usize>();
        self.prefixes = Affixes::new(prefixes.iter().map(|s| s.bytes().collect()));
        self.suffixes = Affixes::new(suffixes.iter().map(|s| s.bytes().rev().collect()));
        self.contain(parts, pattern)?;
        if !rest.is_empty() && !self.everything {
            self.cost += cost(weight.size);
            self.rest = Some(Rest::new(&rest, pattern, weight.size)?);
        }
        Ok(())
    }

    fn fold(&mut self, parts: &[Node]) -> bool {
        let found = product(parts, Case::Folded);
        let any = found.is_some();
        self.folded.extend(found.into_iter().flatten());
        any
    }

    fn contain(&mut self, mut parts: Vec<String>, pattern: &str) -> Result<(), RegexError> {
        if parts.len() <= 1 {
            self.part = parts.pop();
            return Ok(());
        }
        // Beginnings that are alike are compiled once.
        let size = parts.iter().map(String::len).sum::<usize>() as u64 / 2;
        let escaped: Vec<String> = parts.iter().map(|part| regex_syntax::escape(part)).collect();
        self.cost += cost(size);
        self.parts = Some(build(&escaped.join("|"), pattern, size)?);
        Ok(())
    }
}

fn cost(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX).saturating_mul(INSTRUCTION_COST) + PROGRAM_COST
}

// === impl Affixes ===

impl Affixes {
    fn new(strings: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut all: Vec<Box<[u8]>> = strings.map(Vec::into_boxed_slice).collect();
        all.sort_unstable();
        // What starts with another says nothing new. The other comes right before those.
        all.dedup_by(|longer, shorter| longer.starts_with(shorter));
        Self(all)
    }

    /// Whether `value` starts with one of them: with the last that is not after it, if with any.
    fn fit(&self, value: impl Iterator<Item = u8> + Clone) -> bool {
        let after = self.0.partition_point(|s| s.iter().copied().le(value.clone()));
        let candidate = after.checked_sub(1).and_then(|at| self.0.get(at));
        candidate.is_some_and(|s| value.take(s.len()).eq(s.iter().copied()))
    }
}

/// A branch, without the anchors and `.*` at its ends.
struct Branch<'a> {
    middle: &'a [Node],
    open_start: bool,
    open_end: bool,
}

// === impl Branch ===

impl<'a> Branch<'a> {
    fn of(node: &'a Node) -> Self {
        let mut middle = match node.ungrouped() {
            Node::Concat(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        // At the ends of the whole these say nothing.
        while let [Node::Look(Look::Start), rest @ ..] = middle {
            middle = rest;
        }
        while let [rest @ .., Node::Look(Look::End)] = middle {
            middle = rest;
        }
        let (mut open_start, mut open_end) = (false, false);
        while let [first, rest @ ..] = middle
            && first.is_anything()
        {
            (middle, open_start) = (rest, true);
        }
        while let [rest @ .., last] = middle
            && last.is_anything()
        {
            (middle, open_end) = (rest, true);
        }
        Self { middle, open_start, open_end }
    }

    fn text(&self) -> String {
        let start = if self.open_start { "" } else { "^" };
        let end = if self.open_end { "" } else { "$" };
        let middle = Node::concat(self.middle.iter().cloned());
        format!("{start}(?:{}){end}", translate(&middle, Captures::Dropped))
    }

    /// What a value has to start with, and to end with.
    fn ends(&self) -> (String, String) {
        let fixed = |node: Option<&Node>, open: bool| match node {
            Some(node) if !open => strings(node, Case::Matters).filter(|s| s.len() == 1),
            _ => None,
        };
        let head = fixed(self.middle.first(), self.open_start);
        let tail = fixed(self.middle.last(), self.open_end);
        let only = |s: Option<Vec<String>>| s.and_then(|mut s| s.pop()).unwrap_or_default();
        (only(head), only(tail))
    }
}

// === impl Rest ===

impl Rest {
    fn new(branches: &[Branch<'_>], pattern: &str, size: u64) -> Result<Self, RegexError> {
        let (head, tail) = match branches {
            [one] => one.ends(),
            _ => Default::default(),
        };
        let text = branches.iter().map(Branch::text).collect::<Vec<_>>().join("|");
        Ok(Self { head, tail, regex: build(&text, pattern, size)? })
    }

    fn is_match(&self, value: &str) -> bool {
        value.starts_with(self.head.as_str())
            && value.ends_with(self.tail.as_str())
            && self.regex.is_match(value)
    }
}
