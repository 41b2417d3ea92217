//! What queries within queries may cost.

use skald_model::Labels;
use skald_vector::{CancelFlag, Column, Grid, Matrix};

use super::{Memory, S, T0, instant, instant_with, lines, one, range_params, stream};
use crate::ast::Expr;
use crate::engine::algebra::Run;
use crate::engine::shift::Place;
use crate::engine::{Engine, EngineOptions, Steps};
use crate::error::QueryError;
use crate::source::Direction;

fn small() -> Engine {
    Engine::new(EngineOptions { max_samples: 1_000, ..EngineOptions::default() })
}

/// What a query over an hour in 61 steps answers, which is an error.
async fn refused(source: &Memory, query: &str) -> String {
    let params = range_params(query, Direction::Forward, 1);
    small().query_range(source, &params).await.unwrap_err().to_string()
}

fn many(n: usize) -> Memory {
    let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let stream = |n: &String| stream(&[("app", "a"), ("n", n)], &[(-25, "x")]);
    Memory { streams: names.iter().map(stream).collect(), ..Memory::default() }
}

#[tokio::test]
async fn steps_of_subqueries_are_counted_before_anything_is_read() {
    let source = one(&[(0, "a")]);
    for query in [
        r#"max_over_time(sum(count_over_time({app="a"}[1m]))[10y:1ms])"#,
        r#"count_over_time({app="a"}[1m]) + max_over_time(count_over_time({app="a"}[1m])[10y:1s])"#,
        r#"max_over_time(max_over_time(count_over_time({app="a"}[1m])[1d:1s])[1d:1s])"#,
        r#"absent(sum_over_time(abs(vector(scalar(max_over_time(vector(1)[10y:1ms]))))[1h:1m]))"#,
    ] {
        let err = instant(&source, query).await;
        assert!(err.contains("more than 110000"), "{query}: {err}");
    }
    assert!(source.asked.lock().is_empty());
}

#[tokio::test]
async fn windows_of_a_subquery_are_asked_for_in_bounded_pieces() {
    let source = one(&[(-3 * 7_200, "a"), (-1_700, "b")]);
    let query = r#"sum_over_time(count_over_time({app="a"}[30m])[10y:2h])"#;
    // The step before `T0` is 800 s earlier, on a full hour of even number.
    assert_eq!(instant(&source, query).await, r#"{app="a"} 1"#);
    let n = source.asked.lock().len();
    assert!((5_000..=11_001).contains(&n), "{n}");
}

#[tokio::test]
async fn values_of_operations_are_counted_before_they_are_made() {
    let source = many(20);
    let count = r#"count_over_time({app="a"}[1m])"#;
    for (query, want) in [
        (
            r#"sum_over_time(count_values("v", vector(time()))[50m:1m])"#.to_owned(),
            "too many values",
        ),
        (r#"count_over_time({app="a"}[1m] @ start())"#.to_owned(), "makes 1220 values"),
        (format!("max_over_time({count}[2m:1m] @ start())"), "makes 1220 values"),
    ] {
        let err = refused(&source, &query).await;
        assert!(err.contains(want) && err.contains("max_samples"), "{query}: {err}");
    }
}

#[tokio::test]
async fn values_that_wait_for_others_are_counted() {
    let flat = vec!["time()"; 20].join(" + ");
    let params = range_params(&flat, Direction::Forward, 1);
    assert!(small().query_range(&one(&[]), &params).await.is_ok());
    let mut nested = "time()".to_owned();
    for _ in 1..20 {
        nested = format!("time() + ({nested})");
    }
    let err = refused(&one(&[]), &nested).await;
    assert!(err.contains("more than 1000 (limit max_samples)"), "{err}");
    assert!(instant_with(&small(), &one(&[]), &nested).await.is_ok());
}

#[tokio::test]
async fn labels_of_all_calls_are_counted_together() {
    let mut half = r#"label_replace(vector(1), "d", "01234567", "", "")"#.to_owned();
    for _ in 0..22 {
        half = format!(r#"label_join({half}, "d", "", "d", "d")"#);
    }
    let one_of_them = instant(&one(&[]), &format!("count({half})")).await;
    assert_eq!(one_of_them, "{} 1");
    let err = instant(&one(&[]), &format!("count({half} or {half})")).await;
    assert!(err.contains("bytes in all calls and series together"), "{err}");
}

#[test]
fn overlapping_windows_can_be_cancelled_on_the_way() {
    let query = "quantile_over_time(0.5, vector(1)[1000m:1m])";
    let Expr::Metric(expr) = crate::parse(query).unwrap() else { panic!() };
    let place = Place::top(Steps::new(T0, T0 + 1_000 * 60 * S, 60 * S).unwrap());
    let run = |polls| {
        let flag = CancelFlag::after(polls);
        let out = Run::new(Vec::new(), flag.clone(), usize::MAX).evaluate(&expr, place);
        (out, polls - flag.polls_left())
    };
    let (out, polls) = run(1_000);
    assert!(out.is_ok());
    assert!(polls > 12, "{polls} polls for a million values");
    assert!(matches!(run(12).0, Err(QueryError::Cancelled)));
}

#[test]
fn a_subquery_of_too_many_values_is_not_begun() {
    let query = r#"max_over_time(rate({a="b"}[1m])[2m:1m] @ start())"#;
    let Expr::Metric(expr) = crate::parse(query).unwrap() else { panic!() };
    let place = Place::top(Steps::new(T0, T0 + 60 * 60 * S, 60 * S).unwrap());
    let grid = Grid { start_ms: 0, step_ms: 60_000, n: 2 };
    let column = || Column::full(Labels::empty(), vec![1.0; 2]);
    let leaf = Matrix { grid, columns: (0..20).map(|_| column()).collect() };
    let flag = CancelFlag::after(100);
    let out = Run::new(vec![leaf], flag.clone(), 1_000).evaluate(&expr, place);
    assert!(matches!(out, Err(QueryError::Limit(_))));
    assert!(flag.polls_left() >= 98, "{}", flag.polls_left());
}

#[tokio::test]
async fn slices_do_not_grow_where_distinct_leaves_little_of_much() {
    let dense: Vec<(i64, &str)> = (0..150_000).map(|i| (i / 1_500, "x")).collect();
    let source = one(&dense);
    let params = range_params(r#"{app="a"} | distinct app"#, Direction::Forward, 10);
    assert_eq!(lines(&source, &params).await, ["x"]);
    let asked = source.asked.lock();
    let width = |i: usize| asked[i].end - asked[i].start;
    assert_eq!(width(0), width(1));
    assert!(width(2) < width(3));
}
