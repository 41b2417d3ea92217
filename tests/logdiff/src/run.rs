//! Asks both servers, and makes what they disagree about smaller.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use skald_testkit::Client;
use skald_testkit::http::Reply;
use skald_testkit::rng::Rng;
use skald_testkit::shrink::shrink;

use crate::compare::{Asked, Difference, Kind, compare};
use crate::dataset::LENGTH_S;
use crate::expr::query;
use crate::shrink::smaller;

/// How often both must differ before we believe it.
const REPEATS: usize = 3;
/// Queries under way at once: Loki waits more than it computes.
const AT_ONCE: usize = 6;
/// How often, in queries, we say how far we are.
const PROGRESS: u64 = 250;
const SECOND: i64 = 1_000_000_000;

/// Both servers, loaded with the same lines.
#[derive(Clone, Debug)]
pub struct Pair {
    pub loki: Client,
    pub skald: Client,
    /// When the lines begin, in seconds.
    pub start_s: i64,
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub instant: bool,
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub limit: usize,
    pub backward: bool,
    pub interval: i64,
    pub categorize: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Queries that are done.
    pub queries: u64,
    /// Requests by what they ask.
    pub asked: BTreeMap<&'static str, u64>,
    /// Answers of Loki that were errors.
    pub errors: u64,
    /// Answers without any series or stream.
    pub empty: u64,
    /// Explained: one server answers one query in several ways.
    pub unrepeatable: u64,
    /// By the heading under which they are explained.
    pub explained: BTreeMap<&'static str, u64>,
    pub differences: BTreeMap<Kind, u64>,
}

impl How {
    fn random(rng: &mut Rng, instant: bool, first: i64) -> Self {
        let end = rng.between(first + 400, first + LENGTH_S + 200) * SECOND;
        let start = end - rng.between(1, 1500) * SECOND;
        let whole = rng.chance(40);
        Self {
            instant,
            start: if whole { first * SECOND } else { start },
            end: if whole { (first + LENGTH_S) * SECOND } else { end },
            step: rng.pick(&[15, 30, 60, 77, 300]),
            limit: usize::try_from(rng.pick(&[5, 30, 100, 5000, 5000])).unwrap_or(100),
            backward: rng.chance(50),
            interval: if rng.chance(8) { rng.pick(&[5, 60]) } else { 0 },
            categorize: rng.chance(40),
        }
    }

    pub(crate) fn asked<'a>(&self, query: &'a str) -> Asked<'a> {
        Asked { query, limit: self.limit, backward: self.backward, merged: false }
    }
}

impl Pair {
    pub(crate) async fn ask(&self, query: &str, how: How) -> (Reply, Reply) {
        let direction = if how.backward { "backward" } else { "forward" };
        let mut form = vec![
            ("query", query.to_owned()),
            ("limit", how.limit.to_string()),
            ("direction", direction.to_owned()),
        ];
        let path = if how.instant {
            form.push(("time", how.end.to_string()));
            "/loki/api/v1/query"
        } else {
            form.extend([
                ("start", how.start.to_string()),
                ("end", how.end.to_string()),
                ("step", how.step.to_string()),
            ]);
            if how.interval > 0 {
                form.push(("interval", how.interval.to_string()));
            }
            "/loki/api/v1/query_range"
        };
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let get = async |client: &Client| {
            let client = client.clone();
            match how.categorize {
                true => {
                    client
                        .with_header("X-Loki-Response-Encoding-Flags", "categorize-labels")
                        .get(path, &form)
                        .await
                }
                false => client.get(path, &form).await,
            }
        };
        tokio::join!(get(&self.loki), get(&self.skald))
    }

    async fn differ(&self, query: &str, how: How) -> Option<Difference> {
        let (theirs, ours) = self.ask(query, how).await;
        compare(how.asked(query), &theirs, &ours).err()
    }

    /// The smallest query made from `query` over which both still differ in the same way; none when they
    /// do not always.
    async fn shrink(&self, query: &str, how: How) -> Option<(String, Difference)> {
        let differ = async |query: &str| self.differ(query, how).await;
        shrink(query, REPEATS, differ, smaller, |a, b| a.kind == b.kind).await
    }

    /// Asks queries `first..first + count` of `seed`, at one time and over a range each.
    /// `tell` is told each difference, and now and then how far we are.
    pub async fn run(&self, seed: u64, first: u64, count: u64, tell: impl Fn(&str)) -> Report {
        let report = RefCell::new(Report::default());
        let numbers = stream::iter(first..first.saturating_add(count));
        let one = async |n| {
            let (kind, text) = query(seed, n);
            let mut rng = Rng::fork(seed ^ 0x7131, n);
            // An instant query of lines is refused, which is soon seen.
            let instant = kind == crate::expr::Kind::Metric || n.is_multiple_of(50);
            for instant in [instant, false] {
                let how = How::random(&mut rng, instant, self.start_s);
                self.one(n, (kind, &text), how, &report, &tell).await;
            }
            report.borrow_mut().queries += 1;
            let report = report.borrow();
            if report.queries.is_multiple_of(PROGRESS) {
                tell(&format!("{} queries; {:?}", report.queries, report.differences));
            }
        };
        numbers.for_each_concurrent(AT_ONCE, one).await;
        report.into_inner()
    }

    async fn one(
        &self,
        n: u64,
        (kind, query): (crate::expr::Kind, &str),
        how: How,
        report: &RefCell<Report>,
        tell: &impl Fn(&str),
    ) {
        let (theirs, ours) = self.ask(query, how).await;
        report.borrow_mut().count(kind, how, &theirs);
        let Err(why) = compare(how.asked(query), &theirs, &ours) else { return };
        // What is explained as it stands needs no smaller query.
        if let Some(heading) = self.explain(query, how, (&theirs, &ours), &why).await {
            return report.borrow_mut().explained(heading);
        }
        let Some((small, why)) = self.shrink(query, how).await else {
            report.borrow_mut().unrepeatable += 1;
            return;
        };
        let (theirs, ours) = self.ask(&small, how).await;
        if let Some(heading) = self.explain(&small, how, (&theirs, &ours), &why).await {
            return report.borrow_mut().explained(heading);
        }
        *report.borrow_mut().differences.entry(why.kind).or_default() += 1;
        tell(&format!("{n} {how:?} {:?}\n  {query}\n  {small}\n     {why}", why.kind));
    }
}

impl Report {
    fn count(&mut self, kind: crate::expr::Kind, how: How, theirs: &Reply) {
        let name = match (kind, how.instant) {
            (crate::expr::Kind::Log, false) => "log range",
            (crate::expr::Kind::Log, true) => "log instant",
            (crate::expr::Kind::Metric, false) => "metric range",
            (crate::expr::Kind::Metric, true) => "metric instant",
        };
        *self.asked.entry(name).or_default() += 1;
        self.errors += u64::from(!theirs.status.is_success());
        self.empty += u64::from(theirs.text().contains(r#""result":[]"#));
    }

    fn explained(&mut self, heading: &'static str) {
        *self.explained.entry(heading).or_default() += 1;
    }
}
