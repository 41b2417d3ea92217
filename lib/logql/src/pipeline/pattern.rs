//! Patterns of literals and `<captures>`: the `pattern` parser and the `|>` line filter.

use bytes::Bytes;
use memchr::memmem;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Literal(Bytes),
    /// `None` for `<_>`.
    Capture(Option<String>),
}

/// `pattern "<ip> - <_> [<ts>]"`.
#[derive(Clone, Debug)]
pub(crate) struct ParserPattern {
    nodes: Vec<Node>,
}

/// `|> "<_>error<_>"`.
#[derive(Clone, Debug)]
pub(crate) struct LinePattern {
    nodes: Vec<Node>,
}

fn nodes(text: &str) -> Result<Vec<Node>, String> {
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(name) = capture_name(rest) {
            if !literal.is_empty() {
                out.push(Node::Literal(std::mem::take(&mut literal).into()));
            } else if matches!(out.last(), Some(Node::Capture(_))) {
                return Err(format!("found consecutive capture '<{name}>' in pattern {text:?}"));
            }
            out.push(Node::Capture((name != "_").then(|| name.to_owned())));
            rest = &rest[name.len() + 2..];
        } else {
            literal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !literal.is_empty() {
        out.push(Node::Literal(literal.into()));
    }
    Ok(out)
}

/// The name when `text` begins with `<name>`.
fn capture_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let len = inner.find('>')?;
    let name = &inner[..len];
    let letter = |b: u8| b == b'_' || b.is_ascii_alphabetic();
    let first = letter(*name.as_bytes().first()?);
    (first && name.bytes().all(|b| letter(b) || b.is_ascii_digit())).then_some(name)
}

// === impl ParserPattern ===

impl ParserPattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let nodes = nodes(text)?;
        let mut names: Vec<&str> = Vec::new();
        for node in &nodes {
            if let Node::Capture(Some(name)) = node {
                if names.contains(&name.as_str()) {
                    return Err(format!("duplicate capture name {name} in pattern {text:?}"));
                }
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err("at least one capture is required".to_owned());
        }
        Ok(Self { nodes })
    }

    /// Calls `found` with each name and what it captured.
    ///
    /// A literal at the beginning must begin the line. A capture ends at the next literal; when
    /// that is missing the capture takes the rest and the search ends. The empty line has no captures.
    pub(crate) fn captures<'a>(&'a self, line: &'a str, mut found: impl FnMut(&'a str, &'a str)) {
        if line.is_empty() {
            return;
        }
        let mut rest = line;
        let mut open: Option<&'a Option<String>> = None;
        for node in &self.nodes {
            match node {
                Node::Capture(name) => open = Some(name),
                Node::Literal(literal) => {
                    let at = memmem::find(rest.as_bytes(), literal);
                    let Some(name) = open.take() else {
                        if at != Some(0) {
                            return;
                        }
                        rest = &rest[literal.len()..];
                        continue;
                    };
                    let Some(at) = at else {
                        if let Some(name) = name {
                            found(name, rest);
                        }
                        return;
                    };
                    if let Some(name) = name {
                        found(name, &rest[..at]);
                    }
                    rest = &rest[at + literal.len()..];
                }
            }
        }
        if let Some(Some(name)) = open {
            found(name, rest);
        }
    }
}

// === impl LinePattern ===

impl LinePattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let nodes = nodes(text)?;
        if nodes.iter().any(|n| matches!(n, Node::Capture(Some(_)))) {
            return Err("named captures are not allowed".to_owned());
        }
        Ok(Self { nodes })
    }

    pub(crate) fn literals(&self) -> impl Iterator<Item = &Bytes> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Literal(literal) => Some(literal),
            Node::Capture(_) => None,
        })
    }

    /// Literals are searched from left to right; each `<_>` covers at least one byte. The first
    /// literal may stand anywhere, the last must end the line.
    pub(crate) fn matches(&self, line: &[u8]) -> bool {
        if line.is_empty() || self.nodes.is_empty() {
            return line.is_empty() && self.nodes.is_empty();
        }
        let mut rest = line;
        for (i, node) in self.nodes.iter().enumerate() {
            let Node::Literal(literal) = node else { continue };
            match memmem::find(rest, literal) {
                None => return false,
                Some(0) if i > 0 => return false,
                Some(at) => rest = &rest[at + literal.len()..],
            }
        }
        let open = matches!(self.nodes.last(), Some(Node::Capture(_)));
        open != rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_line_has_no_captures() {
        assert!(captures("<all>", "").is_empty());
        assert_eq!(
            captures("<a> <b>", " "),
            [("a".into(), String::new()), ("b".into(), String::new())]
        );
    }

    fn captures(pattern: &str, line: &str) -> Vec<(String, String)> {
        let pattern = ParserPattern::new(pattern).unwrap();
        let mut out = Vec::new();
        pattern.captures(line, |n, v| out.push((n.to_owned(), v.to_owned())));
        out
    }

    #[test]
    fn a_capture_takes_the_rest_when_its_literal_is_missing() {
        let found = captures("<ip> - <_> [<ts>] \"<m>", "1.2.3.4 - bob [10/Oct]");
        assert_eq!(found, [("ip".into(), "1.2.3.4".into()), ("ts".into(), "10/Oct]".into())]);
        assert_eq!(captures("<a>: <b>", "100% done"), [("a".into(), "100% done".into())]);
    }

    #[test]
    fn a_leading_literal_is_anchored_for_the_parser_only() {
        assert!(captures("x=<a>", "yx=1").is_empty());
        assert_eq!(captures("x=<a> ", "x= y"), [("a".into(), String::new())]);
        assert!(LinePattern::new("GET <_> 200").unwrap().matches(b"xGET /a 200"));
    }

    #[test]
    fn line_patterns_want_every_placeholder_filled() {
        let pattern = LinePattern::new("GET <_> 200").unwrap();
        assert!(!pattern.matches(b"GET  200"));
        assert!(!pattern.matches(b"GET /a 200 "));
        assert!(!LinePattern::new("<_>a<_>").unwrap().matches(b"xa"));
        assert!(LinePattern::new("").unwrap().matches(b""));
        assert!(!LinePattern::new("").unwrap().matches(b"x"));
        assert!(!LinePattern::new("<_>").unwrap().matches(b""));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["no captures", "<a><b>", "<_>", "<a> <a>", ""] {
            assert!(ParserPattern::new(bad).is_err(), "{bad}");
        }
        assert!(LinePattern::new("<a> x").is_err());
        assert!(LinePattern::new("<_><_>").is_err());
    }
}
