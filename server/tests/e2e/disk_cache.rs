//! Blocks in a store that is far away: what was read of them is on the disk here, also after a restart.

use std::path::{Path, PathBuf};

use serde_json::Value;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Server, ServerBuilder, wait};

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

/// A server whose blocks are all in `storage`, as flushed.
fn away_from(storage: &Server) -> ServerBuilder {
    skald()
        .arg("--storage", &format!("grpc://{}", storage.grpc))
        .set("auth.mode", "trusted-proxy")
        .set("querier.results_cache_size", "0")
        .set("compactor.interval", "1h")
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
    let builder = away_from(&storage);
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

/// The objects of all blocks under a directory.
fn blocks(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(blocks(&path));
        } else if path.file_name().is_some_and(|name| name == "data.parquet") {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_once_sent_damaged_is_not_kept() {
    let stored = skald().arg("--target", "storage");
    let storage = stored.start().await;
    let builder = away_from(&storage);
    let server = builder.start().await;
    let at_ms = now_ms() / 1000 * 1000 - 600_000;
    push(&server.client, "a", at_ms).await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let files = blocks(stored.data_dir());
    assert_eq!(files.len(), 2, "{files:?}");
    let good: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, good) in files.iter().zip(&good) {
        let mut bad = good.clone();
        bad[10] ^= 1;
        std::fs::write(file, bad).unwrap();
    }
    let client = server.client.clone().with_tenant("a");
    let at = (at_ms / 1000).to_string();
    for path in [
        "/api/v1/query?query=m&time=",
        "/loki/api/v1/query?query=rate(%7Bapp%3D%22x%22%7D%5B1h%5D)&time=",
    ] {
        let reply = client.get(&format!("{path}{at}"), &[]).await;
        assert!(reply.status.is_server_error(), "{path}: {} {}", reply.status, reply.text());
        assert!(reply.text().contains("checksum"), "{}", reply.text());
    }
    wait::until("damage is kept", || async {
        let files = metric(&server.client, "skald_disk_cache_files").await;
        (files >= 4).then_some(())
    })
    .await;
    for (file, good) in files.iter().zip(&good) {
        std::fs::write(file, good).unwrap();
    }
    asked(&server.client, "a", at_ms).await;
    // What is kept now is what was good.
    let before = metric(&server.client, "skald_disk_cache_misses_total").await;
    server.kill();
    let server = builder.start().await;
    asked(&server.client, "a", at_ms).await;
    let misses = metric(&server.client, "skald_disk_cache_misses_total").await;
    assert!(misses < before, "{misses} of {before}");
}
