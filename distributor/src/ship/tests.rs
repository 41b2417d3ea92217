//! Replicas that fail, hang, forget and refuse, seen from the client.

use std::time::Duration;

use prost::Message;
use skald_limits::Limits;
use skald_model::ErrorKind;
use skald_proto::public::prometheus as pb;
use skald_rpc::ingester::Rejection;
use skald_runtime::HumanDuration;

use crate::Config;
use crate::testing::{Answer, Cluster, Mode, NOW_MS, snappy};

const UP: &str = r#"{__name__="up"}"#;

fn body(names: &[&str]) -> Vec<u8> {
    let series = |name: &&str| pb::TimeSeries {
        labels: vec![pb::Label { name: "__name__".into(), value: (*name).into() }],
        samples: vec![pb::Sample { value: 1.0, timestamp: NOW_MS }],
        ..pb::TimeSeries::default()
    };
    let timeseries = names.iter().map(series).collect();
    snappy(&pb::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec())
}

async fn push(cluster: &Cluster) -> Answer {
    cluster.post("/api/v1/push", &[], body(&["up"])).await
}

fn replicated() -> Cluster {
    Cluster::new(1, 3, Limits::default(), Config::default())
}

fn set(cluster: &Cluster, replica: usize, mode: Mode) {
    *cluster.ingesters[replica].mode.lock() = mode;
}

fn n_stored(cluster: &Cluster, replica: usize) -> usize {
    cluster.ingesters[replica].data.lock().floats.get(UP).map_or(0, Vec::len)
}

fn rejection(kind: ErrorKind, count: u64) -> Mode {
    Mode::Refusing(vec![Rejection {
        id: "err-skald-sample-out-of-order".into(),
        kind,
        count,
        message: "sample is too old (setting out_of_order_time_window)".into(),
    }])
}

/// Lets other tasks run until `state` holds.
async fn until(state: impl Fn() -> bool) {
    while !state() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_replicas_get_the_push() {
    let cluster = replicated();
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 1)).await;
}

#[tokio::test]
async fn one_failing_replica_of_three_is_survived() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Internal, ErrorKind::Invalid] {
        let cluster = replicated();
        set(&cluster, 1, Mode::Fail(kind));
        assert_eq!(push(&cluster).await.status, 204, "{kind:?}");
        until(|| n_stored(&cluster, 0) == 1 && n_stored(&cluster, 2) == 1).await;
    }
}

#[tokio::test]
async fn two_failing_replicas_are_a_503_with_retry_after() {
    let cluster = replicated();
    set(&cluster, 0, Mode::Fail(ErrorKind::Unavailable));
    set(&cluster, 2, Mode::Fail(ErrorKind::Conflict));
    let answer = push(&cluster).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text.starts_with("err-skald-no-write-quorum: fewer than 2 of 3"),
        "{}",
        answer.text
    );
    let secs: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&secs));
}

#[tokio::test]
async fn retry_after_grows_with_the_attempts() {
    let cluster = Cluster::one(Limits::default());
    set(&cluster, 0, Mode::Fail(ErrorKind::Unavailable));
    let answer = cluster.post("/api/v1/push", &[("retry-attempt", "3")], body(&["up"])).await;
    let secs: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((8..=16).contains(&secs), "{secs}");
}

/// Time is paused: it moves only when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_hanging_replica_delays_nobody() {
    let cluster = replicated();
    set(&cluster, 0, Mode::Hang);
    let started = tokio::time::Instant::now();
    assert_eq!(push(&cluster).await.status, 204);
    assert_eq!(started.elapsed(), Duration::ZERO);
    // The bytes of the push come back once the hanging replica has run into its deadline.
    assert!(!cluster.metrics().contains("skald_distributor_inflight_push_bytes 0"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    set(&cluster, 0, Mode::Normal);
    assert_eq!(push(&cluster).await.status, 204);
    assert!(cluster.metrics().contains("skald_distributor_replica_push_failures_total 1"));
}

#[tokio::test(start_paused = true)]
async fn two_hanging_replicas_are_a_timeout() {
    let config = Config { push_timeout: HumanDuration::from_secs(3), ..Config::default() };
    let cluster = Cluster::new(1, 3, Limits::default(), config);
    set(&cluster, 0, Mode::Hang);
    set(&cluster, 1, Mode::Hang);
    let started = tokio::time::Instant::now();
    let answer = push(&cluster).await;
    assert_eq!(answer.status, 504);
    assert!(answer.text.contains("distributor.push_timeout"), "{}", answer.text);
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn pushes_in_the_background_are_bounded() {
    let config = Config { max_background_pushes: 2, ..Config::default() };
    let cluster = Cluster::new(1, 3, Limits::default(), config);
    set(&cluster, 0, Mode::Hang);
    for _ in 0..5 {
        assert_eq!(push(&cluster).await.status, 204);
    }
    assert!(cluster.metrics().contains("skald_distributor_background_pushes_dropped_total 3"));
}

#[tokio::test]
async fn a_replica_that_forgot_gets_the_labels_again() {
    let cluster = replicated();
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 1)).await;
    cluster.ingesters[1].forget();
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 2)).await;
    let with_labels = |r: usize| cluster.ingesters[r].data.lock().n_items_with_labels;
    assert_eq!([with_labels(0), with_labels(1), with_labels(2)], [1, 2, 1]);
}

#[tokio::test]
async fn labels_are_not_sent_again_for_a_new_incarnation() {
    let cluster = replicated();
    let with_labels = |r: usize| cluster.ingesters[r].data.lock().n_items_with_labels;
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 1)).await;
    cluster.is_now(2, |p| p.replicas[0].epoch += 1);
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 2)).await;
    assert_eq!([with_labels(0), with_labels(1), with_labels(2)], [1, 1, 1]);
    // What changes who is written to is another matter.
    cluster.is_now(3, |p| p.replicas.rotate_left(1));
    assert_eq!(push(&cluster).await.status, 204);
    until(|| (0..3).all(|r| n_stored(&cluster, r) == 3)).await;
    assert_eq!([with_labels(0), with_labels(1), with_labels(2)], [2, 2, 2]);
}

#[tokio::test]
async fn only_the_unknown_items_are_sent_again() {
    let cluster = Cluster::one(Limits::default());
    let names = ["a", "b", "c", "d"];
    assert_eq!(cluster.post("/api/v1/push", &[], body(&["a", "c"])).await.status, 204);
    assert_eq!(cluster.data().n_items, 2);
    cluster.ingesters[0].forget();
    // b and d are new to the distributor and come with labels, a and c are asked for.
    assert_eq!(cluster.post("/api/v1/push", &[], body(&names)).await.status, 204);
    assert_eq!(cluster.data().n_items, 2 + 4 + 2);
    assert_eq!(cluster.data().floats.len(), 4);
    assert!(cluster.metrics().contains("skald_distributor_label_resends_total 2"));
}

#[tokio::test]
async fn a_replica_that_never_learns_is_given_up() {
    let cluster = Cluster::one(Limits::default());
    set(&cluster, 0, Mode::Forgetful);
    assert_eq!(push(&cluster).await.status, 503);
    assert_eq!(cluster.data().n_pushes, 3, "once and two more times");
    set(&cluster, 0, Mode::Confused);
    assert_eq!(push(&cluster).await.status, 500);
}

#[tokio::test]
async fn labels_count_as_known_only_after_an_answer() {
    let cluster = Cluster::one(Limits::default());
    set(&cluster, 0, Mode::Fail(ErrorKind::Unavailable));
    assert_eq!(push(&cluster).await.status, 503);
    set(&cluster, 0, Mode::Normal);
    assert_eq!(push(&cluster).await.status, 204);
    assert_eq!(cluster.data().n_pushes, 1, "the labels came with the first push that was taken");
}

#[tokio::test]
async fn refusals_of_ingesters_reach_the_client() {
    let cluster = replicated();
    (0..3).for_each(|r| set(&cluster, r, rejection(ErrorKind::Invalid, 1)));
    let answer = push(&cluster).await;
    assert_eq!(answer.status, 400);
    let text = "err-skald-sample-out-of-order: 1 of 1 samples refused: sample is too old (setting \
                out_of_order_time_window), tenant t\n";
    assert_eq!(answer.text, text);
    assert!(cluster.metrics().contains("{reason=\"sample_out_of_order\",tenant=\"t\"} 1"));
    assert!(answer.header("retry-after").is_none());
}

#[tokio::test]
async fn limits_of_ingesters_are_a_429() {
    let cluster = Cluster::one(Limits::default());
    set(&cluster, 0, rejection(ErrorKind::LimitExceeded, 1));
    let answer = push(&cluster).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    set(&cluster, 0, Mode::Fail(ErrorKind::LimitExceeded));
    assert_eq!(push(&cluster).await.status, 429);
    set(&cluster, 0, Mode::Fail(ErrorKind::Invalid));
    assert_eq!(push(&cluster).await.status, 400);
}

#[tokio::test]
async fn a_refusal_by_one_replica_of_three_is_outvoted() {
    let cluster = replicated();
    set(&cluster, 1, rejection(ErrorKind::Invalid, 1));
    assert_eq!(push(&cluster).await.status, 204);
}

#[tokio::test]
async fn one_failing_partition_fails_the_push() {
    let cluster = Cluster::new(2, 1, Limits::default(), Config::default());
    set(&cluster, 1, Mode::Fail(ErrorKind::Unavailable));
    let names: Vec<String> = (0..20).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = cluster.post("/api/v1/push", &[], body(&names)).await;
    assert_eq!(answer.status, 503);
    let n_first = cluster.data().floats.len();
    assert!(n_first > 0 && n_first < 20, "the other partition has its part");
    set(&cluster, 1, Mode::Normal);
    assert_eq!(cluster.post("/api/v1/push", &[], body(&names)).await.status, 204);
    assert_eq!(n_first + cluster.ingesters[1].data.lock().floats.len(), 20);
}
