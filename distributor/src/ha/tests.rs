use std::sync::Arc;

use prometheus_client::registry::Registry;
use prost::Message;
use skald_coord::record::HaRecord;
use skald_coord::{KeyStore, MemoryStore};
use skald_limits::{Limits, Overrides};
use skald_model::TenantId;
use skald_proto::public::{prometheus as v1, prometheus_v2 as v2};
use skald_runtime::ManualClock;

use super::election::{Verdict, judge};
use super::{Elections, Names, Tracker};
use crate::metrics::Metrics;
use crate::testing::{Answer, Cluster, NOW_MS, snappy};

fn limits() -> Limits {
    Limits { accept_ha_samples: true, ..Limits::default() }
}

// --- the rule ---

#[test]
fn the_elected_is_taken_until_it_is_silent_for_the_failover_timeout() {
    let at = |elected, replica, now| judge(elected, 1, replica, now, &limits());
    assert_eq!(at(None, "a", 0), Verdict::Elect);
    assert_eq!(at(Some(("a", 0)), "a", 1), Verdict::Accept);
    assert_eq!(at(Some(("a", 0)), "a", 10_000_000), Verdict::Accept, "nobody came instead");
    assert_eq!(at(Some(("a", 0)), "b", 30_000), Verdict::Drop);
    assert_eq!(at(Some(("a", 0)), "b", 30_001), Verdict::Elect);
    assert_eq!(at(Some(("a", 50)), "b", -9), Verdict::Drop, "a clock that was set back");
}

#[test]
fn only_new_clusters_count_against_the_limit() {
    let two = Limits { ha_max_clusters: 2, ..limits() };
    assert_eq!(judge(None, 1, "a", 0, &two), Verdict::Elect);
    assert_eq!(judge(None, 2, "a", 0, &two), Verdict::TooMany);
    assert_eq!(judge(Some(("a", 0)), 2, "b", 40_000, &two), Verdict::Elect);
    let any = Limits { ha_max_clusters: 0, ..limits() };
    assert_eq!(judge(None, 1000, "a", 0, &any), Verdict::Elect);
}

#[test]
fn only_a_series_with_both_labels_loses_one() {
    let limits = limits();
    let stripped = |pairs: &[(&'static str, &'static str)]| {
        let mut pairs = pairs.to_vec();
        Names::of(&limits).strip(&mut pairs);
        pairs.into_iter().map(|(n, _)| n).collect::<Vec<_>>().join(",")
    };
    assert_eq!(stripped(&[("cluster", "c"), ("__replica__", "a"), ("x", "y")]), "cluster,x");
    assert_eq!(stripped(&[("__replica__", "a"), ("x", "y")]), "__replica__,x");
    assert_eq!(stripped(&[("cluster", ""), ("__replica__", "a")]), "cluster,__replica__");
    let twice = [("cluster", "c"), ("__replica__", "a"), ("__replica__", "b")];
    assert_eq!(stripped(&twice), "cluster,__replica__,__replica__", "refused later on");
}

// --- two processes ---

struct Two {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    a: Tracker,
    b: Tracker,
    tenant: TenantId,
}

impl Two {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let clock = ManualClock::at_ms(NOW_MS);
        let tracker = || {
            let keys = Arc::<MemoryStore>::clone(&store);
            let metrics = Metrics::register(&mut Registry::default());
            let time = Arc::<ManualClock>::clone(&clock);
            let elections = Elections::shared(keys, "/x.ha/".to_owned());
            Tracker::new(elections, Overrides::fixed(limits()), time, metrics)
        };
        let (a, b) = (tracker(), tracker());
        Self { store, clock, a, b, tenant: TenantId::single() }
    }

    fn judge(&self, tracker: &Tracker, replica: &str) -> Verdict {
        let now_ms = skald_runtime::Clock::now_ms(&*self.clock);
        tracker.judge(&self.tenant, &limits(), "eu/1", replica, now_ms)
    }

    async fn records(&self) -> Vec<(String, HaRecord)> {
        let all = self.store.list("/x.ha/").await.unwrap().entries;
        let read = |e: skald_coord::Entry| {
            let record = skald_coord::record::decode(&e.key, &e.value).unwrap();
            (e.key, record)
        };
        all.into_iter().map(read).collect()
    }
}

#[tokio::test]
async fn two_processes_agree_on_one_replica() {
    let two = Two::new();
    // Both are asked before either knows of the other.
    assert_eq!(two.judge(&two.a, "r1"), Verdict::Elect);
    assert_eq!(two.judge(&two.b, "r2"), Verdict::Elect);
    two.a.elect(&two.tenant, "eu/1", "r1").await.unwrap();
    two.b.elect(&two.tenant, "eu/1", "r2").await.unwrap();
    for tracker in [&two.a, &two.b] {
        assert_eq!(two.judge(tracker, "r1"), Verdict::Accept);
        assert_eq!(two.judge(tracker, "r2"), Verdict::Drop);
    }
    let records = two.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].0, "/x.ha/default/eu%2F1");
    assert_eq!(records[0].1.replica, "r1");
}

#[tokio::test]
async fn a_sign_of_life_at_one_process_holds_off_failover_at_the_other() {
    let two = Two::new();
    two.a.elect(&two.tenant, "eu/1", "r1").await.unwrap();
    two.b.round().await.unwrap();
    two.clock.advance_ms(14_000);
    assert_eq!(two.judge(&two.a, "r1"), Verdict::Accept);
    two.a.round().await.unwrap();
    assert_eq!(two.records().await[0].1.seen_ms, NOW_MS, "not older than the update timeout");
    two.clock.advance_ms(6_000);
    assert_eq!(two.judge(&two.a, "r1"), Verdict::Accept);
    two.a.round().await.unwrap();
    two.b.round().await.unwrap();
    two.clock.advance_ms(29_000);
    assert_eq!(two.judge(&two.b, "r2"), Verdict::Drop, "heard of 29 s ago");
    two.clock.advance_ms(2_000);
    assert_eq!(two.judge(&two.b, "r2"), Verdict::Elect);
    two.b.elect(&two.tenant, "eu/1", "r2").await.unwrap();
    two.a.round().await.unwrap();
    assert_eq!(two.judge(&two.a, "r1"), Verdict::Drop);
    assert_eq!(two.judge(&two.a, "r2"), Verdict::Accept);
}

#[tokio::test]
async fn clusters_that_nobody_hears_of_are_forgotten() {
    let two = Two::new();
    two.a.elect(&two.tenant, "eu/1", "r1").await.unwrap();
    two.b.round().await.unwrap();
    two.clock.advance_ms(3_600_001);
    two.b.round().await.unwrap();
    assert!(two.records().await.is_empty());
    two.a.round().await.unwrap();
    assert_eq!(two.judge(&two.a, "r2"), Verdict::Elect);
    two.a.elect(&two.tenant, "eu/1", "r2").await.unwrap();
    assert_eq!(two.judge(&two.a, "r2"), Verdict::Accept);
}

// --- through HTTP ---

type Series<'a> = &'a [(&'a str, &'a str)];

fn labels<'a>(name: &'a str, replica: &'a str) -> [(&'a str, &'a str); 3] {
    [("__name__", name), ("__replica__", replica), ("cluster", "c")]
}

async fn push_v1(to: &Cluster, series: &[Series<'_>], at_ms: i64) -> Answer {
    let label = |(name, value): &(&str, &str)| v1::Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let timeseries = series.iter().map(|labels| v1::TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: vec![v1::Sample { value: 1.0, timestamp: at_ms }],
        ..v1::TimeSeries::default()
    });
    let body = v1::WriteRequest { timeseries: timeseries.collect(), metadata: vec![] };
    to.post("/api/v1/push", &[], snappy(&body.encode_to_vec())).await
}

async fn push_v2(to: &Cluster, labels: Series<'_>, at_ms: i64) -> Answer {
    let mut symbols = vec![String::new()];
    symbols.extend(labels.iter().flat_map(|(n, v)| [(*n).to_owned(), (*v).to_owned()]));
    let series = v2::TimeSeries {
        labels_refs: (1..).take(2 * labels.len()).collect(),
        samples: vec![v2::Sample { value: 1.0, timestamp: at_ms, start_timestamp: 0 }],
        ..v2::TimeSeries::default()
    };
    let body = v2::Request { symbols, timeseries: vec![series] }.encode_to_vec();
    let form = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    to.post("/api/v1/write", &[form], snappy(&body)).await
}

fn stored(cluster: &Cluster) -> Vec<(String, usize)> {
    cluster.data().floats.iter().map(|(name, s)| (name.clone(), s.len())).collect()
}

#[tokio::test]
async fn one_replica_is_written_without_its_label_in_version_1() {
    let cluster = Cluster::one(limits());
    for at in [NOW_MS, NOW_MS + 1] {
        assert_eq!(push_v1(&cluster, &[&labels("up", "a")], at).await.status, 204);
        assert_eq!(push_v1(&cluster, &[&labels("up", "b")], at).await.status, 202);
    }
    assert_eq!(stored(&cluster), [(r#"{__name__="up", cluster="c"}"#.to_owned(), 2)]);
    assert_eq!(cluster.data().n_items_with_labels, 1, "known by the second push");
    let metrics = cluster.metrics();
    assert!(metrics.contains(r#"skald_distributor_deduplicated_samples_total{tenant="t"} 2"#));
    assert!(metrics.contains("skald_distributor_ha_elections_total 1"), "{metrics}");
    cluster.clock.advance_ms(30_001);
    assert_eq!(push_v1(&cluster, &[&labels("up", "b")], NOW_MS + 2).await.status, 204);
    assert_eq!(push_v1(&cluster, &[&labels("up", "a")], NOW_MS + 2).await.status, 202);
    assert_eq!(stored(&cluster), [(r#"{__name__="up", cluster="c"}"#.to_owned(), 3)]);
}

#[tokio::test]
async fn version_2_counts_what_was_dropped_as_written() {
    let cluster = Cluster::one(limits());
    for at in [NOW_MS, NOW_MS + 1] {
        let answer = push_v2(&cluster, &labels("up", "a"), at).await;
        assert_eq!((answer.status.as_u16(), answer.written().as_str()), (204, "1/0/0"));
        let answer = push_v2(&cluster, &labels("up", "b"), at).await;
        assert_eq!((answer.status.as_u16(), answer.written().as_str()), (202, "1/0/0"));
    }
    assert_eq!(stored(&cluster), [(r#"{__name__="up", cluster="c"}"#.to_owned(), 2)]);
}

#[tokio::test]
async fn an_ingester_that_forgot_is_told_the_labels_without_the_replica() {
    for version in [1, 2] {
        let cluster = Cluster::one(limits());
        for at in [NOW_MS, NOW_MS + 1] {
            // The fake ingester checks that the id is that of the labels.
            cluster.ingesters[0].forget();
            let labels = labels("up", "a");
            let answer = match version {
                1 => push_v1(&cluster, &[&labels], at).await,
                _ => push_v2(&cluster, &labels, at).await,
            };
            assert_eq!(answer.status, 204, "{}", answer.text);
        }
        assert_eq!(stored(&cluster), [(r#"{__name__="up", cluster="c"}"#.to_owned(), 2)]);
    }
}

#[tokio::test]
async fn a_mixed_request_is_judged_series_by_series() {
    let cluster = Cluster::one(limits());
    assert_eq!(push_v1(&cluster, &[&labels("up", "a")], NOW_MS).await.status, 204);
    let plain = [("__name__", "down"), ("__replica__", "b")];
    let (lost, won) = (labels("up", "b"), labels("up", "a"));
    let mixed: [Series<'_>; 3] = [&lost, &plain, &won];
    assert_eq!(push_v1(&cluster, &mixed, NOW_MS + 1).await.status, 204);
    let expected = [
        (r#"{__name__="down", __replica__="b"}"#.to_owned(), 1),
        (r#"{__name__="up", cluster="c"}"#.to_owned(), 2),
    ];
    assert_eq!(stored(&cluster), expected);
}

#[tokio::test]
async fn one_cluster_too_many_is_400_and_the_rest_is_written() {
    let cluster = Cluster::one(Limits { ha_max_clusters: 1, ..limits() });
    let other = [("__name__", "up"), ("__replica__", "a"), ("cluster", "d")];
    let answer = push_v1(&cluster, &[&labels("up", "a"), &other], NOW_MS).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text.starts_with("err-skald-max-ha-clusters: 1 of 2 samples"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("limit of 1 (setting ha_max_clusters)"), "{}", answer.text);
    assert_eq!(stored(&cluster), [(r#"{__name__="up", cluster="c"}"#.to_owned(), 1)]);
}

#[tokio::test]
async fn nothing_is_removed_unless_the_tenant_has_pairs() {
    let cluster = Cluster::one(Limits::default());
    for replica in ["a", "b"] {
        assert_eq!(push_v1(&cluster, &[&labels("up", replica)], NOW_MS).await.status, 204);
    }
    assert_eq!(stored(&cluster).len(), 2);
}

#[tokio::test]
async fn a_tenant_sees_its_own_clusters() {
    let cluster = Cluster::one(limits());
    push_v1(&cluster, &[&labels("up", "a")], NOW_MS).await;
    for (tenant, n) in [("t", 1), ("u", 0)] {
        let request = http::Request::get("/distributor/ha_tracker")
            .extension(TenantId::parse(tenant).unwrap());
        let answer = cluster.send(request.body(axum::body::Body::empty()).unwrap()).await;
        let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(json["clusters"].as_array().unwrap().len(), n, "{json}");
    }
}
