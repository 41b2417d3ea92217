//! Label matchers: the `=`, `!=`, `=~`, `!~` of both query languages.

use std::fmt;

use regex::Regex;

use crate::Labels;
use crate::regex::{RegexError, anchored, literal_set};

const MAX_LITERALS: usize = 50_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

#[derive(Clone, Debug)]
enum Test {
    Literal,
    Set(std::collections::HashSet<String>),
    Any,
    NotEmpty,
    Regex(Regex),
}

/// A compiled matcher. A missing label has the value `""`.
#[derive(Clone)]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    test: Test,
}

// === impl MatchOp ===

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

// === impl Matcher ===

impl Matcher {
    /// Compiles a matcher; fails only on an invalid or oversized regular expression.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, RegexError> {
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex => match value {
                ".*" => Test::Any,
                ".+" => Test::NotEmpty,
                _ => match literal_set(value, MAX_LITERALS) {
                    Some(set) => Test::Set(set.into_iter().collect()),
                    None => Test::Regex(anchored(value)?),
                },
            },
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), test })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
            test: Test::Literal,
        }
    }

    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.test {
            Test::Literal => value == self.value,
            Test::Set(set) => set.contains(value),
            Test::Any => true,
            Test::NotEmpty => !value.is_empty(),
            Test::Regex(re) => re.is_match(value),
        };
        hit != self.op.is_negative()
    }

    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether a label set without this label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// All values that can pass, when they are few and known: `=`, or `=~` of plain literals.
    pub fn literals(&self) -> Option<Vec<&str>> {
        match (&self.test, self.op) {
            (Test::Literal, MatchOp::Equal) => Some(vec![&self.value]),
            (Test::Set(set), MatchOp::Regex) => Some(set.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// Whether every matcher accepts `labels`.
    pub fn all(matchers: &[Self], labels: &Labels) -> bool {
        matchers.iter().all(|m| m.matches_labels(labels))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_means_what_it_says() {
        let m = |op, v| Matcher::new(op, "a", v).unwrap();
        assert!(m(MatchOp::Equal, "x").matches("x"));
        assert!(m(MatchOp::NotEqual, "x").matches("y"));
        assert!(m(MatchOp::Regex, "x|y").matches("y"));
        assert!(!m(MatchOp::Regex, "x|y").matches("xy"));
        assert!(m(MatchOp::NotRegex, "x.*").matches("y"));
        assert!(m(MatchOp::Regex, ".*").matches_empty());
        assert!(!m(MatchOp::Regex, ".+").matches_empty());
        assert!(m(MatchOp::NotRegex, ".+").matches_empty());
    }
}
