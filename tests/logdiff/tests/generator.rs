//! The generator alone: repeatable, type-correct, and about the whole language.

use std::collections::BTreeSet;

use skald_logdiff::compare::{Difference, Kind};
use skald_logdiff::explained::{explanation, headings};
use skald_logdiff::expr::query;
use skald_logdiff::rewrite::rewrites;
use skald_logdiff::shrink::smaller;

#[test]
fn a_seed_names_a_query_for_ever() {
    assert_eq!(query(1, 5), query(1, 5));
    let all: BTreeSet<String> = (0..1000).map(|n| query(1, n).1).collect();
    assert!(all.len() > 800, "only {} of 1000 are different", all.len());
    assert_ne!(query(2, 5), query(1, 5));
}

#[test]
fn most_queries_are_logql() {
    let refused = (0..2000).filter(|n| skald_logql::parse(&query(7, *n).1).is_err()).count();
    assert!((50..300).contains(&refused), "{refused} of 2000 are refused");
}

#[test]
fn all_stages_functions_and_operators_occur() {
    let text = (0..10_000).map(|n| query(11, n).1).collect::<Vec<_>>().join("\n");
    let words = "json logfmt regexp pattern unpack line_format label_format decolorize drop keep unwrap ip( |> !> \
        --strict --keep-empty rate( count_over_time bytes_rate bytes_over_time sum_over_time avg_over_time \
        min_over_time max_over_time stddev_over_time stdvar_over_time quantile_over_time first_over_time \
        last_over_time rate_counter absent_over_time sum avg min max count stddev stdvar topk bottomk sort_desc \
        label_replace vector( offset group_left group_right ignoring bool and or unless alignLeft unixToTime \
        toDateInZone regexReplaceAll b64dec fromJson printf __timestamp__ __line__ duration_seconds( define \
        block break println __preserve_error__ BY JSON # \\x \\u";
    for word in words.split_whitespace() {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn smaller_queries_are_smaller_and_parse() {
    let text = r#"sum by (a) (rate({app="x"} |= "a" | json | b="c", d > 5 [5m] offset 1m)) > 2"#;
    let parts = smaller(text);
    assert!(parts.len() > 5);
    for part in parts {
        assert!(part.len() < text.len());
        skald_logql::parse(&part).unwrap_or_else(|e| panic!("{part}: {e}"));
    }
}

#[test]
fn explanations_stand_in_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/logql-differences.md");
    let document = std::fs::read_to_string(path).unwrap();
    for heading in headings() {
        let heading = format!("- **{heading}**:");
        assert!(document.contains(&heading), "{heading}");
    }
    let (_, found) = document.split_once("## Found by `logdiff`").unwrap();
    assert_eq!(found.matches("\n- **").count(), headings().len());
}

#[test]
fn only_what_is_explained_is() {
    let told = |query: &str, kind, theirs: &str, ours: &str| {
        let at = String::new();
        explanation(
            query,
            &Difference { kind, at, theirs: theirs.to_owned(), ours: ours.to_owned() },
        )
    };
    let rate = r#"rate({a="b"}[1m])"#;
    let counter = r#"rate_counter({a="b"} | unwrap c [1m])"#;
    let vector = r#"rate({a="b"}[1m]) or vector(1)"#;
    for (query, kind, theirs, ours, want) in [
        (
            "1 +",
            Kind::ErrorText,
            "parse error at line 1, col 4: syntax error: unexpected $end",
            "parse error at line 1, col 4: unexpected end",
            Some("Words of syntax errors"),
        ),
        (
            "avg(5)",
            Kind::Status,
            "500 Internal Server Error",
            "400 Bad Request parse error: unexpected literal in avg(), expecting a vector",
            Some("A number instead of a vector"),
        ),
        ("vector(-2)", Kind::Status, "400 Bad Request", "200 OK", Some("Signs in `vector()`")),
        ("2 + 3", Kind::Samples, "[1,\"5\"]", "[1000,\"5\"]", Some("The time of literals")),
        (rate, Kind::Samples, "[1,\"5\"]", "[1000,\"5\"]", None),
        (rate, Kind::Status, "200 OK", "500 Internal Server Error", None),
        ("stddev(x)", Kind::Value, "[1,\"0\"]", "[1,\"NaN\"]", Some("Deviation of one NaN")),
        ("stddev(x)", Kind::Value, "[1,\"0\"]", "[1,\"1\"]", None),
        (counter, Kind::Value, "[1,\"1\"]", "[1,\"2\"]", Some("Extrapolated counters")),
        (counter, Kind::Value, "[1,\"1\"]", "[1,\"20\"]", None),
        (counter, Kind::Series, "[1,\"1\"]", "[1,\"2\"]", None),
        (vector, Kind::Samples, "[1,\"5\"]", "[1000,\"5\"]", None),
        (rate, Kind::Value, "[1,\"1\"]", "[1,\"2\"]", None),
    ] {
        assert_eq!(told(query, kind, theirs, ours), want, "{query} {theirs}");
    }
}

#[test]
fn rewritten_queries_say_what_loki_does() {
    for (query, want) in [
        (
            r#"{a="b"} | level!="x" | json"#,
            vec![("Early filters", r#"{a="b"} | level!="x" | json | (level="" or level!="x")"#)],
        ),
        (r#"{a="b"} | size > 1.5KiB"#, vec![("Rounded sizes", r#"{a="b"} | size>1500B"#)]),
        (r#"{a="b"} | size > 5MB"#, vec![]),
        (r#"{a="b"} | n >= 0x10"#, vec![("Prefixed numbers", r#"{a="b"} | n >= 0"#)]),
        (r#"{a="0x10"} |= "0x10" | n >="#, vec![]),
        (
            r#"{a="b"} |= "" or ip("::1") or "x""#,
            vec![("Alternatives of line filters", r#"{a="b"} |= "::1" or "x""#)],
        ),
        (r#"{a="b"} |= "a" or "x""#, vec![]),
    ] {
        let found = rewrites(query);
        let parse = |text: &str| skald_logql::parse(text).unwrap();
        assert_eq!(found.len(), want.len(), "{found:?}");
        for ((heading, text), (want_heading, want)) in found.iter().zip(want) {
            assert_eq!((*heading, parse(text)), (want_heading, parse(want)));
        }
    }
    let both = rewrites(r#"{a="b"} |= "" or "x" | size > 1.5KiB"#);
    assert_eq!(both.len(), 3);
}
