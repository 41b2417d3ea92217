//! Blocks in a store that is far away: what was read of them is on the disk here, also after a restart.

use serde_json::Value;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, wait};

use crate::{now_ms, skald};

const TENANTS: [&str; 2] = ["a", "b"];

async fn push(client: &Client, tenant: &str, at_ms: i64) {
    let client = client.clone().with_tenant(tenant);
    let points: Vec<(i64, f64)> =
        (0..20).map(|i| (at_ms + i64::from(i) * 1000, f64::from(i))).collect();
    let series = payload::series(&[("__name__", "m"), ("of", tenant)], &points);
    let body = payload::write_v1(vec![series]);
    let reply = client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let line = format!("a line of {tenant}");
    let body = payload::loki_json(&[(&[("app", "x")], &[(at_ms * 1_000_000, &line)])]);
    let header = [("content-type", "application/json")];
    let reply = client.post("/loki/api/v1/push", &header, body).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// What a tenant sees of both signals.
async fn asked(client: &Client, tenant: &str, at_ms: i64) -> Vec<Value> {
    let client = client.clone().with_tenant(tenant);
    let at = |ms: i64| (ms / 1000).to_string();
    let (start, end) = (at(at_ms - 60_000), at(at_ms + 60_000));
    let range = |query| [("query", query), ("start", &*start), ("end", &*end), ("step", "5")];
    let metrics = client.get("/api/v1/query_range", &range("sum by (of) (m)")).await.result();
    let needle = format!(r#"{{app="x"}} |= "line of {tenant}""#);
    let lines = client.get("/loki/api/v1/query_range", &range(&needle)).await.result();
    assert!(metrics.len() == 1 && lines.len() == 1, "{metrics:?} {lines:?}");
    assert_eq!(metrics[0]["metric"]["of"], tenant);
    [metrics, lines].concat()
}

/// The sum of a metric over its labels; 0 without any.
async fn metric(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics", &[]).await.text();
    let values = text.lines().filter(|l| l.split(['{', ' ']).next() == Some(name));
    values.map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_asks_the_store_for_no_block() {
    let storage = skald().arg("--target", "storage").start().await;
    let builder = skald()
        .arg("--storage", &format!("grpc://{}", storage.grpc))
        .set("auth.mode", "trusted-proxy")
        .set("querier.results_cache_size", "0")
        .set("compactor.interval", "1h");
    let server = builder.start().await;
    let at_ms = now_ms() / 1000 * 1000 - 600_000;
    for tenant in TENANTS {
        push(&server.client, tenant, at_ms).await;
    }
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let mut before = Vec::new();
    for tenant in TENANTS {
        before.push(asked(&server.client, tenant, at_ms).await);
    }
    let of = |tenant: &str| format!("skald_querier_store_requests_total{{tenant=\"{tenant}\"}} ");
    let shown = server.client.get("/metrics", &[]).await.text();
    assert!(TENANTS.iter().all(|t| shown.contains(&of(t))), "{shown}");
    let asked_for = metric(&server.client, "skald_querier_block_gets_total").await;
    assert_eq!(metric(&server.client, "skald_disk_cache_misses_total").await, asked_for);
    assert!(asked_for > 0);
    wait::until("all is written", || async {
        let files = metric(&server.client, "skald_disk_cache_files").await;
        (files == asked_for).then_some(())
    })
    .await;
    server.kill();

    let server = builder.start().await;
    for (tenant, before) in TENANTS.iter().zip(&before) {
        assert_eq!(&asked(&server.client, tenant, at_ms).await, before, "{tenant}");
    }
    assert_eq!(metric(&server.client, "skald_querier_block_gets_total").await, 0);
    assert_eq!(metric(&server.client, "skald_querier_store_requests_total").await, 0);
    assert!(metric(&server.client, "skald_disk_cache_hits_total").await >= asked_for);

    // Without it the store is asked.
    drop(server);
    std::fs::remove_dir_all(builder.data_dir().join("cache")).unwrap();
    let server = builder.set("cache.disk_size", "0").start().await;
    for (tenant, before) in TENANTS.iter().zip(&before) {
        assert_eq!(&asked(&server.client, tenant, at_ms).await, before, "{tenant}");
    }
    assert!(metric(&server.client, "skald_querier_block_gets_total").await > 0);
}
