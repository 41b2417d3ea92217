//! Trees → programs of the crate `regex`, by way of its own syntax.

use std::collections::HashSet;
use std::fmt::Write;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, Look};

use super::RegexError;
use super::cursor::syntax;
use super::node::Node;

/// Most instructions, as the parser counts them, of what is compiled at all.
const MAX_INSTRUCTIONS: u64 = 300_000;
/// Most bytes of a compiled program.
const SIZE_LIMIT: usize = 32 << 20;
/// Most bytes that matching may keep of states that it met.
const DFA_LIMIT: usize = 2 << 20;
const NEST_LIMIT: u32 = 4_000;

/// Whether parentheses capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captures {
    Kept,
    Dropped,
}

/// The tree in the crate's syntax.
pub(super) fn translate(node: &Node, captures: Captures) -> String {
    let mut translation = Translation { captures, names: HashSet::new(), out: String::new() };
    translation.node(node);
    translation.out
}

/// Compiles `text` in the crate's syntax; `pattern`, of `size` instructions, is what it stands for.
pub(super) fn build(text: &str, pattern: &str, size: u64) -> Result<Regex, RegexError> {
    let too_large = || syntax("expression too large", pattern);
    if size > MAX_INSTRUCTIONS {
        return Err(too_large());
    }
    RegexBuilder::new(text)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(DFA_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => too_large(),
            e => RegexError::Syntax(e.to_string()),
        })
}

/// All characters that differ from `c` in case only, and `c`.
pub(super) fn folded(c: char) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    // Fails only without the tables, which are built in.
    let _ = class.try_case_fold_simple();
    class
}

struct Translation<'a> {
    captures: Captures,
    names: HashSet<&'a str>,
    out: String,
}

// === impl Translation ===

impl<'a> Translation<'a> {
    fn node(&mut self, node: &'a Node) {
        match node {
            Node::Empty => self.out.push_str("(?:)"),
            Node::Text { text, fold } => {
                let (open, close) = if *fold { ("(?i:", ")") } else { ("", "") };
                self.out.push_str(open);
                self.out.push_str(&regex_syntax::escape(text));
                self.out.push_str(close);
            }
            Node::Class(class) => self.class(class),
            Node::Any => self.out.push_str("(?s:.)"),
            Node::NotNewline => self.out.push('.'),
            Node::Look(look) => self.out.push_str(shown(*look)),
            Node::Group { inner, .. } if self.captures == Captures::Dropped => self.node(inner),
            Node::Group { name, inner } => {
                // The crate takes no name twice, and none that starts with a digit.
                match name.as_deref().filter(|n| !n.starts_with(|c: char| c.is_ascii_digit())) {
                    Some(name) if self.names.insert(name) => {
                        let _ = write!(self.out, "(?P<{name}>");
                    }
                    _ => self.out.push('('),
                }
                self.node(inner);
                self.out.push(')');
            }
            Node::Repeat { inner, least, most, greedy } => {
                self.out.push_str("(?:");
                self.node(inner);
                self.out.push(')');
                let _ = match most {
                    Some(most) => write!(self.out, "{{{least},{most}}}"),
                    None => write!(self.out, "{{{least},}}"),
                };
                self.out.push_str(if *greedy { "" } else { "?" });
            }
            Node::Concat(parts) => parts.iter().for_each(|part| self.node(part)),
            Node::Alternate(branches) => {
                for (i, branch) in branches.iter().enumerate() {
                    self.out.push_str(if i > 0 { "|" } else { "(?:" });
                    self.node(branch);
                }
                self.out.push(')');
            }
        }
    }

    fn class(&mut self, class: &ClassUnicode) {
        if class.ranges().is_empty() {
            // Nothing matches.
            self.out.push_str(r"[^\x{0}-\x{10FFFF}]");
            return;
        }
        self.out.push('[');
        for range in class.ranges() {
            let (first, last) = (u32::from(range.start()), u32::from(range.end()));
            let _ = write!(self.out, r"\x{{{first:X}}}-\x{{{last:X}}}");
        }
        self.out.push(']');
    }
}

fn shown(look: Look) -> &'static str {
    match look {
        Look::Start => r"\A",
        Look::End => r"\z",
        Look::StartLF => "(?m:^)",
        Look::EndLF => "(?m:$)",
        Look::WordAscii => r"(?-u:\b)",
        // The parser makes no others.
        _ => r"(?-u:\B)",
    }
}
