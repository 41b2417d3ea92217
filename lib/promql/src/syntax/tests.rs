//! Every way to be wrong, and the canonical form of what is right: as Prometheus 3.14 answers
//! `/api/v1/format_query` with all experimental features on.

use std::io::Write;

use super::*;

/// A query, a tab, and the answer: pretty, or `ERR` and the error. Newlines are written `\n`.
const ANSWERS: &str = include_str!("../../testdata/syntax/answers.txt");

#[test]
fn answers_as_prometheus_does() {
    let mut wrong = Vec::new();
    for line in ANSWERS.lines() {
        let (query, want) = line.split_once('\t').unwrap();
        let got = match parse(&query.replace("\\n", "\n")) {
            Ok(expr) => pretty(&expr),
            Err(e) => format!("ERR {e}"),
        };
        let got = got.replace('\n', "\\n");
        if got != want {
            wrong.push(format!("{query}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn prints_what_parses_to_the_same_print() {
    for (query, _) in ANSWERS.lines().filter_map(|line| line.split_once('\t')) {
        let Ok(expr) = parse(&query.replace("\\n", "\n")) else { continue };
        let printed = expr.to_string();
        let again = parse(&printed).map(|e| e.to_string());
        assert_eq!(again.as_deref(), Ok(printed.as_str()), "{query}");
    }
}

#[test]
fn long_chains_are_handled_without_recursion() {
    let run = || {
        let text = vec!["m{a=~\"b.*c\"}"; 10_000].join(" + ");
        let expr = parse(&text).unwrap();
        let copy = expr.clone();
        assert!(copy == expr && copy.to_string() == text);
        assert!(parse(&text.replacen('+', "-", 1)).unwrap() != expr);
        let lines = pretty(&copy);
        assert!(lines.split_whitespace().eq(text.split_whitespace()) && lines.len() < 16 << 20);
        assert_eq!(expr.selectors().len(), 10_000);
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn all_regular_expressions_together_are_bounded() {
    let sum = |n: usize, pattern: fn(usize) -> String| {
        let term = |i| format!("m{{a=~\"{}\"}}", pattern(i));
        parse(&(0..n).map(term).collect::<Vec<_>>().join("+"))
    };
    assert!(sum(5_000, |_| "a[b-d]+e".to_owned()).is_ok(), "compiled once");
    assert!(sum(5_000, |i| format!("a{i}.*")).is_ok(), "not compiled at all");
    let error = sum(2_000, |i| format!("a[b-d]+{i}")).unwrap_err();
    assert!(error.message.contains("regular expressions take more than 67108864 bytes"), "{error}");
}

/// Shows what this parser makes of the queries in a file, to compare with the real thing.
#[test]
fn dumps_answers_when_asked() {
    let Ok(path) = std::env::var("DUMP_QUERIES") else { return };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let answer = match parse(&line.replace("\\n", "\n")) {
            Ok(expr) => pretty(&expr),
            Err(e) => format!("ERR {e}"),
        };
        let answer = answer.replace('\n', "\\n");
        writeln!(std::io::stdout(), "@@{line}\t{answer}").unwrap();
    }
}
