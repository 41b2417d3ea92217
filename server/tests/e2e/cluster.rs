//! Seven processes on loopback: a distributor, three ingesters, a querier, a compactor, a storage server.

use std::net::TcpListener;

use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::{Client, Server, ServerBuilder};

use crate::{lines, now_ms, samples, skald};

/// An address that was free a moment ago: the ingesters' must be known before they start.
fn free_addr() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

struct Cluster {
    distributor: Server,
    querier: Server,
    compactor: Server,
    ingesters: Vec<Option<Server>>,
    builders: Vec<ServerBuilder>,
    _storage: Server,
}

async fn start() -> Cluster {
    let storage = skald().arg("--target", "storage").start().await;
    let addrs: Vec<String> = (0..3).map(|_| free_addr()).collect();
    let replicas: Vec<String> = addrs
        .iter()
        .enumerate()
        .map(|(i, addr)| format!("{{id: ingester-{i}, addr: '{addr}', zone: z{i}}}"))
        .collect();
    let partitions = format!("[{{id: 0, replicas: [{}]}}]", replicas.join(", "));
    let url = format!("grpc://{}", storage.grpc);
    let role = |target: &str| {
        skald()
            .arg("--target", target)
            .arg("--storage", &url)
            .set("cluster.partitions", &partitions)
    };
    let mut builders = Vec::new();
    let mut ingesters = Vec::new();
    for (i, addr) in addrs.iter().enumerate() {
        let id = format!("ingester-{i}");
        let builder = role("ingester").grpc_listen(addr).set("cluster.replica_id", &id);
        ingesters.push(Some(builder.start().await));
        builders.push(builder);
    }
    let distributor = role("distributor").start().await;
    let querier = role("querier").start().await;
    let compactor = role("compactor").start().await;
    Cluster { distributor, querier, compactor, ingesters, builders, _storage: storage }
}

async fn push(client: &Client, t0: i64, n: i64) {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let series = payload::series(&[("__name__", "steps")], &[(t0 + n, n as f64)]);
    let reply =
        client.post("/api/v1/push", &REMOTE_WRITE_V1, payload::write_v1(vec![series])).await;
    assert!(reply.status.is_success(), "sample {n}: {}", reply.text());
    let line = format!("line {n}");
    let body = payload::loki_json(&[(&[("app", "steps")], &[((t0 + n) * 1_000_000, &line)])]);
    let header = [("content-type", "application/json")];
    let reply = client.post("/loki/api/v1/push", &header, body).await;
    assert!(reply.status.is_success(), "line {n}: {}", reply.text());
}

async fn expect(client: &Client, t0: i64, n: i64, when: &str) {
    let found = samples(client, "steps", "1h").await;
    let want: Vec<_> = (0..n).map(|i| (t0 + i, i.to_string())).collect();
    assert_eq!(found, want, "{when}");
    let found = lines(client, r#"{app="steps"}"#).await;
    let want: Vec<_> = (0..n).map(|i| ((t0 + i) * 1_000_000, format!("line {i}"))).collect();
    assert_eq!(found, want, "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_lose_one_and_keep_everything_once() {
    let mut cluster = start().await;
    let t0 = now_ms() - 60_000;
    for n in 0..40 {
        if n == 15 {
            cluster.ingesters[1].take().unwrap().kill();
        }
        push(&cluster.distributor.client, t0, n).await;
    }
    expect(&cluster.querier.client, t0, 40, "one replica dead").await;
    // The other two flush: every sample is now in two blocks.
    for ingester in cluster.ingesters.iter().flatten() {
        let reply = ingester.client.post("/flush", &[], "").await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }
    expect(&cluster.querier.client, t0, 40, "flushed twice").await;
    // The dead one comes back with what it had.
    cluster.ingesters[1] = Some(cluster.builders[1].start().await);
    for n in 40..50 {
        push(&cluster.distributor.client, t0, n).await;
    }
    expect(&cluster.querier.client, t0, 50, "the dead one is back").await;
    for ingester in cluster.ingesters.iter().flatten() {
        assert!(ingester.client.post("/flush", &[], "").await.status.is_success());
    }
    let reply = cluster.compactor.client.post("/compact", &[], "").await;
    assert!(reply.status.is_success(), "{}", reply.text());
    expect(&cluster.querier.client, t0, 50, "compacted").await;
    // With two of three gone neither writes nor reads pretend.
    cluster.ingesters[0].take().unwrap().kill();
    cluster.ingesters[2].take().unwrap().kill();
    let body = payload::write_v1(vec![payload::series(&[("__name__", "late")], &[(t0, 1.0)])]);
    let reply = cluster.distributor.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_server_error(), "{} {}", reply.status, reply.text());
    let reply = cluster.querier.client.get("/api/v1/query", &[("query", "steps")]).await;
    assert!(reply.status.is_server_error(), "{} {}", reply.status, reply.text());
}
