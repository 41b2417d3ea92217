//! Queries damaged at random: whatever comes, the parser answers, and never panics.

use super::corpus::corpus;
use super::damage::{Mutator, repeated};
use super::generate::{Dialect, Generator};
use super::target;

/// Pieces that mean something, and some that must not.
const PIECES: &[&[u8]] = &[
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\"",
    b"'",
    b"`",
    b"\\",
    b"#",
    b"\n",
    b"\0",
    b"@",
    b" offset ",
    b" by (",
    b" on(",
    b" bool ",
    b"=~",
    b"!~",
    b"</",
    b" fill(",
    b"step()",
    b"_over_time(",
    b"1e999",
    b"0x",
    b"-",
    b"^",
    b"9y",
    b"\xff",
    b"\xc3",
    "\u{1F600}".as_bytes(),
    "\u{fffd}".as_bytes(),
    b" anchored",
    b"\\x{",
    b"(?i:",
    b"[[:",
    b"{1000}",
    b"__name__",
    b"Inf",
    b"NaN",
    b"ms",
    b"$__rate",
];

fn mutator(seed: u64) -> Mutator {
    let mut corpus = corpus();
    let mut generator = Generator::new(seed, Dialect::Full);
    corpus.extend((0..500).map(|_| generator.query()));
    Mutator::new(seed, corpus, PIECES)
}

#[test]
fn damaged_queries_are_parsed_or_refused() {
    let count: usize = std::env::var("PROMQL_MUTATIONS").map_or(10_000, |n| n.parse().unwrap());
    let mut mutator = mutator(count as u64);
    for _ in 0..count {
        target::parse(&mutator.next());
    }
}

/// Nesting and length of every kind, at the bounds and beyond.
#[test]
fn repeated_pieces_are_parsed_or_refused() {
    let more = [&b"a+"[..], b"-", b"a[5m:]", b"sum(", b"2^", b"[1m:]", b"()"];
    let shapes = [
        (100, "", ""),
        (130, "a", "b"),
        (70_000, "a", "b"),
        (2_000, "a{b=~\"", "\"}"),
        (5_000, "a[", "]"),
        (5_000, "a offset ", ""),
    ];
    repeated(PIECES.iter().copied().chain(more), &shapes, target::parse);
}

/// Writes damaged queries, to ask something else about them.
#[test]
fn writes_damaged_queries_when_asked() {
    let Ok(path) = std::env::var("WRITE_DAMAGED") else { return };
    let mut mutator = mutator(98);
    let queries = (0..20_000).filter_map(|_| String::from_utf8(mutator.next()).ok());
    let lines: Vec<String> = queries
        .filter(|query| !query.contains(['\t', '\r']) && !query.contains("\\n"))
        .map(|query| query.replace('\n', "\\n"))
        .collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}
