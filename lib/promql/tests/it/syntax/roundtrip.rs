//! What is printed parses to the tree that was printed.
//!
//! The form is Prometheus's, so that its lapses are ours: [`LAPSES`].

use skald_promql::syntax::{parse, pretty};

use super::corpus::corpus;
use super::generate::{Dialect, Generator};
use super::shape::{Plus, ours};

/// A form of Prometheus that means something else, or nothing: why, a query, how to tell.
type Lapse = (&'static str, &'static str, fn(&str) -> bool);

const LAPSES: &[Lapse] = &[
    ("infinity gets a sign, and a power binds tighter than a sign", "Inf ^ 2", |text| {
        text.contains("Inf ^")
    }),
    ("two signs become one, behind which an offset ends later", "foo offset --5m + 2m", |text| {
        ["--", "-+", "+-"].iter().any(|signs| text.contains(&format!("offset {signs}")))
    }),
    (
        "fills that differ in the sign of zero become one",
        "a + fill_left(0) fill_right(-0) b",
        |text| text.contains("fill_right(-0)"),
    ),
    ("a plus is lost without which an offset goes on", "foo offset +(1m) - foo", |text| {
        text.contains("in offset, expected")
    }),
];

/// What of `query` does not survive.
fn lost(query: &str) -> Option<String> {
    let expr = parse(query).ok()?;
    let forms = [expr.to_string(), pretty(&expr)];
    let want = ours(&expr, Plus::Kept);
    forms.iter().find_map(|printed| match parse(printed) {
        Err(e) => Some(format!("{query}\n{printed}\n{e}")),
        Ok(again) => {
            let same =
                ours(&again, Plus::Kept) == want && [again.to_string(), pretty(&again)] == forms;
            (!same).then(|| format!("{query}\n{printed}\n{again}"))
        }
    })
}

fn unexpectedly(query: &str) -> Option<String> {
    lost(query).filter(|text| !LAPSES.iter().any(|(_, _, is)| is(text)))
}

#[test]
fn each_lapse_shows() {
    for (why, query, is) in LAPSES {
        assert!(lost(query).is_some_and(|text| is(&text)), "{why}: {query}");
    }
}

#[test]
fn queries_of_the_corpora_survive_printing() {
    let lost: Vec<String> = corpus().iter().filter_map(|query| unexpectedly(query)).collect();
    assert!(lost.is_empty(), "{}", lost.join("\n\n"));
}

#[test]
fn random_queries_survive_printing() {
    let count: usize = std::env::var("PROMQL_QUERIES").map_or(1_500, |n| n.parse().unwrap());
    for dialect in [Dialect::Classic, Dialect::Full] {
        let mut generator = Generator::new(count as u64 + 1, dialect);
        let query = |_| unexpectedly(&generator.query());
        let lost: Vec<String> = (0..count).filter_map(query).collect();
        assert!(lost.is_empty(), "{}", lost.join("\n\n"));
    }
}
