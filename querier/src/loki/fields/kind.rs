//! What the values of a field look like.

use skald_logql::units;

/// The narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

// === impl Kind ===

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    pub(super) fn of(value: &str) -> Self {
        if value.parse::<i64>().is_ok() {
            Self::Int
        } else if value.parse::<f64>().is_ok() {
            Self::Float
        } else if matches!(value, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
            Self::Boolean
        } else if units::go_duration(value).is_some() {
            Self::Duration
        } else if units::humanize_bytes(value).is_some() {
            Self::Bytes
        } else {
            Self::String
        }
    }

    /// The kind that covers both.
    pub(super) fn with(self, other: Self) -> Self {
        match (self.min(other), self.max(other)) {
            (a, b) if a == b => a,
            (Self::Int, Self::Float) => Self::Float,
            _ => Self::String,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_widen_until_they_cover_all_values() {
        let kind = |values: &[&str]| {
            let kinds = values.iter().map(|v| Kind::of(v));
            kinds.reduce(Kind::with).unwrap().as_str()
        };
        assert_eq!(kind(&["1", "-2"]), "int");
        assert_eq!(kind(&["1", "2.5"]), "float");
        assert_eq!(kind(&["true", "FALSE"]), "boolean");
        assert_eq!(kind(&["3ms", "1.5s"]), "duration");
        assert_eq!(kind(&["3KiB", "5 MB"]), "bytes");
        assert_eq!(kind(&["3ms", "4"]), "string");
        assert_eq!(kind(&["x", "4"]), "string");
    }
}
