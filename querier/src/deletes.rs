//! Requests to delete lines, applied to what is read: from the moment such a request is committed no
//! log query, metric query, volume or tail shows what it names, whatever blocks and heads still have.
//!
//! Labels may show for longer that there were streams.

pub(crate) mod count;
pub(crate) mod requests;
pub(crate) mod series;

use std::sync::Arc;

use skald_catalog::{Signal, View, deleted_times};
use skald_logql::{SelectEntries, Selection, Work};
use skald_model::{MatchOp, Matcher, StreamEntries, TimeRange};

use crate::Error;

/// What must not be shown of a range of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletes(Arc<[Deleted]>);

#[derive(Debug)]
struct Deleted {
    selection: Selection,
    range: TimeRange,
}

// === impl Deletes ===

impl Deletes {
    /// The requests of `view` that concern streams of `matchers` in `range`.
    ///
    /// A request that cannot be read is an error: showing what somebody deleted is worse.
    pub(crate) fn of(view: &View, range: TimeRange, matchers: &[Matcher]) -> Result<Self, Error> {
        let mut found = Vec::new();
        for request in view.open_deletes(Signal::Logs) {
            let times = deleted_times(request);
            if !range.overlaps(times.start, request.end_ns) {
                continue;
            }
            let selection = Selection::parse(&request.query).map_err(|e| {
                Error::Internal(format!("delete request {:?} cannot be read: {e}", request.id))
            })?;
            if may_meet(selection.matchers(), matchers) {
                found.push(Deleted { selection, range: times });
            }
        }
        Ok(Self(found.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must be asked for so that `req` is answered when deleted entries are taken out.
    pub(crate) fn widen(&self, req: &SelectEntries) -> SelectEntries {
        let look_at_lines = self.0.iter().any(|d| d.selection.looks_at_lines());
        // Some of the lines next to the limit may be hidden, and then others are wanted.
        let needs_line = req.needs_line || look_at_lines;
        let needles_decide = req.needles_decide && !look_at_lines;
        let all = SelectEntries { limit_hint: None, metadata: None, fields: None, ..req.clone() };
        SelectEntries { needs_line, needles_decide, ..all }
    }

    /// Takes deleted entries out.
    pub(crate) fn apply(&self, streams: &mut Vec<StreamEntries>) {
        let mut work = Work::default();
        for stream in streams.iter_mut() {
            let StreamEntries { labels, entries } = stream;
            for deleted in self.0.iter().filter(|d| d.selection.selects_stream(labels)) {
                entries.retain(|e| {
                    !deleted.range.contains(e.timestamp_ns)
                        || !deleted.selection.selects(&mut work, labels, e)
                });
            }
        }
        streams.retain(|s| !s.entries.is_empty());
    }
}

/// Whether a stream may match both; `false` only if that is impossible.
fn may_meet(one: &[Matcher], other: &[Matcher]) -> bool {
    let fits = |value: &Matcher, all: &[Matcher]| {
        all.iter().filter(|m| m.name == value.name).all(|m| m.matches(&value.value))
    };
    let equal = |m: &&Matcher| m.op == MatchOp::Equal;
    one.iter().filter(equal).all(|m| fits(m, other))
        && other.iter().filter(equal).all(|m| fits(m, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_that_exclude_each_other_are_told() {
        let meet = |a: &str, b: &str| {
            let parse = |s| skald_logql::parse_selector(s).unwrap();
            may_meet(&parse(a), &parse(b))
        };
        assert!(meet(r#"{a="x"}"#, r#"{a="x", b="y"}"#));
        assert!(meet(r#"{a="x"}"#, r#"{b="y"}"#));
        assert!(meet(r#"{a=~"x|z"}"#, r#"{a="z"}"#));
        assert!(!meet(r#"{a="x"}"#, r#"{a="y"}"#));
        assert!(!meet(r#"{a!="x"}"#, r#"{a="x"}"#));
    }
}
