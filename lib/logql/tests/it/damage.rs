//! Queries damaged at random: whatever comes is parsed or refused, and what is parsed can be run.

#[path = "../../../../fuzz/targets/damage.rs"]
mod mutator;
#[path = "../../../../fuzz/targets/logql.rs"]
mod target;

use self::mutator::{Mutator, repeated};

/// One of each construct; a fuzzer may start with them as well.
const CORPUS: &str = include_str!("../../../../fuzz/seeds/logql.txt");

/// Pieces that mean something, and some that must not.
const PIECES: &[&[u8]] = &[
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"`",
    b"\\",
    b"#",
    b"\n",
    b"\0",
    b"@",
    b"|",
    b"|=",
    b"!~",
    b"|>",
    b"!>",
    b" or ",
    b" and ",
    b" offset ",
    b" by (",
    b" unwrap ",
    b" | json",
    b" | logfmt --strict",
    b" | unpack",
    b" | distinct a",
    b"ip(\"",
    b"{{",
    b"}}",
    b"{{range .}}",
    b"{{template \"a\"}}",
    b"<_>",
    b"<a><b>",
    b"(?P<a>",
    b"(?i:",
    b"{1000}",
    b"1e999",
    b"0x",
    b"9y",
    b"-",
    b"Inf",
    b"\xff",
    b"\xc3",
    "\u{1F600}".as_bytes(),
    "\u{fffd}".as_bytes(),
];

fn corpus() -> Vec<String> {
    CORPUS.lines().map(str::to_owned).collect()
}

#[test]
fn every_seed_is_a_query() {
    for query in corpus() {
        skald_logql::parse(&query).unwrap_or_else(|e| panic!("{query}: {e}"));
        target::run(query.as_bytes());
    }
}

#[test]
fn damaged_queries_are_parsed_or_refused() {
    let count: usize = std::env::var("LOGQL_MUTATIONS").map_or(10_000, |n| n.parse().unwrap());
    let mut mutator = Mutator::new(count as u64, corpus(), PIECES);
    for _ in 0..count {
        target::run(&mutator.next());
    }
}

/// Nesting and length of every kind, at the bounds and beyond.
#[test]
fn repeated_pieces_are_parsed_or_refused() {
    let more =
        [&b"1+"[..], b"sum(", b"rate({a=\"b\"}[1m])[5m:]", b"(1)", b"-", b"| drop a", b"a=1 "];
    let shapes = [
        (100, "", "1"),
        (130, "{a=\"b\"}", ""),
        (1_100, "{a=\"b\"} | ", ""),
        (20_000, "{a=\"b\"} |= `", "`"),
        (2_000, "{a=~\"", "\"}"),
        (2_000, "{a=\"b\"} | line_format `", "`"),
        (2_000, "{a=\"b\"} | pattern `", "`"),
        (2_000, "{a=\"b\"} | json x=`", "`"),
        (5_000, "rate({a=\"b\"}[", "])"),
    ];
    repeated(PIECES.iter().copied().chain(more), &shapes, target::run);
}
