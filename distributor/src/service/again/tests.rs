//! A cluster that changes under a push.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use prost::Message;
use skald_limits::Limits;
use skald_model::TenantId;
use skald_proto::public::prometheus as pb;
use skald_ring::{Coordinator, PartitionState};

use crate::Config;
use crate::deliver::Job;
use crate::metrics::Protocol;
use crate::testing::{Answer, Cluster, Mode, NOW_MS, NOW_NS, snappy};

const ACTIVE: [PartitionState; 3] = [PartitionState::Active; 3];

/// A sample of each of so many series.
fn body(n: usize) -> Vec<u8> {
    let series = |i| pb::TimeSeries {
        labels: vec![pb::Label { name: "__name__".into(), value: format!("m{i}") }],
        samples: vec![pb::Sample { value: 1.0, timestamp: NOW_MS }],
        ..pb::TimeSeries::default()
    };
    let timeseries = (0..n).map(series).collect();
    snappy(&pb::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec())
}

async fn push(cluster: &Cluster, n: usize) -> Answer {
    cluster.post("/api/v1/push", &[], body(n)).await
}

fn set_all(cluster: &Cluster, mode: &Mode) {
    cluster.ingesters.iter().for_each(|i| *i.mode.lock() = mode.clone());
}

fn n_series(cluster: &Cluster, at: usize) -> usize {
    cluster.ingesters[at].data.lock().floats.len()
}

fn looks(cluster: &Cluster) -> usize {
    cluster.coordinator.looks.load(Ordering::SeqCst)
}

fn assert_metric(cluster: &Cluster, line: &str) {
    let metrics = cluster.metrics();
    assert!(metrics.lines().any(|l| l == line), "{line} is not in {metrics}");
}

#[tokio::test]
async fn a_push_for_an_old_view_is_made_again_for_the_new_one() {
    let cluster = Cluster::new(1, 3, Limits::default(), Config::default());
    set_all(&cluster, &Mode::From(7));
    cluster.will_be(7, &ACTIVE);
    assert_eq!(push(&cluster, 5).await.status, 204);
    assert_eq!(cluster.coordinator.view().version, 7);
    while (0..3).any(|at| n_series(&cluster, at) < 5) {
        tokio::task::yield_now().await;
    }
    assert_metric(&cluster, "skald_distributor_quorum_failures_total{reason=\"stale\"} 1");
    // Counted once, and the tenant's rate pays once.
    let received = "skald_distributor_received_samples_total{protocol=\"remote_write_v1\"} 5";
    assert_metric(&cluster, received);
}

#[tokio::test]
async fn series_go_to_the_partitions_of_the_new_view() {
    let cluster = Cluster::new(2, 1, Limits::default(), Config::default());
    *cluster.ingesters[0].mode.lock() = Mode::From(2);
    cluster.will_be(2, &[PartitionState::ReadOnly, PartitionState::Active]);
    assert_eq!(push(&cluster, 20).await.status, 204);
    assert_eq!((n_series(&cluster, 0), n_series(&cluster, 1)), (0, 20));
}

#[tokio::test]
async fn lines_that_came_uncompressed_are_made_again_too() {
    let cluster = Cluster::one(Limits::default());
    set_all(&cluster, &Mode::From(2));
    cluster.will_be(2, &ACTIVE);
    let text = r#"{"streams":[{"stream":{"a":"1"},"values":[["1767225600000000000","line"]]}]}"#;
    let headers = [("content-type", "application/json")];
    let answer = cluster.post("/loki/api/v1/push", &headers, text.into()).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""));
    assert_eq!(cluster.data().lines.values().flatten().count(), 1);
}

#[tokio::test]
async fn without_another_view_the_client_comes_back() {
    let cluster = Cluster::one(Limits::default());
    set_all(&cluster, &Mode::From(2));
    let answer = push(&cluster, 1).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("err-skald-stale-view"), "{}", answer.text);
    assert!(answer.header("retry-after").is_some());
    assert!(looks(&cluster) > 0);
}

#[tokio::test]
async fn a_push_is_made_again_once() {
    let cluster = Cluster::one(Limits::default());
    set_all(&cluster, &Mode::From(9));
    cluster.will_be(2, &ACTIVE);
    assert_eq!(push(&cluster, 1).await.status, 503);
    assert_metric(&cluster, "skald_distributor_quorum_failures_total{reason=\"stale\"} 2");
}

#[tokio::test]
async fn other_failures_ask_for_no_look() {
    let cluster = Cluster::one(Limits::default());
    set_all(&cluster, &Mode::Fail(skald_model::ErrorKind::Unavailable));
    cluster.will_be(2, &ACTIVE);
    assert_eq!(push(&cluster, 1).await.status, 503);
    assert_eq!(looks(&cluster), 0);
    assert_metric(&cluster, "skald_distributor_quorum_failures_total{reason=\"unavailable\"} 1");
}

#[tokio::test]
async fn a_look_is_taken_when_one_of_three_says_that_the_view_is_old() {
    let cluster = Cluster::new(1, 3, Limits::default(), Config::default());
    *cluster.ingesters[1].mode.lock() = Mode::From(2);
    cluster.will_be(2, &ACTIVE);
    assert_eq!(push(&cluster, 1).await.status, 204);
    while cluster.coordinator.view().version < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pushes_wait_outside_while_no_partition_takes_data() {
    let cluster = Cluster::one(Limits::default());
    cluster.will_be(2, &[PartitionState::ReadOnly]);
    cluster.coordinator.refresh().await;
    let json = r#"{"streams":[{"stream":{"a":"1"},"values":[["1767225600000000000","line"]]}]}"#;
    let bulk = "{\"create\":{}}\n{\"message\":\"line\"}\n";
    let answers = [
        push(&cluster, 1).await,
        cluster
            .post("/loki/api/v1/push", &[("content-type", "application/json")], json.into())
            .await,
        cluster.post("/otlp/v1/logs", &[("content-type", "application/json")], "{}".into()).await,
        cluster.post("/_bulk", &[], bulk.into()).await,
        cluster.post("/insert/jsonline", &[], "{\"_msg\":\"line\"}\n".into()).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.text.contains("err-skald-no-partition"), "{}", answer.text);
        assert!(answer.header("retry-after").is_some());
    }
    // And a listener keeps what it has.
    let decode = Box::new(|_: &crate::remote_write::Context, _: &[u8]| panic!("for nobody"));
    let job = Job { protocol: Protocol::syslog_tcp, body: Bytes::new(), decode };
    let tenant = TenantId::single();
    assert_eq!(cluster.distributor.attempt(&tenant, &Arc::new(job), NOW_NS).await, Err(0));
}

#[tokio::test]
async fn a_delivery_is_tried_again_with_the_new_view() {
    let cluster = Cluster::one(Limits::default());
    set_all(&cluster, &Mode::From(2));
    cluster.will_be(2, &ACTIVE);
    let decode = |ctx: &crate::remote_write::Context, body: &[u8]| {
        crate::json_lines::decode_lines(ctx, crate::document::Shape::default(), body)
    };
    let body = Bytes::from_static(b"{\"_msg\":\"line\"}\n");
    let decode = Box::new(decode);
    let job = Arc::new(Job { protocol: Protocol::syslog_tcp, body, decode });
    let tenant = TenantId::single();
    assert_eq!(cluster.distributor.attempt(&tenant, &job, NOW_NS).await, Err(1));
    assert_eq!(cluster.distributor.attempt(&tenant, &job, NOW_NS).await, Ok(()));
    assert_eq!(cluster.data().lines.values().flatten().count(), 1);
}
