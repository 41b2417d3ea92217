use std::path::Path;

use skald_logql::{Pipeline, Work};
use skald_model::{LogEntry, StreamEntries};

use super::*;

fn found(lines: &[&str]) -> Vec<Pattern> {
    let mut found = Found { step_ns: NS_PER_S, drains: HashMap::new() };
    found.add(&[stream(lines)], 1.0);
    found.finish()
}

fn stream(lines: &[&str]) -> ResultStream {
    let entry = |(i, line): (usize, &&str)| ResultEntry {
        timestamp_ns: i64::try_from(i).unwrap() * NS_PER_S,
        line: bytes::Bytes::copy_from_slice(line.as_bytes()),
        structured_metadata: Labels::empty(),
        parsed: Labels::empty(),
    };
    let entries = lines.iter().enumerate().map(entry).collect();
    ResultStream { stream_labels: Labels::empty(), entries }
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(|p| p.pattern.as_str()).collect()
}

#[test]
fn what_differs_is_a_wildcard_and_what_is_unlike_is_apart() {
    let patterns = found(&[
        "connection from 10.0.0.1 port 22 closed",
        "connection from 10.0.0.2 port 2222 closed",
        "cache miss for key user:1, loading it",
        "connection from host-9 port 1 closed",
        "cache miss for key user:77, loading it",
        "short",
    ]);
    assert_eq!(
        texts(&patterns),
        ["connection from <_> port <_> closed", "cache miss for key <_>, loading it"]
    );
    assert_eq!(patterns[0].samples, BTreeMap::from([(0, 1.0), (1, 1.0), (3, 1.0)]));
    assert_eq!(patterns[0].level, "unknown");
}

#[test]
fn messages_of_json_lines_have_patterns_that_the_line_matches() {
    let patterns = found(&[
        r#"{"ts":"1","msg":"took 3 ms to answer","id":"a"}"#,
        r#"{"ts":"2","msg":"took 17 ms to answer","id":"b"}"#,
    ]);
    assert_eq!(texts(&patterns), ["<_>took <_> ms to answer<_>"]);
}

#[test]
fn there_are_only_so_many_patterns() {
    let word = |i: usize, j: usize| {
        let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
        [letter(i), letter(i / 26), letter(i / 676), letter(j)].iter().collect::<String>()
    };
    let lines: Vec<String> = (0..5000)
        .map(|i| (0..4 + i % 60).map(|j| word(i * 7 + j * 131, j)).collect::<Vec<_>>().join(" "))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(found(&lines).len() <= MAX_PATTERNS);
}

/// How many of the lines some pattern filter lets through.
fn covered(lines: &[&str], patterns: &[Pattern]) -> usize {
    let compile = |p: &Pattern| {
        let quoted = serde_json::to_string(&p.pattern).unwrap();
        let query = format!("{{a=\"b\"}} |> {quoted}");
        let Ok(Expr::Log(log)) = skald_logql::parse(&query) else { return None };
        Pipeline::compile(&log).ok()
    };
    let filters: Vec<Pipeline> = patterns.iter().filter_map(compile).collect();
    let mut work = Work::default();
    let mut passes = |line: &&&str| {
        let line = bytes::Bytes::copy_from_slice(line.as_bytes());
        let entry = LogEntry { timestamp_ns: 0, line, metadata: Labels::empty() };
        let one = StreamEntries { labels: Labels::empty(), entries: vec![entry] };
        filters.iter().any(|f| !f.run(&mut work, &one).is_empty())
    };
    lines.iter().filter(|l| passes(l)).count()
}

#[test]
#[expect(clippy::print_stderr, reason = "says what it skips and finds")]
fn patterns_of_real_lines_are_few_and_match_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs");
    for (file, most) in
        [("apache_combined.log", 150), ("kafka1/server.log", 100), ("kafka1/log-cleaner.log", 60)]
    {
        let Ok(bytes) = std::fs::read(root.join(file)) else {
            eprintln!("skipped: {file} is not there");
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> =
            text.lines().filter(|l| tokens::split(l).is_some()).take(2000).collect();
        let patterns = found(&lines);
        let n = covered(&lines, &patterns);
        eprintln!("{file}: {} lines, {} patterns, {n} matched", lines.len(), patterns.len());
        assert!(patterns.len() <= most, "{file}: {}", patterns.len());
        assert!(n * 100 >= lines.len() * 99, "{file}: {n} of {}", lines.len());
    }
}
