//! Hostile input over HTTP: a 4xx with a reason, and the server goes on as before.

use bytes::Bytes;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Reply};

use crate::{now_ms, skald};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn refused(reply: &Reply, what: &str) {
    assert!(reply.status.is_client_error(), "{what}: {} {}", reply.status, reply.text());
    assert!(!reply.body.is_empty(), "{what} gives a reason");
}

async fn resident(client: &Client) -> f64 {
    let text = client.get("/metrics", &[]).await.text();
    let line = text.lines().find(|l| l.starts_with("process_resident_memory_bytes ")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn bad_pushes(client: &Client) {
    let bomb = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x08]);
    for (what, body) in [
        ("random bytes", Bytes::from_static(b"\xde\xad\xbe\xef")),
        ("a snappy header of 2 GiB", bomb.clone()),
        ("snappy of no protobuf", snappy_bytes(b"\xff\xff\xff\xff")),
        ("a length beyond the end", snappy_bytes(b"\x0a\xff\xff\xff\xff\x07")),
    ] {
        refused(&client.post("/api/v1/push", &REMOTE_WRITE_V1, body.clone()).await, what);
        let proto = [("content-type", "application/x-protobuf")];
        refused(&client.post("/loki/api/v1/push", &proto, body).await, what);
    }
    let t = now_ms();
    for (what, labels) in [
        ("no name", vec![("job", "x")]),
        ("duplicate label", vec![("__name__", "a"), ("l", "1"), ("l", "2")]),
    ] {
        let body = payload::write_v1(vec![payload::series(&labels, &[(t, 1.0)])]);
        refused(&client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await, what);
    }
    let long = "x".repeat(5000);
    let body =
        payload::write_v1(vec![payload::series(&[("__name__", "a"), ("l", &long)], &[(t, 1.0)])]);
    let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    refused(&reply, "long value");
    assert!(
        reply.text().contains("err-skald-") && reply.text().contains("2048"),
        "{}",
        reply.text()
    );
    for body in [
        "",
        "{",
        "[]",
        r#"{"streams":[]}"#,
        r#"{"streams":[{"stream":{"a":1},"values":[]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["x","y"]]}]}"#,
    ] {
        refused(&client.post("/loki/api/v1/push", &JSON, body).await, body);
    }
    let deep = "[".repeat(100_000);
    refused(&client.post("/loki/api/v1/push", &JSON, deep).await, "deep JSON");
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "br")];
    assert_eq!(client.post("/api/v1/push", &headers, "x").await.status, 415);
    refused(&client.post("/loki/api/v1/push", &headers, "x").await, "unknown encoding");
}

fn snappy_bytes(raw: &[u8]) -> Bytes {
    snap::raw::Encoder::new().compress_vec(raw).unwrap().into()
}

async fn bad_queries(client: &Client) {
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let minuses = format!("{}1", "-".repeat(100_000));
    let sum = format!("a{}", "+a".repeat(100_000));
    let promql = [
        "foo[1e300]",
        "foo offset Inf",
        "sum(",
        "{}",
        "foo{a=~\"(\"}",
        "foo[5m",
        &nested,
        &minuses,
        &sum,
        "",
        "foo[0s]",
        "rate(foo)",
        "foo{__name__=\"bar\"}[5m:]]",
    ];
    for query in promql {
        let shown: String = query.chars().take(40).collect();
        let reply = client.post_form("/api/v1/query", &[("query", query)]).await;
        refused(&reply, &shown);
        assert_eq!(reply.json()["status"], "error", "{shown}");
    }
    let stages = format!("{{a=\"b\"}} {}", "| json ".repeat(20_000));
    for query in [
        "{",
        "{}",
        r#"{a=~".*"}"#,
        r#"{a="b"} | nosuch"#,
        r#"rate({a="b"})"#,
        &nested,
        &sum,
        &stages,
        r#"count_over_time({a="b"}[5x])"#,
    ] {
        let shown: String = query.chars().take(40).collect();
        let reply = client.post_form("/loki/api/v1/query_range", &[("query", query)]).await;
        refused(&reply, &shown);
    }
    let century = [("query", "up"), ("start", "0"), ("end", "3155760000"), ("step", "0.001")];
    let reply = client.get("/api/v1/query_range", &century).await;
    refused(&reply, "a century of milliseconds");
    assert!(reply.text().contains("11,000 points"), "{}", reply.text());
    for (path, params) in [
        ("/api/v1/query_range", [("query", "up"), ("start", "2"), ("end", "1"), ("step", "1")]),
        ("/api/v1/query_range", [("query", "up"), ("start", "1"), ("end", "2"), ("step", "0")]),
        ("/api/v1/query_range", [("query", "up"), ("start", "x"), ("end", "2"), ("step", "1")]),
        (
            "/loki/api/v1/query_range",
            [("query", "{a=\"b\"}"), ("start", "1"), ("end", "2"), ("limit", "-1")],
        ),
        (
            "/loki/api/v1/query_range",
            [("query", "{a=\"b\"}"), ("start", "1"), ("end", "2"), ("direction", "up")],
        ),
    ] {
        refused(&client.get(path, &params).await, &format!("{path} {params:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_is_refused_and_harms_nobody() {
    let server = skald().start().await;
    let client = &server.client;
    let t = now_ms() - 1000;
    let body = payload::write_v1(vec![payload::series(&[("__name__", "bystander")], &[(t, 1.0)])]);
    let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let before = resident(client).await;
    bad_pushes(client).await;
    bad_queries(client).await;
    let grown = resident(client).await - before;
    assert!(grown < f64::from(64 << 20), "memory grew by {grown} bytes");
    let found =
        client.get("/api/v1/query", &[("query", "count({__name__=~\".+\"})")]).await.result();
    assert_eq!(found[0]["value"][1], "1", "nothing of the refused was stored");
    // A valid series beside an invalid one in one request is stored.
    let good = payload::series(&[("__name__", "good")], &[(t, 1.0)]);
    let bad = payload::series(&[("job", "nameless")], &[(t, 1.0)]);
    let reply =
        client.post("/api/v1/push", &REMOTE_WRITE_V1, payload::write_v1(vec![good, bad])).await;
    refused(&reply, "a partial write");
    assert_eq!(client.get("/api/v1/query", &[("query", "good")]).await.result().len(), 1);
}
