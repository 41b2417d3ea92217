//! Names and values of labels over the rows that matchers accept, each once, sorted.
//!
//! Most of them stand in the first rows already, so rows are looked for step by step until there is
//! nothing new to be found.

use skald_model::{Matcher, TimeRange};

use super::Index;
use super::column::RestColumn;
use super::dictionary::Dictionary;
use super::matching::{Search, accepted};

/// Rows of the first step; each further one looks at twice as many.
const FIRST_STEP: usize = 64;

/// What of the labels is listed.
#[derive(Clone, Debug)]
pub(in crate::metric) enum Of {
    Names,
    /// Of this label, which must have been loaded.
    Values(String),
}

/// Which codes were met.
struct Seen {
    codes: Vec<bool>,
    /// Codes that may still be met.
    left: usize,
}

// === impl Index ===

impl Index {
    /// What the rows have that all matchers accept and whose times meet `range`.
    pub(in crate::metric) fn list(
        &self,
        of: &Of,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Vec<String> {
        let mut search = self.search(matchers, range);
        match of {
            Of::Names => self.names(&mut search),
            Of::Values(name) => self.values(name, matchers, &mut search),
        }
    }

    fn names(&self, search: &mut Search<'_>) -> Vec<String> {
        let hot: Vec<_> = self.labels.iter().filter(|l| l.values.len() > 0).collect();
        let mut seen = Seen::all(hot.len());
        let none = RestColumn::default();
        let rest = self.rest.as_deref().unwrap_or(&none);
        let mut others = Seen::all(rest.names.len());
        each_step(search, |rows| {
            for (label, code) in hot.iter().zip(1..) {
                if seen.lacks(code) && rows.iter().any(|row| label.codes.get(*row as usize) != 0) {
                    seen.add(code);
                }
            }
            if others.left > 0 {
                let names = rows.iter().flat_map(|row| rest.pairs(*row as usize));
                names.for_each(|(name, _)| others.add(*name));
            }
            seen.left + others.left > 0
        });
        let hot = hot.iter().zip(1..).filter(|(_, code)| !seen.lacks(*code));
        let mut names: Vec<String> = hot.map(|(label, _)| label.name.to_string()).collect();
        names.extend(others.of(&rest.names));
        names.sort_unstable();
        names
    }

    fn values(&self, name: &str, matchers: &[Matcher], search: &mut Search<'_>) -> Vec<String> {
        let about = || matchers.iter().filter(|m| m.name == name);
        if let Some(label) = self.label(name) {
            let mut seen = Seen::accepted(about(), &label.values);
            each_step(search, |rows| {
                rows.iter().for_each(|row| seen.add(label.codes.get(*row as usize)));
                seen.left > 0
            });
            return seen.of(&label.values).collect();
        }
        let Some(rest) = &self.rest else { return Vec::new() };
        let Some(name) = rest.names.code(name) else { return Vec::new() };
        // Which of the values are those of this label is not known before.
        let mut seen = Seen::all(rest.values.len());
        each_step(search, |rows| {
            rows.iter().for_each(|row| seen.add(rest.get(*row as usize, name)));
            seen.left > 0
        });
        seen.of(&rest.values).collect()
    }
}

/// Gives rows to `look` until it answers that it wants no more.
fn each_step(search: &mut Search<'_>, mut look: impl FnMut(&[u32]) -> bool) {
    let mut step = FIRST_STEP;
    while let Some(rows) = search.next(step) {
        if !look(&rows) {
            return;
        }
        step = step.saturating_mul(2);
    }
}

// === impl Seen ===

impl Seen {
    /// Any of `n` codes may be met.
    fn all(n: usize) -> Self {
        Self { codes: vec![false; n + 1], left: n }
    }

    /// Values may be met that all matchers of the label accept.
    fn accepted<'m>(matchers: impl Iterator<Item = &'m Matcher>, values: &Dictionary) -> Self {
        let mut may = vec![true; values.len() + 1];
        for matcher in matchers {
            may.iter_mut().zip(accepted(matcher, values)).for_each(|(may, yes)| *may &= yes);
        }
        let left = may.iter().skip(1).filter(|may| **may).count();
        Self { left, ..Self::all(values.len()) }
    }

    fn lacks(&self, code: u32) -> bool {
        self.codes.get(code as usize) == Some(&false)
    }

    /// Notes a code; 0 stands for nothing.
    fn add(&mut self, code: u32) {
        if code != 0
            && let Some(seen) = self.codes.get_mut(code as usize)
            && !std::mem::replace(seen, true)
        {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// What was met, in order.
    fn of(self, dictionary: &Dictionary) -> impl Iterator<Item = String> {
        let seen = dictionary.codes().zip(self.codes.into_iter().skip(1)).filter(|(_, seen)| *seen);
        seen.map(|(code, _)| dictionary.value(code).to_owned())
    }
}
