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
}

#[tokio::test]
async fn what_two_vectors_make_has_no_empty_labels() {
    let source = one(&[(-1, "a= b=1"), (0, "a=x b=2")]);
    let logs = r#"count_over_time({app="a"} | logfmt --keep-empty | drop app [1m])"#;
    let ask = async |query: &str| instant(&source, &query.replace("LOGS", logs)).await;
    let made = r#"{a="x", b="2"} 2; {b="1"} 2"#;
    assert_eq!(ask("LOGS + LOGS").await, made);
    assert_eq!(ask("LOGS and LOGS").await, r#"{a="", b="1"} 1; {a="x", b="2"} 1"#);
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
