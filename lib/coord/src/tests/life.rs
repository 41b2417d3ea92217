//! Joining, restarting, draining, coming back.

use std::path::Path;
use std::time::Duration;

use skald_ring::{Coordinator, PartitionState};

use super::world::{World, name};
use crate::JoinError;
use crate::drain::DrainError;
use crate::store::KeyStore;

#[tokio::test(start_paused = true)]
async fn a_partition_takes_data_once_all_its_replicas_are_ready() {
    let mut world = World::default();
    world.start('a', 0).await;
    world.start('b', 0).await;
    world.pass(40).await;
    assert_eq!(world.state("ingester-a-0", 0), Some(PartitionState::Pending));
    assert_eq!(world.of("ingester-a-0").view().writable().count(), 0);
    world.start('c', 0).await;
    world.pass(40).await;
    for key in ["ingester-a-0", "ingester-b-0", "ingester-c-0"] {
        assert_eq!(world.state(key, 0), Some(PartitionState::Active), "{key}");
        assert_eq!(world.of(key).view().partitions[0].replicas.len(), 3);
    }
    let versions: Vec<u64> = world.nodes.values().map(|n| n.cluster.view().version).collect();
    assert!(versions.windows(2).all(|w| w[0] == w[1]), "{versions:?}");
}

#[tokio::test(start_paused = true)]
async fn a_further_partition_is_read_before_it_is_written() {
    let mut world = World::of_three().await;
    for zone in ['a', 'b', 'c'] {
        world.start(zone, 1).await;
    }
    let joining = |w: &World| w.state("ingester-a-0", 1) == Some(PartitionState::Joining);
    for _ in 0..300 {
        world.pass(1).await;
        if joining(&world) {
            break;
        }
    }
    world.pass(15).await;
    for node in world.nodes.values() {
        let view = node.cluster.view();
        assert_eq!((view.writable().count(), view.readable().count()), (1, 2));
    }
    world.pass(20).await;
    assert_eq!(world.state("ingester-a-0", 1), Some(PartitionState::Active));
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_a_new_epoch_and_keeps_its_seat() {
    let mut world = World::of_three().await;
    let before = world.replica("ingester-a-0", "ingester-b-0").epoch;
    world.stop("ingester-b-0").await;
    world.pass(20).await;
    assert!(!world.of("ingester-a-0").picture().members.contains_key("ingester-b-0"));
    assert_eq!(world.state("ingester-a-0", 0), Some(PartitionState::Active));
    world.start('b', 0).await;
    world.pass(20).await;
    let after = world.replica("ingester-a-0", "ingester-b-0");
    assert_eq!((after.epoch, after.rebuilding), (before + 1, false));
    assert!(world.told.flushes.lock().is_empty(), "nobody had anything to make up for");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_dies_is_gone_after_its_lease_and_its_partition_stays() {
    let mut world = World::of_three().await;
    world.kill("ingester-c-0").await;
    world.pass(30).await;
    let picture = world.of("ingester-a-0").picture();
    assert!(!picture.members.contains_key("ingester-c-0"));
    assert_eq!(world.of("ingester-a-0").view().partitions[0].replicas.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_drained_partition_is_flushed_and_then_left_out() {
    let mut world = World::of_three().await;
    assert_eq!(world.of("ingester-a-0").drain(0).await, Err(DrainError::LastActive(0)));
    for zone in ['a', 'b', 'c'] {
        world.start(zone, 1).await;
    }
    world.pass(60).await;
    assert_eq!(world.state("ingester-a-0", 1), Some(PartitionState::Active));
    world.told.dead.lock().extend([name('a', 0), name('b', 0)]);
    let drained = world.of("ingester-c-1").drain(0).await;
    assert_eq!(drained, Ok(PartitionState::ReadOnly));
    let bar = world.of("ingester-c-1").view().version;
    world.pass(60).await;
    let view = world.of("ingester-a-1").view();
    assert_eq!(
        world.state("ingester-a-1", 0),
        Some(PartitionState::ReadOnly),
        "one of three flushed"
    );
    assert_eq!((view.writable().count(), view.readable().count()), (1, 2));

    world.told.dead.lock().clear();
    let expired = *world.told.expired.lock();
    world.pass(60).await;
    assert_eq!(world.state("ingester-a-1", 0), Some(PartitionState::Removed));
    assert!(world.told.flushes.lock().iter().all(|(_, min_view)| *min_view >= bar));
    assert!(*world.told.expired.lock() >= expired + 6, "all six read their manifests anew");
    assert_eq!(world.of("ingester-b-0").view().readable().count(), 1);
    world.pass(60).await;
    assert_eq!(world.state("ingester-a-1", 0), Some(PartitionState::Removed), "and stays out");

    // Started again, its ingesters make it a new partition.
    for zone in ['a', 'b', 'c'] {
        world.stop(&name(zone, 0)).await;
        world.start(zone, 0).await;
    }
    world.pass(70).await;
    assert_eq!(world.state("ingester-a-1", 0), Some(PartitionState::Active));
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_taken_back() {
    let mut world = World::of_three().await;
    for zone in ['a', 'b', 'c'] {
        world.start(zone, 1).await;
    }
    world.pass(60).await;
    world.told.dead.lock().extend(['a', 'b', 'c'].map(|z| name(z, 1)));
    world.of("ingester-a-0").drain(1).await.unwrap();
    world.pass(20).await;
    assert_eq!(world.of("ingester-a-0").undrain(1).await, Ok(PartitionState::Active));
    world.told.dead.lock().clear();
    world.pass(60).await;
    assert_eq!(world.state("ingester-b-1", 1), Some(PartitionState::Active));
    assert_eq!(world.of("ingester-a-0").drain(7).await, Err(DrainError::Unknown(7)));
}

#[tokio::test(start_paused = true)]
async fn all_agree_on_the_number_of_replicas() {
    let world = World::of_three().await;
    let process = crate::Process {
        id: "distributor-x".to_owned(),
        member: world.of("ingester-a-0").0.member.lock().clone(),
        replication_factor: 1,
        data_dir: tempfile::tempdir().unwrap().path().to_owned(),
    };
    let store = std::sync::Arc::clone(&world.store) as _;
    let clock = std::sync::Arc::new(skald_runtime::SystemClock);
    let prefix = super::world::PREFIX.to_owned();
    let opened =
        crate::Cluster::open(store, prefix, crate::Timing::default(), process, clock).await;
    assert!(matches!(opened, Err(JoinError::ReplicationFactor { ours: 1, theirs: 3 })));
}

#[tokio::test(start_paused = true)]
async fn living_members_share_all_items_and_keep_theirs_when_others_die() {
    let mut world = World::of_three().await;
    let owner = |w: &World, item: u64| {
        let has = |key: &&String| w.of(key).shares("ingester", item);
        let owners: Vec<_> = w.nodes.keys().filter(has).cloned().collect();
        assert_eq!(owners.len(), 1, "{item}: {owners:?}");
        owners[0].clone()
    };
    // Hashes, as those of tenants are.
    let items: Vec<u64> = (1..500u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let before: Vec<_> = items.iter().map(|&item| owner(&world, item)).collect();
    let c = name('c', 0);
    let of_c = before.iter().filter(|o| **o == c).count();
    assert!((100..230).contains(&of_c), "{of_c} of 499 fall to one of three");
    // Of a role that nobody has, everybody does everything.
    assert!(world.nodes.values().all(|n| n.cluster.shares("compactor", 7)));
    world.kill(&c).await;
    world.pass(30).await;
    for (&item, was) in items.iter().zip(&before) {
        let now = owner(&world, item);
        assert!(now == *was || *was == c, "{item} went from {was} to {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_disk_is_written_only_for_what_it_keeps() {
    let mut world = World::of_three().await;
    let kept = world.kept("ingester-a-0");
    // Whoever writes puts a new file there.
    std::fs::remove_file(&kept).unwrap();
    world.kill("ingester-c-0").await;
    world.pass(60).await;
    assert!(!world.of("ingester-a-0").picture().members.contains_key("ingester-c-0"));
    assert!(!kept.exists(), "a member that went was written down");
    world.start('c', 0).await;
    world.pass(20).await;
    assert!(kept.exists(), "a new epoch was not written down");
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_makes_no_sense_is_neither_shown_nor_kept() {
    let world = World::of_three().await;
    let cluster = world.of("ingester-a-0");
    let kept = |path: &Path| std::fs::read(path).unwrap();
    let (version, path) = (cluster.view().version, world.kept("ingester-a-0"));
    let before = kept(&path);
    let key = format!("{}partitions/9", super::world::PREFIX);
    let twice = r#"{"id":"x","zone":"a","addr":"x"}"#;
    let record = format!(r#"{{"state":"active","since_ms":0,"replicas":[{twice},{twice}]}}"#);
    world.store.put(&key, 0, record.into(), None).await.unwrap();
    world.pass(30).await;
    assert_eq!(cluster.view().version, version);
    assert_eq!(kept(&path), before);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_overtaken_is_not_taken_for_a_loss_of_data() {
    let world = World::of_three().await;
    let cluster = world.of("ingester-a-0");
    let version = cluster.view().version;
    world.store.answer_late(Duration::from_secs(1));
    let changed = async {
        tokio::task::yield_now().await;
        let key = format!("{}epochs/x", super::world::PREFIX);
        let record = r#"{"epoch":1,"disk":"x"}"#;
        world.store.put(&key, 0, record.into(), None).await.unwrap().unwrap();
        cluster.look().await
    };
    let (late, prompt) = tokio::join!(cluster.look(), changed);
    assert_eq!((late, prompt), (Ok(()), Ok(())));
    world.pass(30).await;
    assert!((version + 1..version + 1000).contains(&cluster.view().version));
}
