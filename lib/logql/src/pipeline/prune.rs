//! `drop` and `keep`.

use skald_model::Matcher;

use super::labels::{ERROR, ERROR_DETAILS, LabelSet, PRESERVE_ERROR};
use crate::ast::NameMatch;

#[derive(Debug)]
pub(super) struct Prune {
    names: Vec<String>,
    matchers: Vec<Matcher>,
    keep: bool,
}

// === impl Prune ===

impl Prune {
    pub(super) fn drop(names: &[NameMatch]) -> Self {
        Self::new(names, false)
    }

    pub(super) fn keep(names: &[NameMatch]) -> Self {
        Self::new(names, true)
    }

    fn new(list: &[NameMatch], keep: bool) -> Self {
        let mut out = Self { names: Vec::new(), matchers: Vec::new(), keep };
        for item in list {
            match item {
                NameMatch::Name(name) => out.names.push(name.clone()),
                NameMatch::Matcher(m) => out.matchers.push(m.clone()),
            }
        }
        out
    }

    fn lists(&self, name: &str, value: &str) -> bool {
        self.names.iter().any(|n| n == name)
            || self.matchers.iter().any(|m| m.name == name && m.matches(value))
    }

    pub(super) fn run(&self, labels: &mut LabelSet) {
        if self.keep {
            labels.retain(|name, value| name == PRESERVE_ERROR || self.lists(name, value));
            return;
        }
        labels.retain(|name, value| !self.lists(name, value));
        let error = labels.error().map_or("", |e| e.as_str());
        if !error.is_empty() && self.lists(ERROR, error) {
            labels.remove(ERROR);
        }
        if !labels.error_details().is_empty() {
            let details = labels.error_details().to_owned();
            if self.lists(ERROR_DETAILS, &details) {
                labels.remove(ERROR_DETAILS);
            }
        }
    }
}
