//! Crashes between any two steps lose nothing that was acknowledged and duplicate nothing.

use skald_model::{ErrorKind, Signal, TenantId, TimeRange};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::{Listing, SelectSeries};
use skald_runtime::ByteSize;

use crate::support::*;

const STEPS: [Trap; 4] = [
    Trap { path: "/b/", lands: false },
    Trap { path: "/b/", lands: true },
    Trap { path: "/m/", lands: false },
    Trap { path: "/m/", lands: true },
];

async fn push_both(node: &Node, n: std::ops::Range<usize>, t: i64, send: Send) {
    let outcome = node.push(samples(n.clone(), t, send)).await.unwrap();
    assert_eq!(outcome.samples, n.len() as u64);
    let outcome = node.push(lines(n.clone(), t, send)).await.unwrap();
    assert_eq!(outcome.entries, n.len() as u64);
}

async fn assert_once(node: &Node, n: std::ops::Range<usize>, times: &[i64]) {
    assert_eq!(node.floats_once().await, floats(n.clone(), times));
    let mut want: Lines = Vec::new();
    for i in n {
        want.extend(times.iter().map(|t| (labels(i), *t, line(i, *t))));
    }
    want.sort();
    assert_eq!(node.lines().await, want);
}

#[tokio::test]
async fn acknowledged_data_survives_kill_and_power_loss() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    push_both(&node, 0..10, 1, Send::Labels).await;
    machine.kill(node);
    let node = machine.start().await;
    assert_once(&node, 0..10, &[1]).await;
    push_both(&node, 0..10, 2, Send::Ids).await;
    machine.cut_power(node);
    let node = machine.start().await;
    assert_once(&node, 0..10, &[1, 2]).await;
}

#[tokio::test]
async fn nothing_is_answered_before_the_log_is_read() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    push_both(&node, 0..10, 1, Send::Labels).await;
    machine.kill(node);
    let (node, replay) = machine.begin().await;
    let tenant = TenantId::single();
    let all = TimeRange::ALL;
    let selects = SelectSeries { matchers: Vec::new(), range: all, only: None, ids: false };
    let errors = [
        node.push(samples(0..10, 2, Send::Labels)).await.err(),
        node.ingester.select_series(&tenant, &[], all).await.err(),
        node.ingester.encoded_series(&tenant, &selects).await.err(),
        node.ingester.select_entries(&tenant, &everything()).await.err(),
        node.ingester.labels(&tenant, Signal::Logs, &[], all).await.err(),
        node.ingester.list(&tenant, &Listing::Names, &[], all).await.err(),
        node.ingester.metadata(&tenant).await.err(),
        node.ingester.exemplars(&tenant, &[], all).await.err(),
        node.ingester.stats(&tenant, &[], all).await.err(),
        node.ingester.usage(&tenant).await.err(),
        node.ingester.tail(&tenant, &[]).await.err(),
        node.ingester.flush(0).await.err(),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("call {i} was answered"));
        assert_eq!(error.kind, ErrorKind::Unavailable, "call {i}");
        assert!(error.message.starts_with("err-skald-ingester-replaying: "), "{}", error.message);
    }
    node.ingester.replay(replay).await.unwrap();
    assert_once(&node, 0..10, &[1]).await;
    push_both(&node, 0..10, 2, Send::Ids).await;
    assert_once(&node, 0..10, &[1, 2]).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_flush_keeps_everything_once() {
    for trap in STEPS {
        let mut machine = Machine::new();
        let node = machine.start().await;
        push_both(&node, 0..5, 1, Send::Labels).await;
        node.ingester.flush(0).await.unwrap();
        push_both(&node, 0..5, 2, Send::Ids).await;
        machine.store.set(trap);
        node.ingester.flush(0).await.unwrap_err();
        // Served while the store is away, and acknowledged behind the cut.
        push_both(&node, 0..5, 3, Send::Ids).await;
        machine.kill(node);

        let node = machine.start().await;
        assert_once(&node, 0..5, &[1, 2, 3]).await;
        push_both(&node, 0..5, 4, Send::Ids).await;
        node.ingester.flush(0).await.unwrap();
        assert_once(&node, 0..5, &[1, 2, 3, 4]).await;
        machine.cut_power(node);
        let node = machine.start().await;
        assert_once(&node, 0..5, &[1, 2, 3, 4]).await;
        assert!(node.head().await.is_empty(), "{trap:?}");
    }
}

#[tokio::test]
async fn a_flush_that_failed_is_resumed() {
    for trap in STEPS {
        let mut machine = Machine::new();
        let node = machine.start().await;
        push_both(&node, 0..5, 1, Send::Labels).await;
        machine.store.set(trap);
        node.ingester.flush(0).await.unwrap_err();
        assert!(machine.store.is_down());
        push_both(&node, 0..5, 2, Send::Ids).await;
        machine.store.heal();
        node.ingester.flush(0).await.unwrap();
        assert_once(&node, 0..5, &[1, 2]).await;
        assert!(node.head().await.is_empty(), "{trap:?}");
    }
}

#[tokio::test]
async fn labels_are_logged_again_behind_a_flush() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    push_both(&node, 0..50, 1, Send::Labels).await;
    let before = machine.fs.used();
    node.ingester.flush(0).await.unwrap();
    // The labels' first records are gone from the log.
    push_both(&node, 0..1, 2, Send::Ids).await;
    while machine.fs.used() >= before {
        node.ingester.flush(0).await.unwrap();
        tokio::task::yield_now().await;
    }
    push_both(&node, 0..1, 3, Send::Ids).await;
    push_both(&node, 0..1, 4, Send::Ids).await;
    machine.kill(node);
    let node = machine.start().await;
    assert_eq!(node.head().await.len(), 1);
    let mut want = floats(0..50, &[1]);
    want.extend(floats(0..1, &[2, 3, 4]));
    assert_eq!(node.floats_once().await, want);
    // Known again after the replay, and logged: a second crash finds it all.
    push_both(&node, 0..1, 5, Send::Ids).await;
    want.extend(floats(0..1, &[5]));
    machine.kill(node);
    assert_eq!(machine.start().await.floats_once().await, want);
}

#[tokio::test]
async fn a_log_larger_than_memory_is_replayed() {
    let mut machine = Machine::new();
    let times: Vec<i64> = (0..60).collect();
    let node = machine.start().await;
    push_both(&node, 0..20, 0, Send::Labels).await;
    for t in &times[1..] {
        push_both(&node, 0..20, *t, Send::Ids).await;
    }
    machine.kill(node);
    machine.config.memory_limit = ByteSize(48 << 10);
    let node = machine.start().await;
    assert!(node.ingester.memory_used() <= 48 << 10);
    assert_once(&node, 0..20, &times).await;
    let view = node.catalog.refresh(&TenantId::single()).await.unwrap();
    assert!(view.number > 1, "flushed in the middle");
    // Nothing was logged since: the labels still stand at the front of the log.
    machine.kill(node);
    let node = machine.start().await;
    assert_once(&node, 0..20, &times).await;
    node.ingester.flush(0).await.unwrap();
    push_both(&node, 0..20, 99, Send::Ids).await;
    machine.kill(node);
    let node = machine.start().await;
    let all: Vec<i64> = times.into_iter().chain([99]).collect();
    assert_once(&node, 0..20, &all).await;
}

/// Records behind a cut that replay made name series whose labels stand before it.
#[tokio::test]
async fn the_log_is_kept_whole_after_a_flush_in_the_middle_of_a_replay() {
    let mut machine = Machine::new();
    let times: Vec<i64> = (0..60).collect();
    let node = machine.start().await;
    push_both(&node, 0..20, 0, Send::Labels).await;
    for t in &times[1..] {
        push_both(&node, 0..20, *t, Send::Ids).await;
    }
    machine.kill(node);
    machine.config.memory_limit = ByteSize(48 << 10);
    let node = machine.start().await;
    let other = TenantId::parse("other").unwrap();
    node.push_as(&other, samples(0..1, 1, Send::Labels)).await.unwrap();
    // The next flush fails for this tenant and truncates for the other.
    machine.store.refuse("t/default/b/");
    node.ingester.flush(0).await.unwrap_err();
    assert!(!node.head().await.is_empty());
    machine.kill(node);
    let node = machine.start().await;
    assert_once(&node, 0..20, &times).await;
    let unflushed = machine.fs.used();
    node.ingester.flush(0).await.unwrap();
    node.push(samples(0..1, 99, Send::Ids)).await.unwrap();
    while machine.fs.used() >= unflushed {
        node.ingester.flush(0).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pushes_go_on_while_the_store_is_away() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    push_both(&node, 0..3, 1, Send::Labels).await;
    assert_once(&node, 0..3, &[1]).await;
    machine.store.fail();
    node.ingester.flush(0).await.unwrap_err();
    for t in 2..5 {
        push_both(&node, 0..3, t, Send::Ids).await;
        node.ingester.flush(0).await.unwrap_err();
    }
    assert_eq!(node.head().await.iter().map(|s| s.timestamps.len()).sum::<usize>(), 12);
    machine.kill(node);
    let node = machine.start().await;
    assert_once(&node, 0..3, &[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_lost_disk_does_not_make_new_records_look_flushed() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    for t in 0..10 {
        push_both(&node, 0..3, t, Send::Labels).await;
    }
    node.ingester.flush(0).await.unwrap();
    drop(node);
    machine.fs = skald_wal::MemFs::new();
    machine.clock.advance_ms(1000);
    let node = machine.start().await;
    push_both(&node, 0..3, 10, Send::Labels).await;
    machine.kill(node);
    let node = machine.start().await;
    let times: Vec<i64> = (0..11).collect();
    assert_once(&node, 0..3, &times).await;
}

#[tokio::test]
async fn a_second_process_of_the_same_name_fences_the_first() {
    let mut machine = Machine::new();
    let old = machine.start().await;
    push_both(&old, 0..3, 1, Send::Labels).await;
    machine.fs = skald_wal::MemFs::new();
    let new = machine.start().await;
    push_both(&new, 0..3, 2, Send::Labels).await;
    new.ingester.flush(0).await.unwrap();
    old.ingester.flush(0).await.unwrap_err();
    old.ingester.failed().await;
    let refused = old.push(samples(0..3, 3, Send::Ids)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert_once(&new, 0..3, &[2]).await;
}

#[tokio::test]
async fn shutdown_flushes_and_stops_taking_pushes() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    let shutdown = skald_runtime::Shutdown::new();
    let running = skald_runtime::spawn("run", node.ingester.clone().run(shutdown.clone()));
    push_both(&node, 0..3, 1, Send::Labels).await;
    shutdown.trigger();
    running.await.unwrap().unwrap();
    let refused = node.push(samples(0..3, 2, Send::Ids)).await.unwrap_err();
    assert!(refused.message.starts_with("err-skald-ingester-stopping"));
    assert!(node.head().await.is_empty());
    assert_once(&node, 0..3, &[1]).await;
}

#[tokio::test]
async fn the_background_flushes_what_is_old() {
    let mut machine = Machine::new();
    machine.config.flush_check_interval =
        skald_runtime::HumanDuration(std::time::Duration::from_millis(1));
    let node = machine.start().await;
    let shutdown = skald_runtime::Shutdown::new();
    let running = skald_runtime::spawn("run", node.ingester.clone().run(shutdown.clone()));
    push_both(&node, 0..3, 1, Send::Labels).await;
    assert_eq!(node.head().await.len(), 3);
    machine.clock.advance_ms(30 * 60 * 1000);
    while !node.head().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_once(&node, 0..3, &[1]).await;
    shutdown.trigger();
    running.await.unwrap().unwrap();
}
