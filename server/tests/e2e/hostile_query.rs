//! Queries that ask for too much of data that exist: each is refused with a reason, and the server goes on as before.

use futures_util::future::join_all;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{now_ms, skald};

const N_SERIES: usize = 3000;
const SAMPLES: &str = "too many samples";
const MEMORY: &str = "max_query_memory";
const MATCHING: &str = "many-to-many matching not allowed";

async fn server() -> Server {
    let server = skald()
        .set("limits.max_samples_per_query", "100000")
        .set("limits.max_query_memory", "8MiB")
        .set("limits.max_concurrent_queries", "2")
        .set("limits.max_outstanding_requests_per_tenant", "4")
        .start()
        .await;
    let t = now_ms() - 1000;
    let pad = "p".repeat(50);
    let numbers: Vec<String> = (0..N_SERIES).map(|i| i.to_string()).collect();
    let series = numbers.iter().map(|i| {
        payload::series(&[("__name__", "h"), ("i", i), ("job", "j"), ("pad", &pad)], &[(t, 1.0)])
    });
    let body = payload::write_v1(series.collect());
    let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    server
}

async fn lives(client: &Client) {
    let query = [("query", r#"count({__name__=~".+"})"#)];
    let found = client.get("/api/v1/query", &query).await.result();
    assert_eq!(found[0]["value"][1], N_SERIES.to_string());
}

async fn resident(client: &Client) -> f64 {
    let text = client.get("/metrics", &[]).await.text();
    let line = text.lines().find(|l| l.starts_with("process_resident_memory_bytes ")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// `query` in `n` calls, each of which makes the label four times as long.
fn nested(n: usize, before: &str, after: &str) -> String {
    format!("{}h{}", before.repeat(n), after.repeat(n))
}

async fn refused(client: &Client, path: &str, params: &[(&str, &str)], status: u16, why: &str) {
    let shown: String = params[0].1.chars().take(60).collect();
    let reply = client.post_form(path, params).await;
    assert_eq!(reply.status, status, "{shown}: {}", reply.text());
    let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(why), "{shown}: {error}");
    // Errors of regular expressions quote them whole, as those of Prometheus do.
    assert!(error.len() < params[0].1.len() + 4096, "{shown}: the reason is longer than the query");
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_queries_are_refused_within_their_memory() {
    let server = server().await;
    let client = &server.client;
    lives(client).await;
    let before = resident(client).await;
    let replaced = nested(14, "label_replace(", r#", "pad", "${1}${1}${1}${1}", "pad", "(.*)")"#);
    let joined = nested(14, "label_join(", r#", "pad", "", "pad", "pad", "pad", "pad")"#);
    let long = format!(r#"label_replace(h, "l", "{}", "pad", "(.*)")"#, "$1".repeat(20_000));
    let names = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("x{i}.*y")).collect();
        format!(r#"{{__name__=~"{}"}}"#, list.join("|"))
    };
    let (many, too_long) = (names(30_000), names(100_000));
    let cases = [
        ("x[10y:1ms]", 422, SAMPLES),
        ("h[1h:1ms]", 422, SAMPLES),
        ("count_over_time(h[10y:1s])", 422, SAMPLES),
        ("count_over_time(vector(1)[10y:1ms])", 422, SAMPLES),
        ("h * on() group_left h", 422, MATCHING),
        ("h * on(job) h", 422, MATCHING),
        ("h * on(job) group_right h", 422, MATCHING),
        (&replaced, 422, MEMORY),
        (&joined, 422, MEMORY),
        (&long, 422, MEMORY),
        (&many, 400, "expression too large"),
        (&too_long, 413, "request body exceeds 1048576 bytes"),
    ];
    for (query, status, why) in cases {
        refused(client, "/api/v1/query", &[("query", query)], status, why).await;
    }
    let end = now_ms() / 1000;
    let (end, start) = (end.to_string(), (end - 10_000).to_string());
    let over_time = |query| [("query", query), ("start", &*start), ("end", &*end), ("step", "1")];
    for query in [r#"{__name__=~".+"}"#, "h + h"] {
        refused(client, "/api/v1/query_range", &over_time(query), 422, SAMPLES).await;
    }
    // What aggregates series as they come holds none of them.
    let counted = over_time(r#"count_values("v", h + time())"#);
    assert_eq!(client.get("/api/v1/query_range", &counted).await.status, 200);
    let grown = resident(client).await - before;
    assert!(grown < f64::from(256 << 20), "memory grew by {grown} bytes");
    lives(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_and_clients_that_leave_harm_nobody() {
    let server = server().await;
    let client = &server.client;
    let request = "GET /api/v1/query?query=count(h%20*%20on(i)%20h) HTTP/1.1\r\nhost: x\r\n";
    // Half a request that stays open, and whole ones whose sender leaves at once.
    let mut slow = TcpStream::connect(&server.http).await.unwrap();
    slow.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..20 {
        let mut gone = TcpStream::connect(&server.http).await.unwrap();
        gone.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    }
    let params = [("query", "count(h * on(i) h)")];
    let replies = join_all((0..50).map(|_| client.get("/api/v1/query", &params))).await;
    for reply in &replies {
        match reply.status.as_u16() {
            200 => assert_eq!(reply.result()[0]["value"][1], N_SERIES.to_string()),
            429 => assert!(reply.text().contains("max_outstanding_requests_per_tenant")),
            _ => panic!("{} {}", reply.status, reply.text()),
        }
    }
    // Places of those that left are free again.
    skald_testkit::until("a query is let in", || {
        let client = client.clone();
        async move { (client.get("/api/v1/query", &params).await.status == 200).then_some(()) }
    })
    .await;
    lives(client).await;
}
