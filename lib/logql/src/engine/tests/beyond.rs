//! What PromQL has and Loki has not.

use super::{S, T0, instant, lines, one, range_params, stream};
use crate::engine::Engine;
use crate::result::Value;
use crate::source::Direction;

#[tokio::test]
async fn at_looks_at_one_time_from_all_steps() {
    let source = one(&[(-30, "a"), (-10, "b"), (3000, "c")]);
    let query = r#"count_over_time({app="a"}[1m] @ 1700000000)"#;
    let out = Engine::default()
        .query_range(&source, &range_params(query, Direction::Forward, 1))
        .await
        .unwrap();
    let Value::Matrix(series) = out.value else { panic!() };
    assert_eq!(series[0].points.len(), 61);
    assert!(series[0].points.iter().all(|p| p.1.to_bits() == 2.0f64.to_bits()));
    assert_eq!(
        instant(&source, r#"sum(count_over_time({app="a"}[1m] @ end() offset 15s))"#).await,
        "{} 1"
    );
    assert_eq!(
        instant(&source, r#"count_over_time({app="a"}[1m] @ 1700003000)"#).await,
        r#"{app="a"} 1"#
    );
    assert_eq!(instant(&source, r#"count_over_time({app="a"}[1m] @ 1600000000)"#).await, "");
}

#[tokio::test]
async fn subqueries_are_evaluated_at_multiples_of_their_step() {
    // T0 is 20 s after a full minute: the steps before it are at -20 s and -80 s.
    let source = one(&[(-25, "a"), (-21, "b"), (-81, "c"), (-5, "d")]);
    let inner = r#"count_over_time({app="a"}[30s])"#;
    let at = async |query: &str| instant(&source, query).await;
    assert_eq!(at(&format!("max_over_time({inner}[2m:1m])")).await, r#"{app="a"} 2"#);
    assert_eq!(at(&format!("min_over_time({inner}[2m:])")).await, r#"{app="a"} 1"#);
    assert_eq!(at(&format!("count_over_time({inner}[2m:1m])")).await, r#"{app="a"} 2"#);
    assert_eq!(at(&format!("sum_over_time(sum({inner})[2m:1m] offset 1m)")).await, "{} 1");
    assert_eq!(at(&format!("absent_over_time({inner}[2m:1m] offset 1h)")).await, "{} 1");
    assert_eq!(
        at(&format!("max_over_time(sum_over_time({inner}[2m:1m])[3m:1m] @ 1700000000)")).await,
        r#"{app="a"} 3"#
    );
    let err = at(&format!("max_over_time({inner}[10y:1s])")).await;
    assert!(err.contains("more than 110000"), "{err}");
}

#[tokio::test]
async fn functions_of_vectors_are_those_of_promql() {
    let source = super::Memory {
        streams: vec![
            stream(&[("app", "a"), ("n", "10")], &[(-5, "x"), (-4, "y")]),
            stream(&[("app", "a"), ("n", "9")], &[(-3, "z")]),
        ],
        ..super::Memory::default()
    };
    let count = r#"count_over_time({app="a"}[1m])"#;
    let both = |a: &str, b: &str| format!(r#"{{app="a", n="10"}} {a}; {{app="a", n="9"}} {b}"#);
    for (query, want) in [
        (format!("-{count}"), both("-2", "-1")),
        (format!("abs(-{count}) * 2"), both("4", "2")),
        (format!("clamp({count}, 1.5, 9)"), both("2", "1.5")),
        (format!("clamp_min({count}, 3)"), both("3", "3")),
        (format!("clamp_max({count}, 1)"), both("1", "1")),
        (format!("round({count} / 4, 0.5)"), both("0.5", "0.5")),
        (format!("timestamp({count})"), both("1700000000", "1700000000")),
        (format!("{count} + hour()"), String::new()),
        (format!("quantile(0.5, {count})"), "{} 1.5".to_owned()),
        (format!("group by (app) ({count})"), r#"{app="a"} 1"#.to_owned()),
        (format!(r#"count_values("v", {count})"#), r#"{v="1"} 1; {v="2"} 1"#.to_owned()),
        (format!("absent({count})"), String::new()),
        (r#"absent(rate({app="b"}[1m]))"#.to_owned(), r#"{app="b"} 1"#.to_owned()),
        (format!("scalar(sum({count}))"), "3".to_owned()),
        (format!("vector(scalar({count}))"), "{} NaN".to_owned()),
        ("time() - 1".to_owned(), "1699999999".to_owned()),
        ("hour()".to_owned(), "{} 22".to_owned()),
        (
            format!(r#"label_join(sum by (app, n) ({count}), "j", "-", "app", "n")"#),
            r#"{app="a", j="a-10", n="10"} 2; {app="a", j="a-9", n="9"} 1"#.to_owned(),
        ),
        (
            format!(r#"sort_by_label({count}, "n")"#),
            r#"{app="a", n="9"} 1; {app="a", n="10"} 2"#.to_owned(),
        ),
    ] {
        assert_eq!(instant(&source, &query).await, want, "{query}");
    }
}

#[tokio::test]
async fn quantiles_are_those_of_counts_by_bound() {
    let lines = [
        (-5, "le=1 n=2 job=a"),
        (-4, "le=2 n=6 job=a"),
        (-3, "le=+Inf n=8 job=a"),
        (-2, "le=1 n=1 job=b"),
        (-2, "le=high n=1 job=a"),
        (-2, "n=1 job=a"),
    ];
    let source = one(&lines);
    let counts = r#"sum by (le, job) (sum_over_time({app="a"} | logfmt | unwrap n [1m]))"#;
    for (query, want) in [
        (format!("histogram_quantile(0.5, {counts})"), r#"{job="a"} 1.5; {job="b"} NaN"#),
        (
            format!("histogram_quantile(scalar(vector(2)), {counts})"),
            r#"{job="a"} inf; {job="b"} inf"#,
        ),
        (format!("histogram_fraction(0, 1, {counts})"), r#"{job="a"} 0.25; {job="b"} NaN"#),
        (r#"histogram_quantile(0.5, vector(1))"#.to_owned(), ""),
    ] {
        assert_eq!(instant(&source, &query).await, want, "{query}");
    }
    let err = instant(&source, r#"histogram_quantile(vector(1), 2)"#).await;
    assert!(err.contains("histogram_quantile needs a number here"), "{err}");
}

#[tokio::test]
async fn distinct_keeps_the_first_line_of_its_kind() {
    let source = one(&[(1, "l=a n=1"), (2, "l=b n=2"), (2000, "l=a n=3"), (3000, "l=c n=4")]);
    let query = r#"{app="a"} | logfmt | distinct l"#;
    let forward = lines(&source, &range_params(query, Direction::Forward, 10)).await;
    assert_eq!(forward, ["l=a n=1", "l=b n=2", "l=c n=4"]);
    let mut backward = lines(&source, &range_params(query, Direction::Backward, 2)).await;
    backward.sort();
    assert_eq!(backward, ["l=a n=3", "l=c n=4"]);
    assert_eq!(T0 % S, 0);
}

#[tokio::test]
async fn joined_labels_do_not_grow_without_bound() {
    let mut query = r#"label_replace(vector(1), "d", "0123456789abcdef", "", "")"#.to_owned();
    for _ in 0..40 {
        query = format!(r#"label_join({query}, "d", "", "d", "d")"#);
    }
    let err = instant(&one(&[]), &query).await;
    assert!(err.contains("label_join() makes values of more than"), "{err}");
}
