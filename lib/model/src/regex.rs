//! Regular expressions as PromQL and LogQL define them: Go's syntax, limits and errors.
//!
//! ```text
//! pattern ─parse─▶ tree ─translate─▶ the crate regex's syntax ─▶ program      lines, label_replace
//!                   └──▶ sets, prefixes, suffixes, parts; a program for the rest      matchers
//! ```
//!
//! Invariants: memory is bounded by the length of the pattern, the nodes of the tree and the size
//! of the program; nothing backtracks.

mod compile;
mod cursor;
mod escape;
mod literal;
mod node;
mod parse;
mod pattern;

#[cfg(test)]
mod tests;

use regex::Regex;

pub use self::pattern::Pattern;

use self::compile::{Captures, build, translate};
use self::parse::{Dot, parse};

/// Longest pattern accepted, in bytes.
pub const MAX_PATTERN: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("regular expression of {0} bytes exceeds the limit of {MAX_PATTERN}")]
    TooLong(usize),
    /// Worded as Go words it.
    #[error("error parsing regexp: {0}")]
    Syntax(String),
}

/// Compiles `pattern` anchored at both ends with `.` matching newlines, to capture with.
pub fn anchored(pattern: &str) -> Result<Regex, RegexError> {
    check_len(pattern)?;
    let (node, weight) = parse(pattern, Dot::Everything)?;
    let text = translate(&node, Captures::Kept);
    build(&format!("^(?:{text})$"), pattern, weight.size)
}

/// Compiles `pattern` as it is, unanchored: what a line filter means. Of names given twice the first counts.
pub fn unanchored(pattern: &str) -> Result<Regex, RegexError> {
    check_len(pattern)?;
    let (node, weight) = parse(pattern, Dot::NotNewline)?;
    build(&translate(&node, Captures::Kept), pattern, weight.size)
}

/// The names that `pattern` gives to what it captures, in order, as often as it gives them.
pub fn capture_names(pattern: &str) -> Result<Vec<String>, RegexError> {
    check_len(pattern)?;
    let (node, _) = parse(pattern, Dot::NotNewline)?;
    let mut names = Vec::new();
    node.each_name(&mut |name| names.push(name.to_owned()));
    Ok(names)
}

/// The literal strings that an anchored `pattern` matches, when it is a plain alternation of at most `max` literals.
pub fn literal_set(pattern: &str, max: usize) -> Option<Vec<String>> {
    let plain = !pattern.contains(|c| r"\.+*?()[]{}^$".contains(c));
    let few = || pattern.split('|').nth(max).is_none();
    (plain && few()).then(|| pattern.split('|').map(str::to_owned).collect())
}

fn check_len(pattern: &str) -> Result<(), RegexError> {
    if pattern.len() > MAX_PATTERN {
        return Err(RegexError::TooLong(pattern.len()));
    }
    Ok(())
}
