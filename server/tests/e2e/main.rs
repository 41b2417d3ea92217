//! The real binary as a child process: both signals in and out, crashes, tenants, bad input, a cluster, recorded answers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a broken assumption ends a test; tests talk to whoever reads them"
)]

mod bad_input;
mod chaos;
mod cluster;
mod crash;
mod deletes;
mod disk_cache;
mod documents;
mod etcd;
mod export;
mod grafana;
mod ha;
mod hostile_query;
mod logcli;
mod operations;
mod recorded;
mod roundtrip;
mod shippers;
mod starts;
mod tenancy;

use skald_testkit::{Client, ServerBuilder};

/// A builder for the binary under test.
fn skald() -> ServerBuilder {
    ServerBuilder::new(env!("CARGO_BIN_EXE_skald"))
}

/// Milliseconds since the epoch, now.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// All (ms, value) pairs of the one series that `query[range]` finds.
async fn samples(client: &Client, selector: &str, range: &str) -> Vec<(i64, String)> {
    let query = format!("{selector}[{range}]");
    let result = client.get("/api/v1/query", &[("query", &query)]).await.result();
    assert!(result.len() <= 1, "one series at most: {result:?}");
    let pairs = result.first().map(|s| s["values"].as_array().unwrap().clone());
    #[expect(clippy::cast_possible_truncation, reason = "millisecond times fit")]
    let pair = |p: serde_json::Value| {
        ((p[0].as_f64().unwrap() * 1000.0).round() as i64, p[1].as_str().unwrap().to_owned())
    };
    pairs.unwrap_or_default().into_iter().map(pair).collect()
}

/// All (ns, line) pairs that `query` finds in the last hour, oldest first.
async fn lines(client: &Client, query: &str) -> Vec<(i64, String)> {
    let start = (now_ms() - 3_600_000).to_string() + "000000";
    let params = [("query", query), ("start", &start), ("limit", "5000"), ("direction", "forward")];
    let result = client.get("/loki/api/v1/query_range", &params).await.result();
    let mut out: Vec<(i64, String)> = Vec::new();
    for stream in result {
        for v in stream["values"].as_array().unwrap() {
            out.push((v[0].as_str().unwrap().parse().unwrap(), v[1].as_str().unwrap().to_owned()));
        }
    }
    out.sort();
    out
}
