//! Limits: refusals name them, what is known goes on, and replay takes what was acknowledged.

use skald_codec::batch::MetricsBuilder;
use skald_model::{ErrorKind, Labels, MetricMetadata};
use skald_rpc::IngesterApi;
use skald_runtime::ByteSize;

use crate::support::*;

#[tokio::test]
async fn new_series_above_the_limit_are_refused_and_known_ones_go_on() {
    let mut machine = Machine::new();
    machine.limits.max_global_series_per_user = 3;
    let node = machine.start().await;
    let outcome = node.push(samples(0..5, 1, Send::Labels)).await.unwrap();
    let refusal = &outcome.rejections[0];
    assert_eq!((outcome.samples, refusal.count, refusal.kind), (3, 2, ErrorKind::Invalid));
    assert_eq!(refusal.id, "err-skald-max-series-per-user");
    for part in ["3", "default", "limits.max_global_series_per_user"] {
        assert!(refusal.message.contains(part), "{part} in {}", refusal.message);
    }
    assert_eq!(node.push(samples(0..5, 2, Send::Labels)).await.unwrap().samples, 3);
    let before = node.floats_once().await;
    assert_eq!(before, floats(0..3, &[1, 2]));

    // A lower limit after a crash loses nothing that was acknowledged, and nothing refused appears.
    machine.limits.max_global_series_per_user = 1;
    machine.kill(node);
    let node = machine.start().await;
    assert_eq!(node.floats_once().await, before);
    assert_eq!(node.push(samples(0..5, 3, Send::Labels)).await.unwrap().samples, 3);
}

#[tokio::test]
async fn series_of_one_metric_are_limited() {
    let mut machine = Machine::new();
    machine.limits.max_global_series_per_metric = 2;
    let node = machine.start().await;
    let outcome = node.push(samples(0..3, 1, Send::Labels)).await.unwrap();
    assert_eq!(outcome.rejections[0].id, "err-skald-max-series-per-metric");
    let other = Labels::from_pairs([("__name__", "other")]);
    let mut b = MetricsBuilder::new(0);
    b.series(other.id(), Some(&other), &[(1, 1.0)], &[], &[]);
    assert_eq!(node.push(b.finish()).await.unwrap().samples, 1);
}

#[tokio::test]
async fn streams_are_limited_and_the_client_may_retry() {
    let mut machine = Machine::new();
    machine.limits.max_global_streams_per_user = 2;
    let node = machine.start().await;
    let outcome = node.push(lines(0..4, 1, Send::Labels)).await.unwrap();
    let refusal = &outcome.rejections[0];
    assert_eq!((outcome.entries, refusal.count, refusal.kind), (2, 2, ErrorKind::LimitExceeded));
    assert_eq!(refusal.id, "err-skald-max-streams-per-user");
    assert!(refusal.message.starts_with("maximum active stream limit exceeded when trying to"));
    machine.kill(node);
    assert_eq!(machine.start().await.lines().await.len(), 2);
}

#[tokio::test]
async fn metadata_is_limited() {
    let mut machine = Machine::new();
    machine.limits.max_global_metadata_per_user = 1;
    let node = machine.start().await;
    let mut b = MetricsBuilder::new(0);
    for name in ["a", "b"] {
        b.metadata(&MetricMetadata { name: name.into(), ..MetricMetadata::default() });
    }
    let outcome = node.push(b.finish()).await.unwrap();
    assert_eq!(outcome.rejections[0].id, "err-skald-max-metadata-per-user");
}

#[tokio::test]
async fn pushes_are_refused_at_the_memory_limit_until_a_flush() {
    let mut machine = Machine::new();
    machine.config.memory_limit = ByteSize(64 << 10);
    let node = machine.start().await;
    let mut t = 0;
    let refusal = loop {
        match node.push(lines(0..100, t, Send::Labels)).await {
            Ok(_) => t += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    assert!(refusal.message.starts_with("err-skald-ingester-memory"), "{}", refusal.message);
    assert!(node.ingester.memory_used() <= 96 << 10, "{}", node.ingester.memory_used());
    node.ingester.flush(0).await.unwrap();
    node.push(lines(0..10, t, Send::Labels)).await.unwrap();
    assert_eq!(node.lines().await.len(), usize::try_from(t).unwrap() * 100 + 10);
}

/// Series that were made by a push whose record the log refused have no labels in the log.
#[tokio::test]
async fn pushes_refused_on_a_full_disk_can_be_repeated_without_labels() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    node.push(samples(0..1, 1, Send::Labels)).await.unwrap();
    machine.fs.set_capacity(Some(machine.fs.used()));
    let mut refused = 0;
    for n in 0..20 {
        if let Err(e) = node.push(samples(n..n + 1, 2, Send::Labels)).await {
            assert_eq!(e.kind, ErrorKind::Unavailable);
            assert!(e.message.contains("err-skald-wal-disk-full"), "{}", e.message);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    machine.fs.set_capacity(None);
    for n in 0..20 {
        while node.push(samples(n..n + 1, 2, Send::Ids)).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    let mut want = floats(0..20, &[2]);
    want.extend(floats(0..1, &[1]));
    machine.kill(node);
    assert_eq!(machine.start().await.floats_once().await, want);
}

#[tokio::test]
async fn a_push_that_the_full_log_refused_can_be_repeated_later() {
    let mut machine = Machine::new();
    machine.config.wal.max_total_size = ByteSize(8 << 10);
    let node = machine.start().await;
    let mut t = 0;
    let refusal = loop {
        match node.push(samples(0..20, t, Send::Labels)).await {
            Ok(_) => t += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    node.push(samples(50..60, t, Send::Labels)).await.unwrap_err();
    node.ingester.flush(0).await.unwrap();
    // The retry comes without labels: to the sender they are known.
    let again = loop {
        match node.push(samples(50..60, t, Send::Ids)).await {
            Ok(outcome) => break outcome,
            // The log shrinks a little after the flush.
            Err(e) => assert_eq!(e.kind, ErrorKind::Unavailable),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(again.samples, 10);
    let times: Vec<i64> = (0..t).collect();
    let mut want = floats(0..20, &times);
    want.extend(floats(50..60, &[t]));
    machine.kill(node);
    let node = machine.start().await;
    let found = node.floats().await;
    for (key, value) in want {
        assert_eq!(found.get(&key), Some(&value), "{key:?}");
    }
}

#[tokio::test]
async fn a_limit_is_shared_by_the_partitions_that_a_tenant_has() {
    for (shard_size, taken) in [(0, 1), (1, 3), (2, 2), (9, 1)] {
        let mut machine = Machine::new();
        machine.n_partitions = 3;
        machine.limits.max_global_series_per_user = 3;
        machine.limits.ingestion_tenant_shard_size = shard_size;
        let node = machine.start().await;
        let outcome = node.push(samples(0..5, 1, Send::Labels)).await.unwrap();
        assert_eq!(outcome.samples, taken, "{shard_size}");
    }
}
