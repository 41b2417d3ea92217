//! The HTTP edge: methods, tenants, sizes, encodings, limits.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use skald_limits::Limits;
use skald_model::TenantId;
use skald_proto::public::prometheus as pb;
use skald_runtime::ByteSize;

use crate::Config;
use crate::testing::{Cluster, NOW_MS, snappy};

fn body(n_series: usize) -> Vec<u8> {
    let series = |n| pb::TimeSeries {
        labels: vec![pb::Label { name: "__name__".into(), value: format!("metric_{n}") }],
        samples: vec![pb::Sample { value: 1.0, timestamp: NOW_MS }],
        ..pb::TimeSeries::default()
    };
    let timeseries = (0..n_series).map(series).collect();
    snappy(&pb::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec())
}

#[tokio::test]
async fn only_post_is_allowed() {
    let cluster = Cluster::one(Limits::default());
    for path in ["/api/v1/push", "/api/v1/write", "/api/prom/push", "/loki/api/v1/push"] {
        for method in ["GET", "PUT", "DELETE"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(cluster.send(request).await.status, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_push_without_tenant_is_401() {
    let cluster = Cluster::one(Limits::default());
    for path in ["/api/v1/push", "/loki/api/v1/push"] {
        let answer = cluster.send(Request::post(path).body(Body::from(body(1))).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (401, "no org id\n"));
    }
    assert_eq!(cluster.data().n_pushes, 0);
}

#[tokio::test]
async fn unknown_types_and_encodings_are_415() {
    let cluster = Cluster::one(Limits::default());
    let types = ["application/json", "text/plain", "application/x-protobuf;proto=nope"];
    for value in types {
        let answer = cluster.post("/api/v1/push", &[("content-type", value)], body(1)).await;
        assert_eq!(answer.status, 415, "{value}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    for value in ["gzip", "zstd", "identity"] {
        let answer = cluster.post("/api/v1/push", &[("content-encoding", value)], body(1)).await;
        assert_eq!(answer.status, 415, "{value}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_snappy_or_no_protobuf_are_400() {
    let cluster = Cluster::one(Limits::default());
    let framed = [b"\xff\x06\x00\x00sNaPpY".as_slice(), &body(1)].concat();
    let bodies = [vec![], b"junk".to_vec(), framed, snappy(b"junk"), snappy(&[0x0a, 0x7f, 1])];
    for body in bodies {
        let answer = cluster.post("/api/v1/push", &[], body.clone()).await;
        assert_eq!(answer.status, 400, "{body:?}");
        assert!(answer.text.starts_with("err-skald-malformed-request"), "{}", answer.text);
    }
    assert_eq!(cluster.post("/api/v1/push", &[], snappy(b"")).await.status, 204);
}

#[tokio::test]
async fn a_declared_decoded_size_is_refused_before_it_is_allocated() {
    let cluster = Cluster::one(Limits::default());
    // Snappy headers: 2 GiB in five bytes, and just above 32 MiB.
    let over = [snappy(&vec![0u8; (32 << 20) + 1]), vec![0x80, 0x80, 0x80, 0x80, 0x08]];
    for body in over {
        let answer = cluster.post("/api/v1/push", &[], body).await;
        assert_eq!(answer.status, 413, "{}", answer.text);
        assert!(answer.text.contains("max_decoded_size"), "{}", answer.text);
    }
    // Within the limit, but more than these bytes can hold.
    let answer = cluster.post("/api/v1/push", &[], vec![0x80, 0x80, 0x80, 0x08, 0]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(cluster.distributor.0.budget.used(), 0, "all bytes are given back");
}

#[tokio::test]
async fn long_bodies_are_413() {
    let config = Config { max_recv_msg_size: ByteSize(100), ..Config::default() };
    let cluster = Cluster::new(1, 1, Limits::default(), config);
    for path in ["/api/v1/push", "/loki/api/v1/push"] {
        let answer = cluster.post(path, &[("content-length", "101")], vec![]).await;
        assert_eq!(answer.status, 413);
        // Without a declared length, in pieces.
        let pieces = (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 10])));
        let request = Request::post(path)
            .extension(TenantId::single())
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap();
        let answer = cluster.send(request).await;
        assert_eq!(answer.status, 413);
        assert!(
            answer.text.contains("limit of 100 (setting distributor.max_recv_msg_size)"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn bodies_in_pieces_are_put_together() {
    let cluster = Cluster::one(Limits::default());
    let body = body(50);
    let pieces: Vec<_> =
        body.chunks(7).map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c))).collect();
    let request = Request::post("/api/v1/push")
        .extension(TenantId::single())
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    assert_eq!(cluster.send(request).await.status, 204);
    assert_eq!(cluster.data().floats.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_503() {
    let cluster = Cluster::one(Limits::default());
    let request = Request::post("/api/v1/push")
        .extension(TenantId::single())
        .body(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()))
        .unwrap();
    let answer = cluster.send(request).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("distributor.body_timeout"), "{}", answer.text);
}

#[tokio::test]
async fn a_full_inflight_budget_is_503() {
    let cluster = Cluster::one(Limits::default());
    let budget = &cluster.distributor.0.budget;
    let held = budget.try_take(budget.limit() - 10).unwrap();
    for path in ["/api/v1/push", "/loki/api/v1/push"] {
        let answer = cluster.post(path, &[], body(5)).await;
        assert_eq!(answer.status, 503);
        assert!(
            answer.text.starts_with("err-skald-distributor-max-inflight-bytes"),
            "{}",
            answer.text
        );
        assert!(answer.header("retry-after").is_some());
    }
    drop(held);
    assert_eq!(cluster.post("/api/v1/push", &[], body(5)).await.status, 204);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn the_sample_rate_limit_refuses_the_whole_request() {
    let limits = Limits { ingestion_rate: 10.0, ingestion_burst_size: 15, ..Limits::default() };
    let cluster = Cluster::one(limits);
    assert_eq!(cluster.post("/api/v1/push", &[], body(10)).await.status, 204);
    let answer = cluster.post("/api/v1/push", &[], body(10)).await;
    assert_eq!(answer.status, 429);
    let text = "err-skald-tenant-max-ingestion-rate: ingestion rate limit (10) exceeded while \
                adding 10 samples and 0 metadata (tenant t, burst 15, setting ingestion_rate)";
    assert_eq!(answer.text, format!("{text}\n"));
    assert!(answer.header("retry-after").is_some());
    let other = cluster.post_as("other", "/api/v1/push", &[], body(10)).await;
    assert_eq!(other.status, 204, "tenants have rates of their own");
    cluster.clock.advance_ms(1000);
    assert_eq!(cluster.post("/api/v1/push", &[], body(10)).await.status, 204);
    let metric = "{reason=\"tenant_max_ingestion_rate\",tenant=\"t\"} 10";
    assert!(cluster.metrics().contains(metric), "{}", cluster.metrics());
}

#[tokio::test]
async fn long_bodies_are_decoded_on_the_pool() {
    let config = Config { decode_inline_max: ByteSize(16), ..Config::default() };
    let cluster = Cluster::new(2, 1, Limits::default(), config);
    assert_eq!(cluster.post("/api/v1/push", &[], body(3000)).await.status, 204);
    let n: usize = cluster.ingesters.iter().map(|i| i.data.lock().floats.len()).sum();
    assert_eq!(n, 3000);
    assert_eq!(cluster.post("/api/v1/push", &[], snappy(&[0x0a; 100])).await.status, 400);
}

#[tokio::test]
async fn pushes_are_counted() {
    let cluster = Cluster::one(Limits::default());
    cluster.post("/api/v1/push", &[], body(3)).await;
    let json = r#"{"streams":[{"stream":{"a":"b"},"values":[["1767225600000000000","x"]]}]}"#;
    let headers = [("content-type", "application/json")];
    cluster.post("/loki/api/v1/push", &headers, json.into()).await;
    let metrics = cluster.metrics();
    for line in [
        "skald_distributor_received_samples_total{protocol=\"remote_write_v1\"} 3",
        "skald_distributor_received_lines_total{protocol=\"loki_json\"} 1",
        "skald_distributor_requests_total{protocol=\"remote_write_v1\",code=\"204\"} 1",
        "skald_distributor_push_duration_seconds_count{protocol=\"loki_json\"} 1",
        "skald_distributor_inflight_pushes 0",
        "skald_distributor_series_cache_entries 4",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

/// A cache much smaller than the series that come by: slower, never wrong.
#[tokio::test]
async fn a_small_cache_loses_nothing() {
    let config = Config { series_cache_size: ByteSize(64 * 16 * 40), ..Config::default() };
    let cluster = Cluster::new(1, 1, Limits::default(), config);
    for _ in 0..3 {
        assert_eq!(cluster.post("/api/v1/push", &[], body(5000)).await.status, 204);
    }
    let data = cluster.data();
    assert_eq!(data.floats.len(), 5000);
    assert!(data.floats.values().all(|v| v.len() == 3));
    assert!(data.n_items_with_labels > 10_000);
    drop(data);
    assert!(cluster.distributor.0.cache.len() <= 64 * 12);
}

#[tokio::test]
async fn no_tenant_sees_what_another_pushed() {
    let cluster = Cluster::one(Limits::default());
    let secret = pb::TimeSeries {
        labels: vec![pb::Label { name: "secret".into(), value: "hunter2".into() }],
        samples: vec![pb::Sample { value: 1.0, timestamp: NOW_MS }],
        ..pb::TimeSeries::default()
    };
    let bad =
        snappy(&pb::WriteRequest { timeseries: vec![secret], metadata: vec![] }.encode_to_vec());
    let answer = cluster.post_as("a", "/api/v1/push", &[], bad).await;
    assert!(answer.text.contains("hunter2"), "its own error names its series");
    let answer = cluster.post_as("b", "/api/v1/push", &[], snappy(&[0x0a, 2, 0x12, 0])).await;
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
}

#[tokio::test]
async fn a_tenant_stays_in_its_shard() {
    let limits = Limits { ingestion_tenant_shard_size: 2, ..Limits::default() };
    let cluster = Cluster::new(5, 1, limits, Config::default());
    let mut used = std::collections::BTreeSet::new();
    for tenant in ["a", "b", "c", "d", "e", "f"] {
        let before: Vec<usize> = cluster.ingesters.iter().map(|i| i.data.lock().n_items).collect();
        assert_eq!(cluster.post_as(tenant, "/api/v1/push", &[], body(200)).await.status, 204);
        let json = r#"{"streams":[{"stream":{"a":"b"},"values":[["1767225600000000000","x"]]}]}"#;
        let headers = [("content-type", "application/json")];
        cluster.post_as(tenant, "/loki/api/v1/push", &headers, json.into()).await;
        let grown: Vec<usize> = (0..cluster.ingesters.len())
            .filter(|&i| cluster.ingesters[i].data.lock().n_items > before[i])
            .collect();
        assert_eq!(grown.len(), 2, "{tenant} is in {grown:?}");
        used.extend(grown);
    }
    assert!(used.len() > 2, "tenants do not share one shard: {used:?}");
}
