//! Exports: every line once, oldest first, in both forms, and what they refuse.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skald_limits::Limits;
use skald_model::{Labels, TenantId};
use skald_runtime::ByteSize;

use crate::world::{BASE_NS, Refusal, Reply, World, at, stream, tenant};

const APP: (&str, &str) = ("query", r#"{app="x"}"#);

/// Equal times in several streams, in heads and in two blocks, some lines twice.
async fn world(limits: Limits) -> World {
    let world = World::new(1, 1, limits);
    let t = TenantId::single();
    let lines = |pod: &str, from: usize, to: usize| {
        let texts: Vec<(i64, String)> = (0..6)
            .flat_map(|s| (from..to).map(move |n| (s * 10, format!("s={s} n={n:03}"))))
            .collect();
        let lines: Vec<(i64, &str)> = texts.iter().map(|(s, l)| (*s, l.as_str())).collect();
        stream(&[("app", "x"), ("pod", pod)], &lines)
    };
    world.commit_streams(&t, &[lines("a", 0, 200), lines("b", 0, 70)]).await;
    world.commit_streams(&t, &[lines("a", 150, 250)]).await;
    world.ingester().put(&t, |r| r.streams.extend([lines("a", 240, 300), lines("c", 0, 1)]));
    world
}

const N_LINES: usize = 6 * (300 + 70 + 1);

async fn export(world: &World, params: &[(&str, &str)]) -> Reply {
    let (start, end) = (at(0), at(100));
    let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
    all.extend(params);
    world.get("/loki/api/v1/export", &all).await
}

fn rows(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    reply.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Time, pod and text.
fn key(row: &Value) -> (String, String, String) {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    (text(&row["timestamp"]), text(&row["labels"]["pod"]), text(&row["line"]))
}

#[tokio::test]
async fn every_line_comes_once_and_oldest_first() {
    let world = world(Limits::default()).await;
    let rows = rows(&export(&world, &[APP]).await);
    let keys: Vec<_> = rows.iter().map(key).collect();
    assert_eq!(keys.len(), N_LINES);
    let order = |k: &(String, String, String)| (k.0.clone(), k.1.clone());
    assert!(keys.windows(2).all(|w| order(&w[0]) <= order(&w[1])), "by time, then by stream");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), N_LINES);
    assert_eq!(keys[0].0, "2026-01-01T00:00:00.000000000Z");
}

#[tokio::test]
async fn a_line_has_its_labels_by_category() {
    let world = World::single();
    let mut s = stream(&[("app", "x")], &[(1, "level=<info> k=\"a b\"")]);
    s.entries[0].metadata = Labels::from_pairs([("trace", "t1")]);
    s.entries[0].timestamp_ns = BASE_NS + 1;
    world.ingester().put(&TenantId::single(), |r| r.streams.push(s));
    let query = ("query", r#"{app="x"} | logfmt | level != "" | line_format "{{.k}}""#);
    let rows = rows(&export(&world, &[query]).await);
    assert_eq!(
        rows,
        [json!({
            "timestamp": "2026-01-01T00:00:00.000000001Z",
            "line": "a b",
            "labels": {"app": "x"},
            "structured_metadata": {"trace": "t1"},
            "parsed": {"k": "a b", "level": "<info>"},
        })]
    );
    let none = ("query", r#"{app="x"} |= "none""#);
    let empty = export(&world, &[none]).await;
    assert_eq!((empty.status.as_u16(), empty.text()), (200, ""));
}

#[tokio::test]
async fn parquet_is_a_file_whatever_it_has() {
    let world = world(Limits::default()).await;
    for query in [APP.1, r#"{app="none"}"#] {
        let reply = export(&world, &[("query", query), ("format", "parquet")]).await;
        assert_eq!(reply.headers["content-type"], "application/vnd.apache.parquet");
        assert!(reply.headers.get("content-encoding").is_none());
        let file = &reply.body;
        assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"), "{} bytes", file.len());
    }
}

#[tokio::test]
async fn a_limit_ends_it_early() {
    let world = world(Limits::default()).await;
    let times = |rows: &[Value]| rows.iter().map(|r| key(r).0).collect::<Vec<_>>();
    let all = rows(&export(&world, &[APP]).await);
    for limit in [1, 370, 372, N_LINES, N_LINES + 5] {
        let text = limit.to_string();
        let some = rows(&export(&world, &[APP, ("limit", &text)]).await);
        assert_eq!(times(&some)[..], times(&all)[..limit.min(N_LINES)], "{limit}");
        assert_eq!(some.iter().map(key).collect::<BTreeSet<_>>().len(), some.len(), "{limit}");
    }
}

/// Far less memory than the lines take: parts get smaller until they fit.
#[tokio::test]
async fn an_export_needs_less_memory_than_its_lines_take() {
    let text = "x".repeat(1000);
    let lines: Vec<(i64, &str)> = (0..5_000).map(|s| (s / 4, text.as_str())).collect();
    let mut big = stream(&[("app", "x"), ("pod", "p")], &lines);
    for (i, e) in big.entries.iter_mut().enumerate() {
        e.line = format!("{i:05} {text}").into();
    }
    let limits = |bytes| Limits { max_query_memory: ByteSize(bytes), ..Limits::default() };
    let world = World::new(1, 1, limits(500 << 10));
    world.commit_streams(&TenantId::single(), std::slice::from_ref(&big)).await;
    let end = ("end", &*at(2000));
    let whole = [APP, ("start", &*at(0)), end, ("limit", "5000")];
    let refused = world.get("/loki/api/v1/query_range", &whole).await;
    assert!(refused.text().contains("max_query_memory"), "{}", refused.text());
    let params = [APP, ("start", &*at(0)), end];
    let rows = rows(&world.get("/loki/api/v1/export", &params).await);
    assert_eq!(rows.len(), 5_000);
    // So many of one time that no part is small enough.
    let world = World::new(1, 1, limits(100));
    world.commit_streams(&TenantId::single(), &[big]).await;
    let reply = world.get("/loki/api/v1/export", &params).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("max_query_memory"), "{}", reply.text());
}

/// What goes wrong behind the first piece must not look like an end.
#[tokio::test]
async fn a_failure_under_way_breaks_the_connection_off() {
    let text = "x".repeat(1000);
    let lines: Vec<(i64, &str)> = (0..1_000).map(|s| (s, text.as_str())).collect();
    let limits = Limits { max_query_memory: ByteSize(300 << 10), ..Limits::default() };
    let world = World::new(1, 1, limits);
    let t = TenantId::single();
    world.commit_streams(&t, &[stream(&[("app", "x")], &lines)]).await;
    let uri =
        format!("/loki/api/v1/export?query=%7Bapp%3D%22x%22%7D&start={}&end={}", at(0), at(9999));
    let mut request = http::Request::get(uri).body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(t.clone());
    let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body().into_data_stream();
    let first = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
    assert!(first.starts_with(b"{\"timestamp\""));
    world.lose_blocks(&t).await;
    let mut failed = false;
    while let Some(piece) = futures_util::StreamExt::next(&mut body).await {
        failed |= piece.is_err();
    }
    assert!(failed, "an end that is none");
}

#[tokio::test]
async fn deleted_lines_and_other_tenants_do_not_show() {
    let world = world(Limits::default()).await;
    let query = "%7Bapp%3D%22x%22%7D%20%7C%3D%20%22n%3D00%22";
    let uri = format!("/loki/api/v1/delete?query={query}&start={}&end={}", at(0), at(100));
    let request = http::Request::put(uri).body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(request, Some(&TenantId::single())).await.status, 204);
    let rows = rows(&export(&world, &[APP]).await);
    assert_eq!(rows.len(), N_LINES - 6 * (10 + 10 + 1));
    assert!(rows.iter().all(|r| !r["line"].as_str().unwrap().contains("n=00")));
    let params = [APP, ("start", &*at(0)), ("end", &*at(100))];
    let other = world.get_as(&tenant("other"), "/loki/api/v1/export", &params).await;
    assert_eq!((other.status.as_u16(), other.text()), (200, ""));
    assert_eq!(world.post("/loki/api/v1/export", &params).await.status, 200);
}

#[tokio::test]
async fn refusals_come_before_the_first_byte() {
    let hour = skald_runtime::HumanDuration::from_secs(3600);
    let world = World::new(1, 1, Limits { max_query_length: hour, ..Limits::default() });
    let cases: &[Refusal<'_>] = &[
        ("export", &[], "parse error"),
        ("export", &[("query", "{")], "parse error"),
        ("export", &[("query", r#"rate({app="x"}[1m])"#)], "export needs a log query"),
        ("export", &[("query", r#"{app="x"} | distinct a"#)], "export takes no distinct"),
        ("export", &[APP, ("format", "csv")], "invalid format \"csv\"; it is ndjson or parquet"),
        ("export", &[APP, ("limit", "0")], "limit must be a positive value"),
        ("export", &[APP, ("direction", "backward")], "export is oldest first"),
        ("export", &[APP, ("start", "x")], "could not parse 'start'"),
        ("export", &[APP, ("start", "2"), ("end", "1")], "end timestamp must not be before"),
        (
            "export",
            &[APP, ("start", "0"), ("end", "4000")],
            "the query time range exceeds the limit",
        ),
    ];
    for (route, params, want) in cases {
        let reply = world.get(&format!("/loki/api/v1/{route}"), params).await;
        assert_eq!(reply.status, 400, "{params:?} {}", reply.text());
        assert!(reply.text().starts_with(want), "{params:?}: {}", reply.text());
    }
}
