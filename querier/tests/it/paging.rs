//! Paging through lines with a cursor: every line once, whatever their times, and answers in pieces.

use std::collections::BTreeSet;

use serde_json::Value;
use skald_model::TenantId;

use crate::world::{World, at, stream};

/// Many lines with equal times in several streams, in heads and in a block.
async fn world() -> World {
    let world = World::single();
    let t = TenantId::single();
    let text = |s: i64, n: usize| format!("line {s} {n}");
    let lines = |app: &str, from: usize, to: usize| {
        let texts: Vec<(i64, String)> =
            (1..6).flat_map(|s| (from..to).map(move |n| (s, text(s, n)))).collect();
        let lines: Vec<(i64, &str)> = texts.iter().map(|(s, l)| (*s, l.as_str())).collect();
        stream(&[("app", "x"), ("pod", app)], &lines)
    };
    world.commit_streams(&t, &[lines("a", 0, 20), lines("b", 0, 7)]).await;
    world.ingester().put(&t, |r| r.streams.extend([lines("a", 15, 30), lines("c", 0, 1)]));
    world
}

/// Each line with its stream, in the order of the answer.
fn lines(data: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for s in data["result"].as_array().unwrap() {
        let pod = s["stream"]["pod"].as_str().unwrap();
        for v in s["values"].as_array().unwrap() {
            all.push(format!("{} {pod} {}", v[0].as_str().unwrap(), v[1].as_str().unwrap()));
        }
    }
    all
}

#[tokio::test]
async fn pages_have_every_line_once_though_times_are_equal() {
    let world = world().await;
    let n_lines = 5 * (30 + 7 + 1);
    for direction in ["forward", "backward"] {
        for limit in ["5", "38", "100", "189", "190", "500"] {
            let mut seen = BTreeSet::new();
            let (mut cursor, mut n, mut last) = (String::new(), 0, None);
            loop {
                let (start, end) = (at(0), at(100));
                let params = [
                    ("query", r#"{app="x"}"#),
                    ("start", start.as_str()),
                    ("end", end.as_str()),
                    ("limit", limit),
                    ("direction", direction),
                    ("cursor", cursor.as_str()),
                ];
                let reply = world.get("/loki/api/v1/query_range", &params).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                let data = reply.data();
                let page = lines(&data);
                let max = limit.parse::<usize>().unwrap();
                assert!(page.len() <= max && !page.is_empty(), "{} of {max}", page.len());
                n += page.len();
                let (oldest, newest) = (
                    page.iter().min().unwrap()[..19].to_owned(),
                    page.iter().max().unwrap()[..19].to_owned(),
                );
                let (first, end) =
                    if direction == "forward" { (oldest, newest) } else { (newest, oldest) };
                if let Some(last) = last {
                    assert!(if direction == "forward" { first >= last } else { first <= last });
                }
                last = Some(end);
                seen.extend(page);
                match data["nextCursor"].as_str() {
                    Some(next) => {
                        assert_eq!(lines(&data).len(), max, "only a full page has a next");
                        cursor = next.to_owned();
                    }
                    None => break,
                }
            }
            assert_eq!((n, seen.len()), (n_lines, n_lines), "{direction} {limit}");
        }
    }
}

#[tokio::test]
async fn nobody_sees_a_cursor_who_did_not_ask() {
    let world = world().await;
    let (start, end) = (at(0), at(100));
    let params = [("query", r#"{app="x"}"#), ("start", &*start), ("end", &*end), ("limit", "3")];
    let reply = world.get("/loki/api/v1/query_range", &params).await;
    assert!(reply.data().get("nextCursor").is_none());
}

#[tokio::test]
async fn large_log_answers_are_sent_in_pieces() {
    let world = World::single();
    let line = "x".repeat(1000);
    let lines: Vec<(i64, &str)> = (0..3000).map(|s| (s, line.as_str())).collect();
    world
        .commit_streams(&TenantId::single(), &[stream(&[("app", "x"), ("pod", "p")], &lines)])
        .await;
    let uri = format!(
        "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D&limit=5000&start={}&end={}",
        at(0),
        at(4000)
    );
    let mut request = http::Request::get(uri).body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(TenantId::single());
    let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let (mut all, mut n) = (Vec::new(), 0);
    while let Some(piece) = futures_util::StreamExt::next(&mut body).await {
        let piece = piece.unwrap();
        assert!(piece.len() < 80 << 10, "{}", piece.len());
        all.extend_from_slice(&piece);
        n += 1;
    }
    assert!(n > 20, "{n}");
    let reply: Value = serde_json::from_slice(&all).unwrap();
    assert_eq!(reply["data"]["result"][0]["values"].as_array().unwrap().len(), 3000);
    assert!(reply["data"]["stats"]["summary"]["totalLinesProcessed"].is_number());
}
