//! Explanations that are checked by asking: of another query, or in another way.

use skald_logql::ast::{BinaryOp, Expr, MetricExpr};
use skald_testkit::http::Reply;

use crate::compare::{Difference, Kind, compare, is_exact, is_tie};
use crate::explained::{BROKEN_FIELDS, EQUAL_LINES, INTERVAL, KINDS, ROUNDING, TIES, explanation};
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
        if self.is_rounding(query, how).await {
            return Some(ROUNDING);
        }
        if self.shows_other_kinds(query, how, why).await {
            return Some(KINDS);
        }
        self.explain_parts(query, how).await
    }

    /// Whether a remainder or a comparison is of numbers that are equal up to rounding only.
    async fn is_rounding(&self, query: &str, how: How) -> bool {
        let Ok(Expr::Metric(MetricExpr::Binary(binary))) = skald_logql::parse(query) else {
            return false;
        };
        use BinaryOp::{Equal, Greater, GreaterEqual, Less, LessEqual, Mod, NotEqual};
        if !matches!(binary.op, Mod | Equal | NotEqual | Greater | GreaterEqual | Less | LessEqual)
        {
            return false;
        }
        let mut inexact = false;
        for part in parts(query) {
            let (theirs, ours) = self.ask(&part, how).await;
            if compare(how.asked(&part), &theirs, &ours).is_err() {
                return false;
            }
            inexact |= !is_exact(&theirs, &ours);
        }
        inexact
    }

    /// Whether both show the same kinds of labels of the line in question when it is asked for alone.
    async fn shows_other_kinds(&self, query: &str, how: How, why: &Difference) -> bool {
        let time = why.theirs.split_once("[(").and_then(|(_, rest)| rest.split_once(','));
        let Some(start) = time.and_then(|(time, _)| time.parse::<i64>().ok()) else { return false };
        if why.kind != Kind::Lines || !how.categorize {
            return false;
        }
        let plain = How { categorize: false, ..how };
        let alone = How { start, end: start + 1, limit: ALL, ..how };
        for how in [plain, alone] {
            let (theirs, ours) = self.ask(query, how).await;
            if compare(how.asked(query), &theirs, &ours).is_err() {
                return false;
            }
        }
        true
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
