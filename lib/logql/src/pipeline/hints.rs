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
    Only(Names),
}

/// The labels that are of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    names: Vec<String>,
    /// The fields they may come from: each name without `_extracted`.
    fields: Vec<String>,
    /// Whether parsers go on to the end of the line, where it may be broken.
    to_the_end: bool,
}

// === impl Names ===

impl Names {
    pub(crate) fn new(mut names: Vec<String>, to_the_end: bool) -> Self {
        names.sort_unstable();
        names.dedup();
        let field = |n: &String| n.strip_suffix("_extracted").unwrap_or(n).to_owned();
        let mut fields: Vec<String> = names.iter().map(field).chain(names.clone()).collect();
        fields.sort_unstable();
        fields.dedup();
        Self { names, fields, to_the_end }
    }
}

// === impl Hints ===

impl Hints {
    /// No other labels than these are of use.
    pub(crate) fn only(names: Vec<String>) -> Self {
        Self::Only(Names::new(names, false))
    }

    /// The fields that labels of use may come from; `None` when that can be any.
    pub(crate) fn fields(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::Only(only) => Some(&only.fields),
        }
    }

    /// No field is needed: parsers need not run.
    pub(crate) fn skips_parsing(&self) -> bool {
        matches!(self, Self::Only(only) if only.names.is_empty())
    }

    /// Whether a label of this final name is of use.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only.names.iter().any(|n| n == name),
        }
    }

    /// Whether `key`, renamed or not, may be of use.
    pub(crate) fn may_want(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only.fields.iter().any(|n| n == key),
        }
    }

    /// Whether a label that begins with `prefix` may be of use.
    pub(crate) fn may_want_prefix(&self, prefix: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only.to_the_end || only.names.iter().any(|n| n.starts_with(prefix)),
        }
    }

    /// Whether nothing more needs to be parsed.
    pub(crate) fn satisfied(&self, labels: &LabelSet) -> bool {
        match self {
            Self::All => false,
            Self::Only(only) => !only.to_the_end && only.names.iter().all(|n| labels.has_parsed(n)),
        }
    }
}
