//! Disks, names and the store itself get lost.

use std::time::Duration;

use skald_ring::{Coordinator, PartitionState};
use tokio::time::timeout;

use super::world::{World, name};

#[tokio::test(start_paused = true)]
async fn a_replica_without_its_disk_is_read_only_after_its_neighbours_flushed() {
    let mut world = World::of_three().await;
    world.kill("ingester-b-0").await;
    world.lose_disk("ingester-b-0");
    world.told.dead.lock().push(name('c', 0));
    world.start('b', 0).await;
    world.pass(60).await;
    let replica = world.replica("ingester-a-0", "ingester-b-0");
    assert!(replica.rebuilding, "one neighbour did not flush");
    let bar = world.of("ingester-a-0").view().version;
    world.told.dead.lock().clear();
    world.told.flushes.lock().clear();
    world.pass(60).await;
    assert!(!world.replica("ingester-a-0", "ingester-b-0").rebuilding);
    let flushes = world.told.flushes.lock().clone();
    for neighbour in [name('a', 0), name('c', 0)] {
        // Nobody who does not know of the new incarnation may write to a neighbour any more.
        assert!(flushes.contains(&(neighbour.clone(), bar)), "{neighbour}: {flushes:?}");
    }
    assert!(!flushes.iter().any(|(id, _)| *id == name('b', 0)));
    assert!(*world.told.expired.lock() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_of_the_same_name_ends_the_first() {
    let mut world = World::of_three().await;
    let first = world.of("ingester-b-0").clone();
    world.start_as("ingester-b-0", 'b', 0, "-other").await.unwrap();
    timeout(Duration::from_secs(60), first.fenced()).await.unwrap();
    world.pass(30).await;
    assert_eq!(world.replica("ingester-a-0", "ingester-b-0").epoch, 2);
    assert!(
        timeout(Duration::from_secs(30), world.of("ingester-b-0-other").fenced()).await.is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn one_disk_has_one_process() {
    let mut world = World::of_three().await;
    let store = std::sync::Arc::clone(&world.store);
    let dir = tempfile::tempdir().unwrap();
    let rng = skald_runtime::Rng::seeded(9);
    let claim = |name: &'static str| {
        let (store, dir, rng) = (std::sync::Arc::clone(&store), dir.path().to_owned(), rng.clone());
        async move { crate::claim(&*store, super::world::PREFIX, "skald", name, &dir, None, &rng).await }
    };
    let first = claim("x").await.unwrap();
    let error = claim("x").await.unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    assert_eq!(claim("x").await.unwrap().epoch, 2);
    crate::claim_above(dir.path(), 9).await.unwrap();
    crate::claim_above(dir.path(), 3).await.unwrap();
    assert_eq!(claim("x").await.unwrap().epoch, 10);
    crate::claim_above(dir.path(), u64::MAX).await.unwrap();
    let error = claim("x").await.unwrap_err();
    assert!(error.to_string().contains("is the last epoch there can be of x"), "{error}");
    let error = claim("y").await.unwrap_err();
    assert!(error.to_string().contains("belongs to replica x"), "{error}");
    world.stop("ingester-a-0").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_name_takes_the_seat_of_a_dead_replica_and_rebuilds() {
    let mut world = World::of_three().await;
    world.start_as("spare", 'c', 0, "").await.unwrap();
    world.pass(40).await;
    let seats = |w: &World| -> Vec<String> {
        let view = w.of("ingester-a-0").view();
        view.partitions[0].replicas.iter().map(|r| r.id.0.clone()).collect()
    };
    assert!(!seats(&world).contains(&"spare".to_owned()), "the seat is taken");
    world.told.dead.lock().push(name('a', 0));
    world.kill("ingester-c-0").await;
    world.pass(60).await;
    assert!(seats(&world).contains(&"spare".to_owned()));
    assert!(world.replica("ingester-a-0", "spare").rebuilding);
    world.told.dead.lock().clear();
    world.pass(30).await;
    assert!(!world.replica("ingester-a-0", "spare").rebuilding);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_the_last_view_stays_also_over_a_restart() {
    let mut world = World::of_three().await;
    let version = world.of("ingester-a-0").view().version;
    world.store.set_away(true);
    world.pass(4 * 3600).await;
    assert_eq!(world.of("ingester-a-0").view().version, version);
    assert!(world.of("ingester-a-0").trouble().is_some());
    world.kill("ingester-b-0").await;
    world.start('b', 0).await;
    let view = world.of("ingester-b-0").view();
    assert_eq!((view.version, view.writable().count()), (version, 1));
    assert_eq!(world.replica("ingester-b-0", "ingester-b-0").epoch, 1, "it goes on as it was");
    world.store.set_away(false);
    world.pass(30).await;
    for key in world.nodes.keys() {
        assert!(world.of(key).trouble().is_none(), "{key}");
        assert!(world.of("ingester-a-0").picture().members.contains_key(key), "{key} is back");
        assert!(!world.of(key).0.fenced.is_triggered(), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_is_written_anew() {
    let mut world = World::of_three().await;
    world.stop("ingester-c-0").await;
    let version = world.of("ingester-a-0").view().version;
    world.store.lose_everything();
    for _ in 0..30 {
        world.pass(1).await;
        let view = world.of("ingester-a-0").view();
        assert_eq!(view.readable().count(), 1, "nobody forgets a partition");
        assert!(view.version >= version);
    }
    let view = world.of("ingester-a-0").view();
    assert!(view.version > version);
    assert_eq!(view.partitions[0].replicas.len(), 3);
    world.start('c', 0).await;
    world.pass(30).await;
    assert_eq!(world.state("ingester-a-0", 0), Some(PartitionState::Active));
    assert_eq!(world.replica("ingester-a-0", "ingester-c-0").epoch, 2);
    let versions: Vec<u64> = world.nodes.values().map(|n| n.cluster.view().version).collect();
    assert!(versions.windows(2).all(|w| w[0] == w[1]), "{versions:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_backup_of_the_store_is_brought_up_to_date() {
    let mut world = World::of_three().await;
    let backup = world.store.backup().await;
    for zone in ['a', 'b', 'c'] {
        world.start(zone, 1).await;
    }
    world.stop("ingester-b-0").await;
    world.start('b', 0).await;
    world.pass(60).await;
    let version = world.of("ingester-a-0").view().version;
    world.store.put_back(backup);
    for _ in 0..40 {
        world.pass(1).await;
        assert_eq!(world.of("ingester-c-0").view().writable().count(), 2, "nobody goes back");
    }
    let view = world.of("ingester-a-1").view();
    assert!(view.version > version, "{} {version}", view.version);
    assert_eq!(world.replica("ingester-a-1", "ingester-b-0").epoch, 2);
    assert!(world.of("ingester-a-1").trouble().is_none());
    world.stop("ingester-c-1").await;
    world.start('c', 1).await;
    world.pass(30).await;
    assert_eq!(world.replica("ingester-a-0", "ingester-c-1").epoch, 2, "all goes on");
}

#[tokio::test(start_paused = true)]
async fn what_a_process_remembers_of_another_cluster_is_not_written_down() {
    let mut world = World::of_three().await;
    for zone in ['a', 'b', 'c'] {
        world.start(zone, 1).await;
    }
    world.pass(60).await;
    world.kill("ingester-c-1").await;
    for zone in ['a', 'b', 'c'] {
        world.stop(&name(zone, 0)).await;
    }
    world.kill("ingester-a-1").await;
    world.kill("ingester-b-1").await;
    // A new cluster of the same name, on new disks.
    world.store.lose_everything();
    for zone in ['a', 'b', 'c'] {
        world.lose_disk(&name(zone, 0));
        world.start(zone, 0).await;
    }
    world.pass(40).await;
    world.start('c', 1).await;
    world.pass(40).await;
    assert_eq!(
        world.state("ingester-a-0", 1),
        Some(PartitionState::Pending),
        "it joins as a new one"
    );
    assert_eq!(world.of("ingester-c-1").view().readable().count(), 1);
}
