//! Remarks on a result that is right but may surprise, with the place in the query they are about.
//!
//! Texts, places and details are those of Prometheus 3 (`util/annotations`).

use std::collections::BTreeMap;

use crate::function::{format_g, format_g2, rfc3339};

/// Most distinct annotations of one kind that are kept.
const MAX_ANNOTATIONS: usize = 1000;

/// Warnings and infos, each text once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// What the remarks from now on are about: a byte of the query. `None` where queries are not
    /// quoted.
    pub place: Option<u32>,
    warnings: BTreeMap<String, Note>,
    infos: BTreeMap<String, Note>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Note {
    place: Option<u32>,
    detail: Option<Detail>,
}

/// What is said behind a text, gathered over all its occasions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Detail {
    /// Counts of classic buckets that went down.
    Monotonicity {
        /// Of the first and the last step, in milliseconds.
        times: (i64, i64),
        /// Lowest and highest upper bound of the buckets.
        bounds: (f64, f64),
        /// The largest step down.
        max_diff: f64,
        occasions: u64,
    },
    /// How often it happened; said from two on.
    Occurrences(u64),
}

impl Annotations {
    /// Adds `PromQL warning: <text>` once; of several places the last counts.
    pub fn warn(&mut self, text: &str) {
        add(&mut self.warnings, text, Note { place: self.place, detail: None });
    }

    /// Adds `PromQL info: <text>` once; of several places the last counts.
    pub fn info(&mut self, text: &str) {
        add(&mut self.infos, text, Note { place: self.place, detail: None });
    }

    /// As [`warn`](Self::warn), with details; of several places the first counts.
    pub fn warn_in_detail(&mut self, text: &str, detail: Detail) {
        add(&mut self.warnings, text, Note { place: self.place, detail: Some(detail) });
    }

    /// As [`info`](Self::info), with details; of several places the first counts.
    pub fn info_in_detail(&mut self, text: &str, detail: Detail) {
        add(&mut self.infos, text, Note { place: self.place, detail: Some(detail) });
    }

    /// Adds what `other` has, as if it had been said here, after what was.
    pub fn append(&mut self, other: &Self) {
        other.warnings.iter().for_each(|(text, note)| add(&mut self.warnings, text, *note));
        other.infos.iter().for_each(|(text, note)| add(&mut self.infos, text, *note));
    }

    /// Whether nothing was remarked.
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    /// Whether no text that both have names different places, and there is room for all: then
    /// [`append`](Self::append) says the same in either order.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let agree = |ours: &BTreeMap<String, Note>, theirs: &BTreeMap<String, Note>| {
            let same = |(text, note): (&String, &Note)| {
                theirs.get(text).is_none_or(|other| other.place == note.place)
            };
            ours.len() + theirs.len() < MAX_ANNOTATIONS && ours.iter().all(same)
        };
        agree(&self.warnings, &other.warnings) && agree(&self.infos, &other.infos)
    }

    /// The whole texts of the warnings, sorted, with their places in `query`.
    pub fn warnings(&self, query: &str) -> Vec<String> {
        texts(&self.warnings, "PromQL warning: ", query)
    }

    /// The whole texts of the infos, sorted, with their places in `query`.
    pub fn infos(&self, query: &str) -> Vec<String> {
        texts(&self.infos, "PromQL info: ", query)
    }
}

fn add(notes: &mut BTreeMap<String, Note>, text: &str, note: Note) {
    let room = notes.len() < MAX_ANNOTATIONS;
    match notes.get_mut(text) {
        Some(before) => match (&mut before.detail, note.detail) {
            (Some(detail), Some(more)) => detail.merge(more),
            _ => *before = note,
        },
        None if room => drop(notes.insert(text.to_owned(), note)),
        None => {}
    }
}

fn texts(notes: &BTreeMap<String, Note>, prefix: &str, query: &str) -> Vec<String> {
    let text = |(text, note): (&String, &Note)| {
        let detail = note.detail.map_or(String::new(), Detail::text);
        let place = note.place.map_or(String::new(), |at| format!(" ({})", place(query, at)));
        format!("{prefix}{text}{detail}{place}")
    };
    notes.iter().map(text).collect()
}

/// `line:column` of a byte, both from 1.
fn place(query: &str, at: u32) -> String {
    let Some(before) = usize::try_from(at).ok().and_then(|at| query.get(..at)) else {
        return "invalid position".to_owned();
    };
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    format!("{line}:{column}")
}

// === impl Detail ===

impl Detail {
    /// Counts that went down at one step, in buckets with upper bounds between `bounds`.
    pub fn monotonicity(time_ms: i64, bounds: (f64, f64), max_diff: f64) -> Self {
        Self::Monotonicity { times: (time_ms, time_ms), bounds, max_diff, occasions: 1 }
    }

    fn merge(&mut self, more: Self) {
        match (self, more) {
            (
                Self::Monotonicity { times, bounds, max_diff, occasions },
                Self::Monotonicity { times: t, bounds: b, max_diff: d, occasions: n },
            ) => {
                *times = (times.0.min(t.0), times.1.max(t.1));
                *bounds = (bounds.0.min(b.0), bounds.1.max(b.1));
                *max_diff = max_diff.max(d);
                *occasions = occasions.saturating_add(n);
            }
            (Self::Occurrences(n), Self::Occurrences(more)) => *n = n.saturating_add(more),
            _ => {}
        }
    }

    fn text(self) -> String {
        match self {
            Self::Monotonicity { times, bounds, max_diff, occasions } => format!(
                ", from buckets {} to {}, with a max diff of {}, over {occasions} samples from {} to {}",
                format_g(bounds.0),
                format_g(bounds.1),
                format_g2(max_diff),
                rfc3339(times.0.div_euclid(1000)),
                rfc3339(times.1.div_euclid(1000)),
            ),
            Self::Occurrences(1) => String::new(),
            Self::Occurrences(n) => format!(" ({n} occurrences)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_said_once_with_its_last_place() {
        let mut notes = Annotations::default();
        for place in [None, Some(3), Some(7)] {
            notes.place = place;
            notes.warn("odd");
            notes.info("curious");
        }
        notes.place = None;
        notes.info("without a place");
        assert_eq!(notes.warnings("ab\ncdefgh"), ["PromQL warning: odd (2:5)"]);
        let infos = ["PromQL info: curious (2:5)", "PromQL info: without a place"];
        assert_eq!(notes.infos("ab\ncdefgh"), infos);
        assert_eq!(notes.warnings("ab"), ["PromQL warning: odd (invalid position)"]);
    }

    #[test]
    fn details_are_gathered_at_the_first_place() {
        let mut notes = Annotations { place: Some(0), ..Annotations::default() };
        notes.info_in_detail("fixed", Detail::monotonicity(1_000, (0.5, 0.5), 0.000_123));
        notes.warn_in_detail("overlap", Detail::Occurrences(1));
        assert_eq!(notes.warnings("up"), ["PromQL warning: overlap (1:1)"]);
        let mut more = Annotations { place: Some(1), ..Annotations::default() };
        more.info_in_detail("fixed", Detail::monotonicity(61_999, (0.1, f64::INFINITY), 125.0));
        more.warn_in_detail("overlap", Detail::Occurrences(2));
        notes.append(&more);
        assert_eq!(notes.warnings("up"), ["PromQL warning: overlap (3 occurrences) (1:1)"]);
        let want = "PromQL info: fixed, from buckets 0.1 to +Inf, with a max diff of 1.2e+02, \
                    over 2 samples from 1970-01-01T00:00:01Z to 1970-01-01T00:01:01Z (1:1)";
        assert_eq!(notes.infos("up"), [want]);
    }

    #[test]
    fn the_number_of_texts_is_bounded() {
        let mut notes = Annotations::default();
        (0..2 * MAX_ANNOTATIONS).for_each(|i| notes.warn(&i.to_string()));
        assert_eq!(notes.warnings("").len(), MAX_ANNOTATIONS);
    }
}
