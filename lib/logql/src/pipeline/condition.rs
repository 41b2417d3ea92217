//! Label filters, compiled and run.

use skald_model::{MatchOp, Matcher};

use super::ip::IpMatcher;
use super::labels::{LabelSet, LineError};
use crate::ast::{CompareOp, LabelFilter};
use crate::units;

/// A compiled label filter.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    String(Matcher),
    Number(String, CompareOp, f64),
    Duration(String, CompareOp, i64),
    Bytes(String, CompareOp, u64),
    Ip(String, bool, IpMatcher),
}

// === impl Condition ===

impl Condition {
    pub(crate) fn new(filter: &LabelFilter) -> Result<Self, String> {
        let parts =
            |parts: &[LabelFilter]| parts.iter().map(Self::new).collect::<Result<Vec<_>, _>>();
        Ok(match filter {
            LabelFilter::And(inner) => Self::All(parts(inner)?),
            LabelFilter::Or(inner) => Self::Any(parts(inner)?),
            // What dashboards make of a variable that is empty: it is no condition.
            LabelFilter::String(m) if m.value.is_empty() => match m.op {
                MatchOp::Regex => Self::All(Vec::new()),
                MatchOp::NotRegex => Self::Any(Vec::new()),
                _ => Self::String(m.clone()),
            },
            LabelFilter::String(m) => Self::String(m.clone()),
            LabelFilter::Number { name, op, value } => Self::Number(name.clone(), *op, *value),
            LabelFilter::Duration { name, op, value } => Self::Duration(name.clone(), *op, *value),
            LabelFilter::Bytes { name, op, value } => Self::Bytes(name.clone(), *op, *value),
            LabelFilter::Ip { name, negated, pattern } => {
                let ip = IpMatcher::new(pattern).map_err(|e| e.to_string())?;
                Self::Ip(name.clone(), *negated, ip)
            }
        })
    }

    /// Whether the line stays. A value that cannot be read marks the line as broken and keeps it.
    pub(crate) fn holds(&self, labels: &mut LabelSet) -> bool {
        match self {
            Self::All(parts) => {
                let mut all = true;
                // All parts run, for the error they may leave.
                for part in parts {
                    all &= part.holds(labels);
                }
                all
            }
            Self::Any(parts) => parts.iter().any(|part| part.holds(labels)),
            Self::String(m) => m.matches(labels.filter_value(&m.name)),
            Self::Number(name, op, want) => compare(labels, name, *op, want, |text| {
                units::go_float(text).ok_or("parsing as a number")
            }),
            Self::Duration(name, op, want) => compare(labels, name, *op, want, |text| {
                units::go_duration(text).ok_or("parsing as a duration")
            }),
            Self::Bytes(name, op, want) => compare(labels, name, *op, want, |text| {
                units::humanize_bytes(text).ok_or("parsing as bytes")
            }),
            Self::Ip(name, negated, ip) => {
                if labels.error().is_some() {
                    return true;
                }
                labels.get(name).is_some_and(|text| ip.found_in(text.as_bytes()) != *negated)
            }
        }
    }

    /// Calls `name` with each label the condition looks at.
    pub(crate) fn names<'a>(&'a self, name: &mut impl FnMut(&'a str)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|p| p.names(name)),
            Self::String(m) => name(&m.name),
            Self::Number(n, ..) | Self::Duration(n, ..) | Self::Bytes(n, ..) | Self::Ip(n, ..) => {
                name(n);
            }
        }
    }
}

fn compare<T: PartialOrd>(
    labels: &mut LabelSet,
    name: &str,
    op: CompareOp,
    want: &T,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> bool {
    let Some(text) = labels.get(name) else { return false };
    match read(text) {
        Ok(value) => op.holds(&value, want),
        Err(_) if labels.error().is_some() => true,
        Err(what) => {
            let details = format!("{what}: {text:?}: invalid syntax");
            labels.set_error(LineError::LabelFilter, &details);
            true
        }
    }
}
