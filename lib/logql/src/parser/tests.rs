use skald_model::Labels;

use super::{check_selector, parse, parse_selector};
use crate::ast::{Expr, LabelFilter, MetricExpr, Stage};

fn accepts(queries: &[&str]) {
    for query in queries {
        if let Err(e) = parse(query) {
            panic!("{query}: {e}");
        }
    }
}

fn refuses(queries: &[&str]) {
    for query in queries {
        assert!(parse(query).is_err(), "{query}");
    }
}

/// The label filter of `{a="b"} | …`, with brackets.
fn filter(text: &str) -> String {
    match parse(&format!(r#"{{a="b"}} | {text}"#)) {
        Ok(Expr::Log(log)) => match &log.stages[..] {
            [Stage::LabelFilter(filter)] => filter.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn printed(query: &str) -> String {
    parse(query).unwrap().to_string()
}

#[test]
fn a_comma_takes_the_whole_rest_and_the_word_and_does_not() {
    assert_eq!(filter("a=1 or b=2 and c=3"), "(a==1 or (b==2 and c==3))");
    assert_eq!(filter("a=1 and b=2 or c=3"), "((a==1 and b==2) or c==3)");
    assert_eq!(filter("a=1, b=2 or c=3"), "(a==1 and (b==2 or c==3))");
    assert_eq!(filter("a=1 b=2 or c=3"), "(a==1 and (b==2 or c==3))");
    assert_eq!(filter("a=1 or b=2, c=3"), "(a==1 or (b==2 and c==3))");
    assert_eq!(
        filter(r#"foo="bar" buzz!="blip", blop=~"boop" or fuzz==5"#),
        r#"(foo="bar" and buzz!="blip" and (blop=~"boop" or fuzz==5))"#
    );
    assert_eq!(filter("(a=1 or b=2) and c=3"), "((a==1 or b==2) and c==3)");
}

#[test]
fn values_choose_the_kind_of_filter() {
    let kind = |text: &str| match parse(&format!(r#"{{a="b"}} | {text}"#)) {
        Ok(Expr::Log(log)) => match log.stages.into_iter().next() {
            Some(Stage::LabelFilter(filter)) => filter,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert!(matches!(kind("x>1d"), LabelFilter::Duration { value: 86_400_000_000_000, .. }));
    assert!(matches!(kind("x>=4kB"), LabelFilter::Bytes { value: 4000, .. }));
    assert!(matches!(kind("x>-1"), LabelFilter::Number { .. }));
    assert!(matches!(kind(r#"x=ip("10.0.0.0/8")"#), LabelFilter::Ip { negated: false, .. }));
    assert!(matches!(kind("duration > 1m"), LabelFilter::Duration { .. }));
    assert!(matches!(kind(r#"ip="x""#), LabelFilter::String(_)));
}

#[test]
fn gotchas_that_are_fine() {
    accepts(&[
        r#"{a="b"} |= "x" or ip("1.1.1.1")"#,
        r#"{a="b"} | status>=200 status<300"#,
        r#"{rate="a"} | logfmt bytes"#,
        r#"rate({a="b"}[1m] offset -5m)"#,
        r#"count_over_time(({a="b"}|json)[1m])"#,
        r#"count_over_time(({a="b"} |= "n" [5m]))"#,
        r#"count_over_time({a="b"}[5m] |= "n")"#,
        r#"rate({a="b"}[1m]) == bool 1"#,
        "# c\n{a=\"b\"} # d\n| json # e",
        r#"{__name__=~".+"}"#,
        r#"{a="b", a=~"c"}"#,
        r#"({a="b"})"#,
        r#"SUM BY (a) (rate({a="b"}[1m]))"#,
        r#"sum by () (rate({a="b"}[1m]))"#,
        r#"-2 ^ 2"#,
        r#"vector(1)+vector(1)"#,
        r#"sum_over_time({a="b"} | logfmt | unwrap duration(x) | __error__="" [1m] offset 1h)"#,
        r#"absent_over_time({a="b"} | logfmt | unwrap x [1m])"#,
        r#"{app="x"}|logfmt|level="error"|line_format"{{.msg}}""#,
        r#"{a="b"} | json | logfmt --strict --keep-empty x="y", z"#,
        r#"{a="b"} | drop a, b="c" | keep d=~"e", f"#,
    ]);
}

#[test]
fn gotchas_that_are_errors() {
    refuses(&[
        r#"{a="b"} |~ ip("1.1.1.1")"#,
        r#"rate({a="b"}[5minutes])"#,
        r#"sum by (a,) (rate({a="b"}[1m]))"#,
        r#"{a="b",}"#,
        r#"rate({a="b"}[1m]) == on(x) bool rate({a="b"}[1m])"#,
        r#"topk(1.0, rate({a="b"}[1m]))"#,
        r#"topk(0, rate({a="b"}[1m]))"#,
        r#"vector(sum(rate({a="b"}[1m])))"#,
        "vector(Inf)",
        r#"{a="b"} | label_format a=b,a=c"#,
        r#"{a="b"} | label_format __error__=b"#,
        r#"sum_over_time({a="b"} | unwrap x | unwrap y [1m])"#,
        r#"{json="a"}"#,
        r#"rate({a="b"}[1m]) and 1"#,
        r#"1 or rate({a="b"}[1m])"#,
        r#"{a="b"} + 1"#,
        r#"count_over_time({a="b"} | unwrap x [1m])"#,
        r#"sum_over_time({a="b"}[1m])"#,
        r#"count_over_time({a="b"}[1m]) by (a)"#,
        r#"quantile_over_time(-0.5, {a="b"} | unwrap x [1m])"#,
        r#"count_over_time(1, {a="b"}[1m])"#,
        r#"sort by (a) (rate({a="b"}[1m]))"#,
        r#"approx_topk(1, rate({a="b"}[1m]))"#,
        r#"rate({a="b"}[1m] unwrap x offset 5m)"#,
        r#"{a="b"} | line_format "{{ nofunc .a }}""#,
        r#"{a="b"} |> "<x> y""#,
        r#"{a="b"} | unwrap x"#,
        r#"avg_over_time({a="b"}[5m] @ 5)"#,
        r#"rate({a="b"}[5m:1m])"#,
    ]);
}

#[test]
fn a_selector_must_select() {
    for query in ["{}", r#"{a=~".*"}"#, r#"{a!="x"}"#, r#"rate({a=""}[1m])"#] {
        let err = parse(query).unwrap_err().to_string();
        assert!(err.contains("queries require at least one regexp or equality matcher"), "{err}");
    }
    assert!(parse_selector("{}").unwrap().is_empty());
    assert!(check_selector(&parse_selector(r#"{a=~".+"}"#).unwrap()).is_ok());
    let found = parse(r#"rate({a="1"}[1m]) / sum(rate({b="2"}[1m]))"#).unwrap();
    let names: Vec<&str> = found.selector_matchers().iter().map(|m| m[0].name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let labels = Labels::from_pairs([("a", "1")]);
    assert!(skald_model::Matcher::all(found.selector_matchers()[0], &labels));
}

#[test]
fn literals_are_folded_with_go_precedence() {
    for (query, want) in [
        ("1+1", "2"),
        ("-2 ^ 2", "4"),
        ("2 ^ 3 ^ 2", "512"),
        ("1 + 2 * 3", "7"),
        ("1 > 2", "0"),
        ("2 >= bool 2", "1"),
        ("7 % 4 - 1", "2"),
    ] {
        assert_eq!(printed(query), want, "{query}");
    }
    assert!(matches!(parse("1/0"), Ok(Expr::Metric(MetricExpr::Literal(v))) if v.is_nan()));
}

#[test]
fn printing_is_as_the_peers_print() {
    for (query, want) in [
        (
            r#"sum by(level)(rate({app="x"}|logfmt[5m]))"#,
            r#"sum by (level)(rate({app="x"} | logfmt[5m]))"#,
        ),
        (r#"{app="x"}|label_format a=b,c="{{.d}}""#, r#"{app="x"} | label_format a=b,c="{{.d}}""#),
        (r#"{app="x"}|drop a,b="c""#, r#"{app="x"} | drop a,b="c""#),
        (
            r#"quantile_over_time(0.99,{app="x"}|json|unwrap a[5m])"#,
            r#"quantile_over_time(0.99,{app="x"} | json | unwrap a[5m])"#,
        ),
        (r#"{app="x"}|= "a" or "b" != "c""#, r#"{app="x"} |= "a" or "b" != "c""#),
        (r#"sum(rate({app="x"}[5m])) > bool 1"#, r#"(sum(rate({app="x"}[5m])) > bool 1)"#),
        ("vector(1)", "vector(1.000000)"),
        ("vector((1))", "vector(1.000000)"),
    ] {
        assert_eq!(printed(query), want);
    }
}

#[test]
fn what_is_printed_parses_to_the_same() {
    for query in [
        r#"{app="x\n\"\\", b=~"a|b"} |= "a" or ip("10.0.0.0/8") !~ "z" |> "<_>x<_>" | json a="b.c[0]", d"#,
        r#"{app="x"} | logfmt --strict --keep-empty | a>1d, b<=4kB or c!=-1.5 and d=ip("::1")"#,
        r#"{app="x"} | regexp "(?P<a>x)" | pattern "<a> b" | unpack | decolorize | keep a, b!~"c""#,
        r#"sum without (a, b) (sum_over_time({app="x"} | logfmt | unwrap bytes(x) | a="1" or b=2 [90s] offset -5m))"#,
        r#"max_over_time({app="x"} | unwrap duration(d) [1h]) by (a) / ignoring (x) group_left (y) topk(3, rate({a="b"}[1m]))"#,
        r#"label_replace(vector(0.1) * 2, "a", "$1", "b", "(.*)") or on () vector(1e-9) unless rate({a="b"}[1w])"#,
        r#"absent_over_time({a="b"}[1m]) != bool 3 ^ 2"#,
    ] {
        let first = parse(query).unwrap();
        let text = first.to_string();
        assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{text}: {e}")), first, "{text}");
    }
}

#[test]
fn errors_have_their_shape() {
    let err = parse("{a=\"b\"} |\n |").unwrap_err();
    assert!(
        err.to_string()
            .starts_with("parse error at line 2, col 2: syntax error: unexpected |, expecting"),
        "{err}"
    );
    let err = parse(r#"quantile_over_time(-1, {a="b"} | unwrap x [1m])"#).unwrap_err().to_string();
    assert!(err.starts_with("parse error at line 1, col 20: syntax error: unexpected -"), "{err}");
    let err = parse(r#"topk(0, rate({a="b"}[1m]))"#).unwrap_err().to_string();
    assert!(err.contains("invalid parameter (must be greater than 0) topk(0"), "{err}");
    let err = parse(r#"sum_over_time({a="b"}[1m])"#).unwrap_err().to_string();
    assert!(err.contains("invalid aggregation sum_over_time without unwrap"), "{err}");
    let err = parse(r#"rate({a="b"}[1m]) and 1"#).unwrap_err().to_string();
    assert!(
        err.contains("unexpected literal for right leg of logical/set binary operation"),
        "{err}"
    );
}

#[test]
fn no_input_exhausts_the_stack() {
    let sel = r#"{a="b"}"#;
    let deep = [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}1{}", "(".repeat(4_000), ")".repeat(4_000)),
        "(".repeat(9_000),
        vec!["1"; 50_000].join("+"),
        vec!["vector(1)"; 2_000].join("+"),
        vec!["vector(1)"; 2_000].join("^"),
        format!("{}vector(1){}", "sum(".repeat(3_000), ")".repeat(3_000)),
        format!("{sel} | {}a=1{}", "(".repeat(4_000), ")".repeat(4_000)),
        format!("{sel} | a=1{}", " or a=1, b=2".repeat(1_000)),
        format!("count_over_time({}{sel}[1m]{})", "(".repeat(4_000), ")".repeat(4_000)),
        format!("{sel}{}", " | json".repeat(2_000)),
    ];
    refuses(&deep.iter().map(String::as_str).collect::<Vec<_>>());
    accepts(&[
        &format!("{}1{}", "(".repeat(100), ")".repeat(100)),
        &format!("{}vector(1){}", "sum(".repeat(60), ")".repeat(60)),
        &format!("{sel} | a=1{}", " or a=1".repeat(2_000)),
        &format!("{sel} | a=1{}", ", a=1".repeat(2_000)),
        &vec!["1"; 4_000].join("+"),
    ]);
}

#[test]
fn what_promql_has_is_read_and_printed() {
    for query in [
        r#"count_over_time({a="b"}[5m] @ 1700000000.000000001 offset 1h)"#,
        r#"rate({a="b"} |= "x"[5m] offset 1h @ start())"#,
        r#"quantile_over_time(0.5,sum(rate({a="b"}[1m]))[1h:] @ end())"#,
        r#"max_over_time((rate({a="b"}[1m]) + vector(1))[10m : 30s] offset -1m)"#,
        r#"-rate({a="b"}[1m]) ^ 2 + -abs(-vector(1))"#,
        r#"quantile by (a) (0.9, rate({a="b"}[1m]))"#,
        r#"count_values("n", rate({a="b"}[1m])) unless limitk(2, vector(1)) or limit_ratio(-0.5, vector(2))"#,
        r#"group(vector(scalar(rate({a="b"}[1m])) * time() - pi()))"#,
        r#"label_join(rate({a="b"}[1m]), "d", "-", "a", "b", "c") or sort_by_label(vector(1), "a")"#,
        r#"clamp(round(vector(1), 0.5), -1, 2) and clamp_max(vector(1), time()) > hour()"#,
        r#"{a="b"} | json | distinct level, msg"#,
        r#"{a="b"} | distinct = "x" | rate > 1"#,
    ] {
        let first = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        let text = first.to_string();
        assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{text}: {e}")), first, "{text}");
    }
    assert_eq!(printed(r#"-rate({a="b"}[1m]) ^ 2"#), r#"(-(rate({a="b"}[1m]) ^ 2))"#);
    refuses(&[
        r#"count_over_time({a="b"}[5m] @ 5)"#,
        r#"count_over_time({a="b"}[5m:1m])"#,
        r#"rate(vector(1)[5m:])"#,
        r#"max_over_time(vector(1)[5m])"#,
        r#"max_over_time(1[5m:])"#,
        r#"max_over_time(vector(1)[5m:0s])"#,
        r#"+rate({a="b"}[1m])"#,
        r#"-{a="b"}"#,
        "abs()",
        "abs(1)",
        "abs(vector(1), 2)",
        "clamp(vector(1), vector(1), 2)",
        "label_join(vector(1), 1)",
        "vector(vector(1))",
        "count_values(vector(1))",
        r#"count_values("", vector(1))"#,
        "quantile(vector(1))",
        r#"rate({a="b"} | distinct x [1m])"#,
        r#"{a="b"} | distinct x | json"#,
        r#"{a="b"} | distinct"#,
    ]);
}

#[test]
fn errors_name_what_is_beyond_the_limits() {
    let query = r#"count_over_time({a="b"}[5m] @ 5)"#;
    assert!(parse(query).unwrap_err().message.contains("seconds since the epoch"));
    let query = r#"rate(vector(1)[5m:])"#;
    assert!(parse(query).unwrap_err().message.contains("rate_counter"));
}
