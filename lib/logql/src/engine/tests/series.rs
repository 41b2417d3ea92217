//! Which labels series have, and in what order they come.

use super::{instant, one};

#[tokio::test]
async fn labels_that_are_made_anew_are_not_empty() {
    let source = one(&[(-2, "a= b=1"), (-1, "b=1"), (0, "a=x b=2")]);
    let logs = r#"{app="a"} | logfmt --keep-empty | drop app [1m]"#;
    let ask = async |query: &str| instant(&source, &query.replace("LOGS", logs)).await;
    let counted = ask("count_over_time(LOGS)").await;
    assert_eq!(counted, r#"{a="", b="1"} 1; {a="x", b="2"} 1; {b="1"} 1"#);
    assert_eq!(ask("max by (a) (count_over_time(LOGS))").await, r#"{} 1; {a=""} 1; {a="x"} 1"#);
    assert_eq!(ask("max without (b) (count_over_time(LOGS))").await, r#"{} 1; {a="x"} 1"#);
    assert_eq!(ask("sum without (b) (count_over_time(LOGS))").await, r#"{} 2; {a="x"} 1"#);
    assert_eq!(ask("topk without (b) (9, count_over_time(LOGS))").await, counted);
    assert_eq!(ask("count_over_time(LOGS) * 1").await, counted);
    let replaced = r#"label_replace(count_over_time({app="a"} |= "a= " | logfmt --keep-empty | drop app [1m]), "new", "", "b", "1")"#;
    assert_eq!(ask(replaced).await, r#"{b="1"} 1"#);
}

#[tokio::test]
async fn what_two_vectors_make_has_no_empty_labels() {
    let source = one(&[(-1, "a= b=1"), (0, "a=x b=2")]);
    let logs = r#"count_over_time({app="a"} | logfmt --keep-empty | drop app [1m])"#;
    let ask = async |query: &str| instant(&source, &query.replace("LOGS", logs)).await;
    let made = r#"{a="x", b="2"} 2; {b="1"} 2"#;
    assert_eq!(ask("LOGS + LOGS").await, made);
    let twins = one(&[(-1, "a= b=1"), (0, "b=1")]);
    let both = instant(&twins, &format!("{logs} or vector(1)")).await;
    assert_eq!(both, r#"{} 1; {a="", b="1"} 1; {b="1"} 1"#);
    assert_eq!(ask("LOGS and LOGS").await, r#"{a="", b="1"} 1; {a="x", b="2"} 1"#);
    let bare = r#"sum by (b) (count_over_time({app="a"} | logfmt [1m]))"#;
    assert_eq!(ask(&format!("LOGS and {bare}")).await, r#"{a="", b="1"} 1"#);
    assert_eq!(ask(&format!("LOGS unless {bare}")).await, r#"{a="x", b="2"} 1"#);
    assert_eq!(ask(&format!("{bare} or LOGS")).await, r#"{a="x", b="2"} 1; {b="1"} 1; {b="2"} 1"#);
}

#[tokio::test]
async fn other_labels_leave_the_order_of_values() {
    let source = one(&[(-3, "l=a"), (-2, "l=b"), (-1, "l=b"), (0, "l=c")]);
    let query = r#"label_replace(sort_desc(sum by (l) (count_over_time({app="a"} | logfmt [1m]))), "m", "$1", "l", "([bc])")"#;
    let want = r#"{l="b", m="b"} 2; {l="a"} 1; {l="c", m="c"} 1"#;
    assert_eq!(instant(&source, query).await, want);
}

#[tokio::test]
async fn series_by_their_errors_have_no_details() {
    let source = one(&[(-1, "x"), (0, "{}")]);
    let query = r#"sum by (__error__) (count_over_time({app="a"} | json [1m]))"#;
    assert_eq!(instant(&source, query).await, r#"{} 1; {__error__="JSONParserErr"} 1"#);
}

#[tokio::test]
async fn lines_that_nobody_looks_at_are_not_made() {
    let source = one(&[(0, "a=1")]);
    let ask = async |stages: &str| {
        let query =
            format!(r#"count_over_time({{app="a"}} | logfmt {stages} | __error__="" [1m])"#);
        instant(&source, &query).await
    };
    let fails = r#"| line_format "{{ div 1 0 }}""#;
    assert_eq!(ask(&format!("{fails} | label_format b=a")).await, r#"{app="a", b="1"} 1"#);
    assert_eq!(ask(&format!(r#"{fails} | label_format b="{{{{ __line__ }}}}""#)).await, "");
    assert_eq!(ask(&format!(r#"{fails} |= "a""#)).await, "");
}

#[tokio::test]
async fn errors_that_a_filter_names_count_where_labels_are_listed() {
    let source = one(&[(-1, "x v=1"), (0, "x v=2")]);
    let logs = r#"{app="a"} | __error__!="LogfmtParserErr" | json"#;
    let ask = async |query: &str| instant(&source, &query.replace("LOGS", logs)).await;
    assert_eq!(ask("sum by (app) (count_over_time(LOGS [1m]))").await, r#"{app="a"} 2"#);
    assert_eq!(ask("absent_over_time(LOGS [1m])").await, "");
    assert!(ask("max(count_over_time(LOGS [1m]))").await.contains("pipeline error"));
    let kept = ask("count_over_time(LOGS | drop __error__ [1m])").await;
    assert!(kept.contains("__error_details__"), "{kept}");
    let summed = ask("sum_over_time(LOGS | drop __error__ | logfmt | unwrap v [1m])").await;
    assert_eq!(summed, r#"{app="a"} 3"#);
}

#[tokio::test]
async fn parsers_rest_when_all_that_is_listed_was_found() {
    let source = one(&[(-1, "v=1"), (0, "v=2")]);
    let ask = async |query: &str| instant(&source, query).await;
    let found = ask(r#"max_over_time({app="a"} | logfmt | json | unwrap v [1m]) by ()"#).await;
    assert_eq!(found, "{} 2");
    let sought = ask(r#"max_over_time({app="a"} | logfmt | json | unwrap v [1m]) by (w)"#).await;
    assert!(sought.contains("pipeline error"), "{sought}");
    let kept = r#"sum_over_time({app="a"} | logfmt | label_format __preserve_error__="true", v="x" | unwrap v [1m])"#;
    assert!(ask(kept).await.contains(r#"v="x""#));
}
