//! Asks both servers, and makes what they disagree about smaller.

use std::collections::BTreeMap;

use skald_testkit::Client;
use skald_testkit::http::Reply;
use skald_testkit::rng::Rng;
use skald_testkit::shrink::shrink;

use crate::compare::{Asked, Difference, Kind, compare, is_tie};
use crate::dataset::LENGTH_S;
use crate::explained::explanation;
use crate::expr::query;
use crate::shrink::smaller;

/// How often both must differ before we believe it.
const REPEATS: usize = 3;
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
    instant: bool,
    start: i64,
    end: i64,
    step: i64,
    limit: usize,
    backward: bool,
    interval: i64,
    categorize: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub asked: u64,
    /// Answers of Loki that were errors.
    pub errors: u64,
    /// Answers without any series or stream.
    pub empty: u64,
    /// Explained: another choice among equal series.
    pub ties: u64,
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

    fn asked<'a>(&self, query: &'a str) -> Asked<'a> {
        Asked { query, limit: self.limit, backward: self.backward }
    }
}

impl Pair {
    async fn ask(&self, query: &str, how: How) -> (Reply, Reply) {
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
            let (kind, text) = query(seed, n);
            let mut rng = Rng::fork(seed ^ 0x7131, n);
            // An instant query of lines is refused, which is soon seen.
            let first = self.start_s;
            let instant = kind == crate::expr::Kind::Metric || n.is_multiple_of(50);
            for how in [How::random(&mut rng, instant, first), How::random(&mut rng, false, first)]
            {
                self.one(n, &text, how, &mut report, &mut found).await;
            }
        }
        report
    }

    async fn one(
        &self,
        n: u64,
        query: &str,
        how: How,
        report: &mut Report,
        found: &mut impl FnMut(&str),
    ) {
        let (theirs, ours) = self.ask(query, how).await;
        report.asked += 1;
        report.errors += u64::from(!theirs.status.is_success());
        report.empty += u64::from(theirs.text().contains(r#""result":[]"#));
        if compare(how.asked(query), &theirs, &ours).is_ok() {
            return;
        }
        let Some((small, why)) = self.shrink(query, how).await else {
            report.unrepeatable += 1;
            return;
        };
        let (theirs, ours) = self.ask(&small, how).await;
        if is_tie(&small, &theirs, &ours) {
            report.ties += 1;
        } else if let Some(heading) = explanation(&small, &why) {
            *report.explained.entry(heading).or_default() += 1;
        } else {
            *report.differences.entry(why.kind).or_default() += 1;
            found(&format!("{n} {how:?} {:?}\n  {query}\n  {small}\n     {}", why.kind, why));
        }
    }
}
