//! Label matchers: the `=`, `!=`, `=~`, `!~` of both query languages.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::Labels;
use crate::regex::{Pattern, RegexError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// A compiled matcher, cheap to clone. A missing label has the value `""`.
#[derive(Clone)]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    /// `None` where the value is compared as it is.
    pattern: Option<Arc<Pattern>>,
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
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(value)?)),
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// The same pattern on another label, or the other way round.
    ///
    /// Only for two operators of regular expressions.
    pub fn with(&self, op: MatchOp, name: &str) -> Self {
        debug_assert!(self.pattern.is_some());
        Self { name: name.to_owned(), op, ..self.clone() }
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), pattern: None }
    }

    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.pattern {
            None => value == self.value,
            Some(pattern) => pattern.is_match(value),
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
        match (&self.pattern, self.op) {
            (None, MatchOp::Equal) => Some(vec![&self.value]),
            (Some(pattern), MatchOp::Regex) => pattern.literals(),
            _ => None,
        }
    }

    /// Bytes that the compiled pattern takes, about. Clones share them.
    pub fn cost(&self) -> usize {
        self.pattern.as_ref().map_or(0, |pattern| pattern.cost())
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

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.op, &self.name, &self.value).hash(state);
    }
}

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
