//! Which parsed labels a query can see. Parsers extract no others, and stop early when they can.
//!
//! More than speed: a line that is broken behind the last field a `sum by (a)` needs is not an
//! error there, and one that needs no field at all is never parsed.

use super::labels::LabelSet;

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hints {
    #[default]
    All,
    Only(Vec<String>),
}

// === impl Hints ===

impl Hints {
    /// No field is needed: parsers need not run.
    pub(crate) fn skips_parsing(&self) -> bool {
        matches!(self, Self::Only(names) if names.is_empty())
    }

    /// Whether a label of this final name is of use.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| n == name),
        }
    }

    /// Whether `key`, renamed or not, may be of use.
    pub(crate) fn may_want(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => {
                names.iter().any(|n| n.strip_suffix("_extracted").unwrap_or(n) == key || n == key)
            }
        }
    }

    /// Whether a label that begins with `prefix` may be of use.
    pub(crate) fn may_want_prefix(&self, prefix: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| n.starts_with(prefix)),
        }
    }

    /// Whether nothing more needs to be parsed.
    pub(crate) fn satisfied(&self, labels: &LabelSet) -> bool {
        match self {
            Self::All => false,
            Self::Only(names) => names.iter().all(|n| labels.has_parsed(n)),
        }
    }
}
