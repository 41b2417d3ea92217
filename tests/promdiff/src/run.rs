//! Asks both servers, and makes what they disagree about smaller.

use std::collections::BTreeMap;

use skald_promql::syntax::ast::Expr;
use skald_promql::syntax::parse;
use skald_testkit::Client;
use skald_testkit::http::Reply;
use skald_testkit::rng::Rng;
use skald_testkit::shrink::shrink;

use crate::compare::{Difference, Kind, compare, is_tie};
use crate::dataset::{END_S, START_S};
use crate::expr::expression;

/// How often both must differ before we believe it: the order of hash maps shows in some answers.
const REPEATS: usize = 6;

/// Both servers, loaded with the same data.
#[derive(Clone, Debug)]
pub struct Pair {
    pub prometheus: Client,
    pub skald: Client,
}

/// When to evaluate, in seconds.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub asked: u64,
    /// Answers of Prometheus that were errors.
    pub errors: u64,
    /// Answers without any series.
    pub empty: u64,
    /// Explained: another choice among equal series.
    pub ties: u64,
    /// Explained: Prometheus answers one query in several ways.
    pub unrepeatable: u64,
    pub differences: BTreeMap<Kind, u64>,
}

impl When {
    fn random(rng: &mut Rng, range: bool) -> Self {
        let end = rng.between(START_S + 600, END_S + 400);
        if !range {
            return Self::Instant(end);
        }
        let step = rng.pick(&[15, 30, 60, 77, 300]);
        Self::Range { start: end - step * rng.between(0, 40), end, step }
    }
}

impl Pair {
    async fn ask(&self, query: &str, when: When) -> (Reply, Reply) {
        let (path, params) = match when {
            When::Instant(t) => ("/api/v1/query", vec![("time", t.to_string())]),
            When::Range { start, end, step } => (
                "/api/v1/query_range",
                vec![
                    ("start", start.to_string()),
                    ("end", end.to_string()),
                    ("step", step.to_string()),
                ],
            ),
        };
        let mut form: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).collect();
        form.push(("query", query));
        tokio::join!(self.prometheus.post_form(path, &form), self.skald.post_form(path, &form))
    }

    async fn differ(&self, query: &str, when: When) -> Option<Difference> {
        let (theirs, ours) = self.ask(query, when).await;
        compare(query, &theirs, &ours).err()
    }

    /// The smallest part of `query` over which both still differ; none when they do not always.
    async fn shrink(&self, query: &str, when: When) -> Option<(String, Difference)> {
        let differ = async |query: &str| self.differ(query, when).await;
        shrink(query, REPEATS, differ, parts, |_, _| true).await
    }

    /// Asks for expressions `first..first + count` of `seed`, at one time and over a range each.
    /// `found` is told each difference.
    pub async fn run(
        &self,
        seed: u64,
        first: u64,
        count: u64,
        mut found: impl FnMut(&str),
    ) -> Report {
        let mut report = Report::default();
        for n in first..first.saturating_add(count) {
            let query = expression(seed, n);
            let mut rng = Rng::fork(seed ^ 0x7131, n);
            for when in [When::random(&mut rng, false), When::random(&mut rng, true)] {
                let (theirs, ours) = self.ask(&query, when).await;
                report.asked += 1;
                report.errors += u64::from(!theirs.status.is_success());
                report.empty += u64::from(theirs.text().contains(r#""result":[]"#));
                if let Err(d) = compare(&query, &theirs, &ours) {
                    let Some((small, why)) = self.shrink(&query, when).await else {
                        report.unrepeatable += 1;
                        continue;
                    };
                    let (theirs, ours) = self.ask(&small, when).await;
                    if is_tie(&small, &theirs, &ours) {
                        report.ties += 1;
                        continue;
                    }
                    *report.differences.entry(d.kind).or_default() += 1;
                    found(&format!(
                        "{n} {when:?} {:?}
    {query}
    {small}
    {}",
                        d.kind, why.text
                    ));
                }
            }
        }
        report
    }
}

/// The operands of an expression, as texts.
fn parts(query: &str) -> Vec<String> {
    let Ok(expr) = parse(query) else { return Vec::new() };
    let children: Vec<&Expr> = match &expr {
        Expr::Number(_) | Expr::Text(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
        Expr::Subquery(s) => vec![&s.expr],
        Expr::Paren(p) => vec![&p.expr],
        Expr::Unary(u) => vec![&u.expr],
        Expr::Binary(b) => vec![&b.lhs, &b.rhs],
        Expr::Aggregate(a) => a.param.iter().chain([&a.expr]).collect(),
        Expr::Call(c) => c.args.iter().collect(),
    };
    children.into_iter().map(|e| query[e.span().start..e.span().end].to_owned()).collect()
}
