//! Who commits what, once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use skald_model::ErrorKind;
use skald_proto::catalog::Commit;
use skald_runtime::{HumanDuration, ManualClock};

use super::faulty::Fault;
use super::{START_MS, World, add, block, ids, remove, tenant};
use crate::{Change, CommitError, GcOptions, MetricMetadata, path};

#[tokio::test(start_paused = true)]
async fn concurrent_commits_land_once_each_without_gaps() {
    let world = World::new(1);
    world.store.set_percent(5);
    let committers = (0..8).map(|c| {
        let catalog = world.catalog(&format!("ingester-{c}"), 1);
        async move {
            let mut numbers = Vec::new();
            for i in 1..=25u64 {
                let change = Change { watermark: Some(i), ..add(&format!("b-{c}-{i:02}")) };
                numbers.push(catalog.commit(&tenant(), change).await.unwrap());
            }
            assert!(numbers.is_sorted_by(|a, b| a < b));
            numbers
        }
    });
    let numbers: BTreeSet<u64> = join_all(committers).await.into_iter().flatten().collect();
    assert_eq!(numbers, (1..=200).collect());
    world.store.set_percent(0);
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!(view.number, 200);
    assert_eq!(view.blocks.len(), 200);
    for c in 0..8 {
        assert_eq!(view.watermark(&format!("ingester-{c}")), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_of_one_process_take_turns() {
    let world = World::new(2);
    let catalog = world.catalog("ingester-0", 1);
    let commits = (0..30).map(|i| {
        let catalog = catalog.clone();
        async move { catalog.commit(&tenant(), add(&format!("b{i:02}"))).await.unwrap() }
    });
    let numbers: BTreeSet<u64> = join_all(commits).await.into_iter().collect();
    assert_eq!(numbers, (1..=30).collect());
    assert_eq!(catalog.refresh(&tenant()).await.unwrap().blocks.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_commit_counts_once_whatever_the_store_answers() {
    let all = [Fault::Refused, Fault::AckLost, Fault::AckIsExists, Fault::FalseExists];
    for first in all {
        for second in all {
            let world = World::new(3);
            let catalog = world.catalog("ingester-0", 1);
            catalog.commit(&tenant(), add("b0")).await.unwrap();
            world.store.faults.lock().extend([first, second]);
            let number = catalog.commit(&tenant(), add("b1")).await.unwrap();
            assert_eq!(number, 2, "{first:?} {second:?}");
            let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
            assert_eq!((view.number, ids(&view)), (2, vec!["b0", "b1"]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_removal_is_not_taken_for_a_conflict() {
    for fault in [Fault::AckLost, Fault::AckIsExists] {
        let world = World::new(3);
        let catalog = world.catalog("compactor", 1);
        catalog.commit(&tenant(), add("b1")).await.unwrap();
        world.store.faults.lock().push_back(fault);
        assert_eq!(catalog.commit(&tenant(), remove("b1")).await.unwrap(), 2);
    }
}

#[test]
fn a_removed_id_never_comes_back() {
    let mut view = crate::View::empty(&tenant(), 0);
    let mut apply = |number, adds: &[&str], removes: &[&str]| {
        view.apply(Commit {
            number,
            adds: adds.iter().map(|id| block(id)).collect(),
            removes: removes.iter().map(|&id| id.to_owned()).collect(),
            ..Commit::default()
        });
        (view.blocks.len(), view.removed.len())
    };
    assert_eq!(apply(1, &["a", "b"], &[]), (2, 0));
    assert_eq!(apply(2, &["a"], &["b", "none"]), (1, 1));
    assert_eq!(apply(3, &["b"], &[]), (1, 1));
    assert_eq!(apply(4, &[], &["b"]), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn repeating_a_commit_of_unknown_outcome_makes_it_once() {
    let world = World::new(4);
    let catalog = world.catalog("ingester-0", 1);
    world.store.faults.lock().push_back(Fault::AckLost);
    assert_eq!(catalog.commit(&tenant(), add("b1")).await.unwrap(), 1);
    // The process does not know, and another one commits meanwhile.
    let again = world.catalog("ingester-0", 1);
    world.catalog("compactor", 1).commit(&tenant(), add("c1")).await.unwrap();
    assert_eq!(again.commit(&tenant(), add("b1")).await.unwrap(), 2);
    // Also once the block has been compacted away.
    let merge = Change {
        adds: vec![block("c2")],
        removes: vec!["b1".into(), "c1".into()],
        ..Change::default()
    };
    assert_eq!(again.commit(&tenant(), merge.clone()).await.unwrap(), 3);
    assert_eq!(catalog.commit(&tenant(), add("b1")).await.unwrap(), 1);
    assert_eq!(catalog.commit(&tenant(), merge).await.unwrap(), 3);
    assert_eq!(catalog.commit(&tenant(), add("b1")).await.unwrap(), 3);
    assert_eq!(ids(&catalog.refresh(&tenant()).await.unwrap()), ["c2"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_an_error_and_ends() {
    let world = World::new(5);
    let catalog = world.catalog("ingester-0", 1);
    world.store.down.store(true, Ordering::SeqCst);
    let error = catalog.commit(&tenant(), add("b1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    world.store.down.store(false, Ordering::SeqCst);
    assert_eq!(catalog.commit(&tenant(), add("b1")).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn adds_rebase_and_removes_conflict() {
    let world = World::new(6);
    let (a, b) = (world.catalog("compactor-a", 1), world.catalog("compactor-b", 1));
    for id in ["b1", "b2", "b3"] {
        a.commit(&tenant(), add(id)).await.unwrap();
    }
    b.refresh(&tenant()).await.unwrap();
    let merge = |to: &str, from: [&str; 2]| Change {
        adds: vec![block(to)],
        removes: from.map(str::to_owned).to_vec(),
        ..Change::default()
    };
    assert_eq!(a.commit(&tenant(), merge("c1", ["b1", "b2"])).await.unwrap(), 4);
    let lost = b.commit(&tenant(), merge("c2", ["b2", "b3"])).await.unwrap_err();
    assert!(matches!(&lost, CommitError::Conflict { block } if block == "b2"), "{lost}");
    assert_eq!(lost.kind(), ErrorKind::Conflict);
    assert_eq!(b.commit(&tenant(), add("b4")).await.unwrap(), 5);
    assert!(matches!(b.commit(&tenant(), remove("b1")).await, Err(CommitError::Conflict { .. })));
    let view = b.refresh(&tenant()).await.unwrap();
    assert_eq!(ids(&view), ["b3", "b4", "c1"]);
    let removed = view.removed.values().map(|r| (r.id.as_str(), r.removed_ms));
    assert!(removed.eq([("b1", START_MS), ("b2", START_MS)]));
}

#[tokio::test(start_paused = true)]
async fn an_old_incarnation_is_fenced_off() {
    let world = World::new(7);
    let (old, new) = (world.catalog("ingester-0", 1), world.catalog("ingester-0", 2));
    old.commit(&tenant(), add("b1")).await.unwrap();
    new.commit(&tenant(), add("b2")).await.unwrap();
    let fenced = old.commit(&tenant(), add("b3")).await.unwrap_err();
    assert!(matches!(fenced, CommitError::Fenced { epoch: 1, recorded: 2, .. }), "{fenced}");
    // Fencing goes by replica, and is known after a checkpoint too.
    world.catalog("ingester-1", 1).commit(&tenant(), add("b4")).await.unwrap();
    for i in 0..100 {
        new.commit(&tenant(), add(&format!("n{i:03}"))).await.unwrap();
    }
    let zombie = world.catalog("ingester-0", 1);
    assert!(matches!(zombie.commit(&tenant(), add("b5")).await, Err(CommitError::Fenced { .. })));
}

#[tokio::test(start_paused = true)]
async fn watermarks_and_metadata_only_grow() {
    let world = World::new(8);
    let catalog = world.catalog("ingester-0", 1);
    let metadata = |name: &str, help: &str| MetricMetadata {
        name: name.to_owned(),
        kind: "counter".to_owned(),
        help: help.to_owned(),
        unit: String::new(),
    };
    let change =
        |watermark, metadata| Change { watermark: Some(watermark), metadata, ..Change::default() };
    let seen = vec![metadata("a", "old"), metadata("a", "new"), metadata("b", "x")];
    assert_eq!(catalog.commit(&tenant(), change(7, seen.clone())).await.unwrap(), 1);
    assert_eq!(catalog.commit(&tenant(), change(5, seen[1..].to_vec())).await.unwrap(), 1);
    assert_eq!(catalog.commit(&tenant(), Change::default()).await.unwrap(), 1);
    assert_eq!(catalog.commit(&tenant(), change(9, Vec::new())).await.unwrap(), 2);
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!(view.watermark("ingester-0"), 9);
    assert_eq!(view.metadata["a"].help, "new");
    assert_eq!(view.metadata.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_that_cannot_be_are_refused() {
    let world = World::new(9);
    let catalog = world.catalog("ingester-0", 1);
    for bad in ["", "../x", "a/b", "a b"] {
        let refused = catalog.commit(&tenant(), add(bad)).await.unwrap_err();
        assert!(matches!(refused, CommitError::Invalid(_)), "{refused}");
    }
    let twice = Change { adds: vec![block("b"), block("b")], ..Change::default() };
    assert!(matches!(catalog.commit(&tenant(), twice).await, Err(CommitError::Invalid(_))));
    assert_eq!(world.store.puts.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_number_below_the_boundary_is_no_success() {
    let mut world = World::new(10);
    world.config.request_timeout = HumanDuration::from_secs(1_000_000);
    // A process that is stopped while its creation of number 3 is on its way, and whose clocks stop too.
    let others = world.catalog("ingester-1", 1);
    for i in 0..2 {
        others.commit(&tenant(), add(&format!("a{i}"))).await.unwrap();
    }
    let moving = std::mem::replace(&mut world.clock, ManualClock::at_ms(START_MS));
    let stopped = world.catalog("ingester-0", 1);
    world.clock = moving;
    stopped.refresh(&tenant()).await.unwrap();
    let gate = world.store.hold(path::commit(&tenant(), 3));
    let stalled = async { stopped.commit(&tenant(), add("stale")).await };
    let rest = async {
        tokio::task::yield_now().await;
        for i in 0..250 {
            others.commit(&tenant(), add(&format!("n{i:03}"))).await.unwrap();
        }
        world.advance_ms(8 * 24 * 3_600_000);
        let report = others.gc(&tenant(), &GcOptions::default()).await.unwrap();
        assert_eq!(report.deleted_commits, 200);
        gate.add_permits(1);
    };
    let (stalled, ()) = tokio::join!(stalled, rest);
    let error = stalled.unwrap_err();
    assert!(matches!(error, CommitError::Expired { number: 3 }), "{error}");
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!(view.number, 252);
    assert!(view.block("stale").is_none());
    // Tried again it lands where it counts.
    assert_eq!(stopped.commit(&tenant(), add("stale")).await.unwrap(), 253);
}
