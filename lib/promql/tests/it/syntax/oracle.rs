//! Our parser against `promql-parser`, which others wrote: what each takes, and what it makes of it.
//!
//! Where they differ, [`KNOWN`] says why; in each case the answer of Prometheus 3.14 is ours.

use std::collections::BTreeSet;

use super::corpus::corpus;
use super::generate::{Dialect, Generator};
use super::shape::{self, Plus};

type Parsed = Result<String, String>;

/// A difference that is known: why, a query that shows it, and how to tell it.
struct Known {
    why: &'static str,
    example: &'static str,
    is: fn(&str, &Parsed, &Parsed) -> bool,
}

fn we_refuse(ours: &Parsed, because: &str) -> bool {
    ours.as_ref().is_err_and(|e| e.contains(because))
}

fn they_refuse(theirs: &Parsed, because: &str) -> bool {
    theirs.as_ref().is_err_and(|e| e.contains(because))
}

fn only_we_take(ours: &Parsed, theirs: &Parsed, with: &[&str]) -> bool {
    theirs.is_err() && ours.as_ref().is_ok_and(|tree| with.iter().any(|part| tree.contains(part)))
}

const KNOWN: &[Known] = &[
    Known {
        why: "it has no duration expressions",
        example: "foo[1m + step()] offset (1m * 2)",
        is: |_, ours, theirs| only_we_take(ours, theirs, &["(duration "]),
    },
    Known {
        why: "it has no trims",
        example: "a </ 1",
        is: |_, ours, theirs| only_we_take(ours, theirs, &["(</", "(>/"]),
    },
    Known {
        why: "it has no anchored and smoothed",
        example: "rate(a[5m] anchored)",
        is: |_, ours, theirs| only_we_take(ours, theirs, &["anchored", "smoothed"]),
    },
    Known {
        why: "it takes a backslash in a raw string for an escape",
        example: r"{a=`x\`}",
        is: |query, ours, theirs| query.contains(r"\`") && ours.is_ok() && theirs.is_err(),
    },
    Known {
        why: "it has no underscores in numbers",
        example: "1_000",
        is: |_, ours, theirs| ours.is_ok() && they_refuse(theirs, "bad number or duration syntax"),
    },
    Known {
        why: "Prometheus's lexer reads the e of a hexadecimal number as an exponent",
        example: "0x1e",
        is: |_, ours, theirs| {
            we_refuse(ours, r#"bad number or duration syntax: "0x"#) && theirs.is_ok()
        },
    },
    Known {
        why: "it takes numbers that no float holds for infinite",
        example: "1e999",
        is: |_, ours, theirs| we_refuse(ours, "value out of range") && theirs.is_ok(),
    },
    Known {
        why: "it takes durations that 64 bits of nanoseconds do not hold",
        example: "300y",
        is: |_, ours, _| we_refuse(ours, "duration out of range"),
    },
    Known {
        why: "it takes times behind @ that 64 bits of milliseconds do not hold",
        example: "foo @ 1e300",
        is: |_, ours, _| we_refuse(ours, "timestamp out of bounds"),
    },
    Known {
        why: "it takes fill between what are no two vectors, and with set operators",
        example: "a and fill(1) b",
        is: |_, ours, theirs| we_refuse(ours, "filling in missing series") && theirs.is_ok(),
    },
    Known {
        why: "it keeps an empty matching between what are no two vectors",
        example: "a + on() group_left() 1",
        is: |query, ours, theirs| {
            let dense = query.replace([' ', '\n'], "");
            let empty = dense.contains("on()") || dense.contains("ignoring()");
            empty && ours.is_ok() && theirs.is_ok()
        },
    },
    Known {
        why: "it has no durations in fill",
        example: "a + fill(5m) b",
        is: |_, ours, theirs| only_we_take(ours, theirs, &[" fill "]),
    },
    Known {
        why: "it reads regular expressions as Rust does",
        example: r#"foo{a=~"a**"}"#,
        is: |_, ours, theirs| we_refuse(ours, "error parsing regexp") && theirs.is_ok(),
    },
    Known {
        why: "it checks the second argument of info like any other selector",
        example: r#"info(a, {b=""})"#,
        is: |query, ours, theirs| query.contains("info") && ours.is_ok() != theirs.is_ok(),
    },
    Known {
        why: "we keep strings as UTF-8 only, unlike Prometheus",
        example: r#"label_replace(a, "\xff", "", "b", "c")"#,
        is: |_, ours, theirs| we_refuse(ours, "not valid UTF-8") && theirs.is_ok(),
    },
    Known {
        why: "it refuses an offset of nothing",
        example: "foo offset 0s",
        is: |_, ours, theirs| {
            ours.is_ok() && they_refuse(theirs, "duration must be greater than 0")
        },
    },
    Known {
        why: "it groups by a label without a name",
        example: r#"sum by ("") (a)"#,
        is: |_, ours, theirs| we_refuse(ours, "invalid label name for grouping") && theirs.is_ok(),
    },
];

fn both(query: &str) -> (Parsed, Parsed) {
    let ours = skald_promql::syntax::parse(query);
    let theirs =
        std::panic::catch_unwind(|| promql_parser::parser::parse(query).map(|e| shape::theirs(&e)));
    let theirs = theirs.unwrap_or_else(|_| Err("panicked".to_owned()));
    (ours.map(|e| shape::ours(&e, Plus::Forgotten)).map_err(|e| e.to_string()), theirs)
}

fn agree(ours: &Parsed, theirs: &Parsed) -> bool {
    ours.is_err() && theirs.is_err() || ours == theirs
}

/// What the parsers differ on without a known reason.
fn unexplained(queries: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for query in queries {
        let (ours, theirs) = both(&query);
        if !agree(&ours, &theirs) && !KNOWN.iter().any(|known| (known.is)(&query, &ours, &theirs)) {
            found.push(format!("{query}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    found
}

#[test]
fn each_known_difference_shows() {
    let mut reasons = BTreeSet::new();
    for known in KNOWN {
        let (ours, theirs) = both(known.example);
        let shows = !agree(&ours, &theirs) && (known.is)(known.example, &ours, &theirs);
        assert!(shows, "{}: {}\n{ours:?}\n{theirs:?}", known.why, known.example);
        assert!(reasons.insert(known.why));
    }
}

#[test]
fn queries_of_the_corpora_parse_alike() {
    let found = unexplained(corpus());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn random_queries_parse_alike() {
    let count: usize = std::env::var("PROMQL_QUERIES").map_or(1_500, |n| n.parse().unwrap());
    for dialect in [Dialect::Classic, Dialect::Full] {
        let mut generator = Generator::new(count as u64, dialect);
        let found = unexplained((0..count).map(|_| generator.query()));
        assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
    }
}

/// Writes random queries, to ask something else about them.
#[test]
fn writes_random_queries_when_asked() {
    let Ok(path) = std::env::var("WRITE_QUERIES") else { return };
    let mut generator = Generator::new(99, Dialect::Full);
    let queries: Vec<String> =
        (0..20_000).map(|_| generator.query().replace('\n', "\\n")).collect();
    std::fs::write(path, queries.join("\n")).unwrap();
}

/// What is generated is worth comparing.
#[test]
fn most_random_queries_are_valid_and_some_are_not() {
    let mut generator = Generator::new(7, Dialect::Full);
    let valid = |_: &usize| skald_promql::syntax::parse(&generator.query()).is_ok();
    let count = (0..1_000).filter(valid).count();
    assert!((500..950).contains(&count), "{count}");
}
