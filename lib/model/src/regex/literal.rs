//! The finite set of strings that a tree matches, if it is one and small.

use regex_syntax::hir::ClassUnicodeRange;

use super::compile::folded;
use super::node::Node;

/// Most strings that several parts one after the other may make.
const MAX_PRODUCT: usize = 256;
/// Most strings of an alternation, and the most bytes.
const MAX_STRINGS: usize = 100_000;
const MAX_BYTES: usize = 4 << 20;

/// Whether strings are to be taken as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    /// The strings found are [`key`]s.
    Folded,
}

/// All strings that `node` matches, as a whole text.
pub(super) fn strings(node: &Node, case: Case) -> Option<Vec<String>> {
    match node.ungrouped() {
        Node::Empty => Some(vec![String::new()]),
        Node::Text { text, fold } => one(text, *fold, case).map(|text| vec![text]),
        Node::Class(class) if case == Case::Matters => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (count <= MAX_PRODUCT).then(|| chars.map(String::from).collect())
        }
        Node::Repeat { inner, least: 0, most: Some(1), .. } => {
            let mut all = strings(inner, case)?;
            all.push(String::new());
            Some(all)
        }
        Node::Concat(parts) => product(parts, case),
        Node::Alternate(branches) => {
            let mut all: Vec<String> = Vec::new();
            let mut bytes = 0;
            for branch in branches {
                let more = strings(branch, case)?;
                bytes += size(&more);
                all.extend(more);
                if all.len() > MAX_STRINGS || bytes > MAX_BYTES {
                    return None;
                }
            }
            Some(all)
        }
        _ => None,
    }
}

fn size(strings: &[String]) -> usize {
    strings.iter().map(String::len).sum()
}

/// `text` if it can be had in this `case`.
fn one(text: &str, fold: bool, case: Case) -> Option<String> {
    match (case, fold) {
        (Case::Matters, false) => Some(text.to_owned()),
        (Case::Folded, true) => Some(key(text)),
        _ => text.chars().all(is_caseless).then(|| text.to_owned()),
    }
}

fn is_caseless(c: char) -> bool {
    !c.is_ascii_alphabetic()
        && folded(c).ranges().iter().map(ClassUnicodeRange::len).sum::<usize>() == 1
}

/// `parts` one after the other; none of them, the empty string.
pub(super) fn product(parts: &[Node], case: Case) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    let mut bytes = 0;
    for part in parts {
        let ends = strings(part, case)?;
        let count = all.len().saturating_mul(ends.len());
        bytes = bytes * ends.len() + size(&ends).saturating_mul(all.len());
        // A long alternation may have text around it, but not be multiplied.
        let multiplied = all.len() > 1 && ends.len() > 1;
        if bytes > MAX_BYTES || (multiplied && count > MAX_PRODUCT) {
            return None;
        }
        match ends.as_slice() {
            // Nothing is copied, so that many parts are no worse than a long one.
            [end] if end.is_empty() => {}
            [end] => all.iter_mut().for_each(|start| start.push_str(end)),
            _ => {
                let pairs = all.iter().flat_map(|start| ends.iter().map(move |end| (start, end)));
                all = pairs.map(|(start, end)| format!("{start}{end}")).collect();
            }
        }
    }
    Some(all)
}

/// What all strings that differ in case only have in common.
pub(super) fn key(text: &str) -> String {
    text.chars().map(key_of).collect()
}

fn key_of(c: char) -> char {
    match c {
        c if c.is_ascii() => c.to_ascii_lowercase(),
        'ſ' => 's',
        '\u{212A}' => 'k',
        c => folded(c).ranges().first().map_or(c, |range| range.start()),
    }
}
