//! Lines around a line, and scrolling on: both ask again from a time that they have seen.

use serde_json::json;

use super::{BASE_S, Grafana, NS, ns, rows};

const BURST: &str = r#"{app="burst"}"#;

/// One line before, five of one nanosecond, one after.
async fn burst(grafana: &Grafana) {
    let mut values = vec![json!([ns(100), "before"])];
    values.extend((0..5).map(|i| json!([ns(200), format!("equal {i}")])));
    values.push(json!([ns(300), "after"]));
    let stream = json!({ "stream": { "app": "burst" }, "values": values });
    grafana.push(&stream).await;
}

fn lines(rows: Vec<(i64, String)>) -> Vec<String> {
    rows.into_iter().map(|(_, line)| line).collect()
}

const EQUAL: [&str; 5] = ["equal 0", "equal 1", "equal 2", "equal 3", "equal 4"];

/// The two requests of "show context": two hours from the line, its own time included forward only.
#[tokio::test(flavor = "multi_thread")]
async fn the_context_of_a_line_comes_in_both_directions() {
    let grafana = Grafana::start().await;
    burst(&grafana).await;
    for when in ["in the head", "in a block"] {
        let (at, far) = (ns(200), ns(200 + 7200));
        let more = [("direction", "forward"), ("limit", "100"), ("start", &at), ("end", &far)];
        let after = lines(rows(&grafana.range(BURST, &more, "logsample").await));
        // Those of the same time in the order they were written: Grafana drops what it shows already.
        assert_eq!(after, [&EQUAL[..], &["after"]].concat(), "{when}");
        let far = ns(200 - 7200);
        let more = [("direction", "backward"), ("limit", "100"), ("start", &far), ("end", &at)];
        let before = lines(rows(&grafana.range(BURST, &more, "logsample").await));
        assert_eq!(before, ["before"], "{when}");
        // Both directions tell the same story.
        let all = [("direction", "forward"), ("limit", "100")];
        let mut forward = lines(rows(&grafana.range(BURST, &all, "logsample").await));
        let all = [("direction", "backward"), ("limit", "100")];
        let backward = lines(rows(&grafana.range(BURST, &all, "logsample").await));
        forward.reverse();
        assert_eq!(forward, backward, "{when}");
        assert!(grafana.client.post("/flush", &[], "").await.status.is_success());
    }
}

/// The next page ends at the last time shown; its lines come again where the page asks for them, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn scrolling_on_loses_no_line() {
    let grafana = Grafana::start().await;
    let mut seen = Vec::new();
    let mut end = super::END.to_owned();
    loop {
        let more = [("limit", "7"), ("end", end.as_str())];
        let page = rows(&grafana.range(super::CHECKOUT, &more, "infinitescroll").await);
        assert!(page.windows(2).all(|w| w[0].0 >= w[1].0), "newest first");
        let Some((last, _)) = page.last() else { break };
        end = last.to_string();
        seen.extend(page);
    }
    let times: Vec<i64> = seen.iter().map(|(t, _)| *t).collect();
    let expected: Vec<i64> = (0..60).rev().map(|i| (BASE_S + i * 10) * NS).collect();
    assert_eq!(times, expected);
}

/// Bursts of one time that are larger than a page: Grafana alone would lose some, a cursor does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_pages_through_equal_times() {
    let grafana = Grafana::start().await;
    burst(&grafana).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let more = [("limit", "2"), ("cursor", cursor.as_str())];
        let reply = grafana.range(BURST, &more, "infinitescroll").await;
        seen.extend(lines(rows(&reply)));
        match reply.json()["data"]["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, [&["after", "before"], &EQUAL[..]].concat());
}
