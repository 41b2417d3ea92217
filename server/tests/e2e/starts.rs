//! Start timestamps of remote write 2.0 reach PromQL at every stage of a sample's life.

use skald_testkit::Client;
use skald_testkit::payload::{self, REMOTE_WRITE_V2};

use crate::{now_ms, skald};

/// Values without a drop, so that only start timestamps tell the reset in the middle.
async fn push(client: &Client, t0: i64) {
    let restart = t0 + 45_000;
    let start = |i: i64| if i < 5 { t0 - 5_000 } else { restart };
    // More than a head seals at, so that both sealed and raw samples are there.
    let at = |i: i64| t0 + i * 10_000;
    let counts = |i: i64| u32::try_from(100 + i).unwrap();
    let floats: Vec<_> = (0..40).map(|i| (at(i), f64::from(counts(i)), start(i))).collect();
    let histograms: Vec<_> = (0..40).map(|i| (at(i), counts(i), start(i))).collect();
    for body in [
        payload::write_v2_started(&[("__name__", "requests_total")], &floats),
        payload::write_v2_started_histograms(&[("__name__", "latency")], &histograms),
    ] {
        let reply = client.post("/api/v1/write", &REMOTE_WRITE_V2, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

async fn value(client: &Client, query: &str, time_ms: i64) -> f64 {
    let time = format!("{}.{:03}", time_ms / 1000, time_ms % 1000);
    let args = [("query", query), ("time", &time)];
    let result = client.get("/api/v1/query", &args).await.result();
    let first = result.first().and_then(|sample| sample["value"][1].as_str());
    assert!(first.is_some(), "{query} has no value");
    first.unwrap().parse().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "times below 2^53")]
async fn expect_starts(client: &Client, t0: i64, when: &str) {
    let (early, late) = (t0 + 41_000, t0 + 391_000);
    for name in ["requests_total", "latency"] {
        let query = format!("start_timestamp({name})");
        for (time, want) in [(early, t0 - 5_000), (late, t0 + 45_000)] {
            let got = value(client, &query, time).await;
            assert!(
                (got - want as f64 / 1000.0).abs() < 1e-6,
                "{when}: {query} at {time} is {got}"
            );
        }
        let resets = value(client, &format!("resets({name}[10m])"), late).await;
        assert!((resets - 1.0).abs() < 1e-9, "{when}: {resets} resets of {name}");
    }
    let rates = [
        "increase(requests_total[1m]) > 100",
        "rate(requests_total[1m]) > 1",
        "histogram_count(increase(latency[1m])) > 100",
    ];
    for query in rates {
        // The window holds the restart, at which the counter begins at 0 again.
        value(client, query, t0 + 70_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_timestamps_are_there_at_every_stage() {
    let builder = skald();
    let server = builder.start().await;
    let t0 = now_ms() - 600_000;
    push(&server.client, t0).await;
    expect_starts(&server.client, t0, "in the head").await;
    server.kill();
    let server = builder.start().await;
    expect_starts(&server.client, t0, "replayed").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    expect_starts(&server.client, t0, "flushed").await;
    push(&server.client, t0).await;
    expect_starts(&server.client, t0, "in head and block").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let reply = server.client.post("/compact", &[], "").await;
    assert!(reply.status.is_success(), "{}", reply.text());
    expect_starts(&server.client, t0, "compacted").await;
}
