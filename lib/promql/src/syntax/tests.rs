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
