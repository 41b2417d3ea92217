//! Lines with errors in metric queries: they fail the query unless it says what becomes of them.

use super::{instant, one};

#[tokio::test]
async fn a_filter_that_could_not_compare_fails_a_metric_query() {
    let source = one(&[(-2, "status=abc"), (-1, "status=503")]);
    let query = r#"max(count_over_time({app="a"} | logfmt | status>=500 [1m]))"#;
    let text = instant(&source, query).await;
    assert!(text.starts_with("pipeline error: 'LabelFilterErr' for series: '{"), "{text}");
    let query = r#"max(count_over_time({app="a"} | logfmt | status>=500 | __error__="" [1m]))"#;
    assert_eq!(instant(&source, query).await, "{} 1");
}

#[tokio::test]
async fn sizes_are_unwrapped_and_empty_values_are_no_samples() {
    let run = async |line: &str| {
        let query = r#"sum_over_time({app="a"} | logfmt --keep-empty | unwrap bytes(x) [1m])"#;
        instant(&one(&[(-1, line)]), query).await
    };
    assert_eq!(run("x=1.5KiB").await, r#"{app="a"} 1536"#);
    assert_eq!(run("x=5MB").await, r#"{app="a"} 5000000"#);
    assert_eq!(run("x=").await, "");
    assert_eq!(run("y=1").await, r#""#);
    assert!(run("x=x").await.starts_with("pipeline error: 'SampleExtractionErr'"));
}

#[tokio::test]
async fn errors_that_are_to_be_kept_are_series() {
    let source = one(&[(-2, "x=x"), (-1, "x=1")]);
    let kept = r#"sum_over_time({app="a"} | logfmt | unwrap x | label_format __preserve_error__="true" [1m])"#;
    assert!(instant(&source, kept).await.starts_with("parse error"), "only filters follow unwrap");
    let kept =
        r#"sum(count_over_time({app="a"} | json | label_format __preserve_error__="true" [1m]))"#;
    let text = instant(&source, kept).await;
    assert!(!text.starts_with("pipeline error"), "{text}");
    let grouped = r#"sum by (__error__) (count_over_time({app="a"} | json [1m]))"#;
    let text = instant(&source, grouped).await;
    assert!(text.starts_with(r#"{__error__="JSONParserErr""#) && text.ends_with(" 2"), "{text}");
}

#[tokio::test]
async fn an_error_survives_a_grouping_that_does_not_name_it() {
    let source = one(&[(-1, "x=x")]);
    let query = r#"sum by (app) (sum_over_time({app="a"} | logfmt | unwrap x [1m]))"#;
    let text = instant(&source, query).await;
    assert!(text.starts_with("pipeline error: 'SampleExtractionErr'"), "{text}");
}
