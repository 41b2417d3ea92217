//! Explanations that are checked by asking: of another query, or in another way.

use skald_testkit::http::Reply;

use crate::compare::{Difference, compare, is_tie};
use crate::explained::{BROKEN_FIELDS, EQUAL_LINES, INTERVAL, TIES, explanation};
use crate::rewrite::{rewrites, without_broken};
use crate::run::{How, Pair};
use crate::shrink::parts;

/// More lines than there are, and not more than Skald lets ask for.
const ALL: usize = 5000;

// === impl Pair ===

impl Pair {
    /// The heading in the document under which the difference stands, if it does.
    pub(crate) async fn explain(
        &self,
        query: &str,
        how: How,
        (theirs, ours): (&Reply, &Reply),
        why: &Difference,
    ) -> Option<&'static str> {
        if is_tie(query, theirs, ours) {
            return Some(TIES);
        }
        if let Some(heading) = explanation(query, why) {
            return Some(heading);
        }
        for (heading, text) in rewrites(query) {
            let (_, ours) = self.ask(&text, how).await;
            if compare(how.asked(query), theirs, &ours).is_ok() {
                return Some(heading);
            }
        }
        if let Some(heading) = self.explain_lines(query, how).await {
            return Some(heading);
        }
        if let Some(text) = without_broken(query) {
            let (theirs, ours) = self.ask(&text, how).await;
            if compare(how.asked(&text), &theirs, &ours).is_ok() {
                return Some(BROKEN_FIELDS);
            }
        }
        self.explain_parts(query, how).await
    }

    /// Which of the lines at one time are shown, where `interval` or equal lines leave a choice.
    async fn explain_lines(&self, query: &str, how: How) -> Option<&'static str> {
        let all = How { limit: ALL, interval: 0, ..how };
        let (theirs, ours) = self.ask(query, all).await;
        let differ = |merged| {
            let asked = crate::compare::Asked { merged, ..all.asked(query) };
            compare(asked, &theirs, &ours).is_err()
        };
        let is_log =
            theirs.status.is_success() && theirs.text().contains(r#""resultType":"streams""#);
        match (is_log && !differ(true), differ(false)) {
            (true, _) if how.interval > 0 => Some(INTERVAL),
            (true, true) => Some(EQUAL_LINES),
            _ => None,
        }
    }

    /// Whether what a query is made of differs already, and is explained.
    async fn explain_parts(&self, query: &str, how: How) -> Option<&'static str> {
        for part in parts(query) {
            let (theirs, ours) = self.ask(&part, how).await;
            let Err(why) = compare(how.asked(&part), &theirs, &ours) else { continue };
            let found = Box::pin(self.explain(&part, how, (&theirs, &ours), &why)).await;
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
