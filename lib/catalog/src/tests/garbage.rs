//! What garbage collection deletes, and what it must not.

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{World, add, ids, remove, tenant};
use crate::{Catalog, GcOptions, path};

const HOUR_MS: i64 = 3_600_000;

async fn live(world: &World, catalog: &Catalog, all: &[&str]) {
    for id in all {
        world.upload(id).await;
        catalog.commit(&tenant(), add(id)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn removed_blocks_go_after_the_delay_and_live_ones_stay() {
    let world = World::new(1);
    let catalog = world.catalog("compactor", 1);
    live(&world, &catalog, &["b1", "b2", "b3"]).await;
    catalog.commit(&tenant(), remove("b1")).await.unwrap();
    let options = GcOptions::default();
    world.advance_ms(11 * HOUR_MS);
    catalog.commit(&tenant(), remove("b2")).await.unwrap();
    assert!(catalog.gc(&tenant(), &options).await.unwrap().deleted_blocks.is_empty());
    world.advance_ms(HOUR_MS);
    let dry = GcOptions { dry_run: true, ..options.clone() };
    assert_eq!(catalog.gc(&tenant(), &dry).await.unwrap().deleted_blocks, ["b1"]);
    assert!(world.has_objects("b1").await);
    assert_eq!(catalog.gc(&tenant(), &options).await.unwrap().deleted_blocks, ["b1"]);
    assert!(!world.has_objects("b1").await);
    assert!(world.has_objects("b2").await && world.has_objects("b3").await);
    let view = catalog.refresh(&tenant()).await.unwrap();
    assert_eq!(ids(&view), ["b3"]);
    assert_eq!(view.removed.keys().collect::<Vec<_>>(), ["b2"]);
    assert_eq!(*world.catalog("reader", 1).view(&tenant()).await.unwrap(), *view);
}

#[tokio::test(start_paused = true)]
async fn blocks_of_a_held_view_stay() {
    let world = World::new(2);
    let catalog = world.catalog("all", 1);
    live(&world, &catalog, &["b1", "b2"]).await;
    let query = catalog.view(&tenant()).await.unwrap();
    catalog.with_author(crate::Author::default()).commit(&tenant(), remove("b1")).await.unwrap();
    world.advance_ms(24 * HOUR_MS);
    let options = GcOptions::default();
    let report = catalog.gc(&tenant(), &options).await.unwrap();
    assert_eq!((report.deleted_blocks.len(), report.pinned_blocks), (0, vec!["b1".to_owned()]));
    assert!(catalog.is_pinned(&tenant(), "b1") && world.has_objects("b1").await);
    drop(query);
    assert!(!catalog.is_pinned(&tenant(), "b1"));
    assert_eq!(catalog.gc(&tenant(), &options).await.unwrap().deleted_blocks, ["b1"]);
}

#[tokio::test(start_paused = true)]
async fn two_collections_at_once_do_no_harm() {
    for seed in 0..20 {
        let world = World::new(seed);
        let (a, b) = (world.catalog("compactor-a", 1), world.catalog("compactor-b", 1));
        live(&world, &a, &["b1", "b2", "b3", "b4"]).await;
        for i in 0..110 {
            a.commit(&tenant(), add(&format!("n{i:03}"))).await.unwrap();
        }
        a.commit(&tenant(), remove("b1")).await.unwrap();
        a.commit(&tenant(), remove("b3")).await.unwrap();
        world.advance_ms(8 * 24 * HOUR_MS);
        world.store.set_percent(10);
        let options = GcOptions::default();
        let writer = world.catalog("ingester-0", 1);
        let tenant = &tenant();
        let (_, _, added) = tokio::join!(
            a.gc(tenant, &options),
            b.gc(tenant, &options),
            writer.commit(tenant, add("during")),
        );
        added.unwrap();
        world.store.set_percent(0);
        a.gc(tenant, &options).await.unwrap();
        let view = world.catalog("reader", 1).view(tenant).await.unwrap();
        assert_eq!(view.blocks.len(), 113);
        assert!(view.removed.is_empty(), "{:?}", view.removed);
        assert!(view.block("during").is_some());
        assert!(!world.has_objects("b1").await && !world.has_objects("b3").await);
        assert!(world.has_objects("b2").await && world.has_objects("b4").await);
        assert!(world.store.inner.head(&path::commit(tenant, 100)).await.is_err());
        assert!(world.store.inner.head(&path::commit(tenant, 101)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn commits_behind_the_newest_readable_checkpoint_go_after_the_retention() {
    let world = World::new(4);
    let catalog = world.catalog("ingester-0", 1);
    for i in 0..150 {
        catalog.commit(&tenant(), add(&format!("a{i:03}"))).await.unwrap();
    }
    world.advance_ms(6 * 24 * HOUR_MS);
    for i in 0..150 {
        catalog.commit(&tenant(), add(&format!("b{i:03}"))).await.unwrap();
    }
    let options = GcOptions::default();
    assert_eq!(catalog.gc(&tenant(), &options).await.unwrap().deleted_commits, 0);
    world.advance_ms(2 * 24 * HOUR_MS);
    let newest = path::checkpoint(&tenant(), 300);
    let good = world.store.inner.get(&newest).await.unwrap().bytes().await.unwrap();
    world.store.inner.put(&newest, bytes::Bytes::from_static(b"bad").into()).await.unwrap();
    assert_eq!(catalog.gc(&tenant(), &options).await.unwrap().deleted_commits, 0);
    world.store.inner.put(&newest, good.into()).await.unwrap();
    let report = catalog.gc(&tenant(), &options).await.unwrap();
    assert_eq!((report.deleted_commits, report.deleted_checkpoints), (150, 1));
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!((view.number, view.blocks.len()), (300, 300));
    assert_eq!(catalog.boundary(&tenant()).await.unwrap(), 150);
}

#[tokio::test(start_paused = true)]
async fn orphans_need_two_scans_and_age() {
    let world = World::new(5);
    let catalog = world.catalog("compactor", 1);
    live(&world, &catalog, &["b1"]).await;
    world.upload("old").await;
    let foreign = Path::from("t/team-a/b/not.an.id/x");
    world.store.inner.put(&foreign, bytes::Bytes::new().into()).await.unwrap();
    world.advance_ms(40 * HOUR_MS);
    world.upload("young").await;
    let options = GcOptions::default();
    let orphans = || async { catalog.gc(&tenant(), &options).await.unwrap().deleted_orphans };
    assert!(orphans().await.is_empty());
    world.advance_ms(10 * HOUR_MS);
    assert!(orphans().await.is_empty(), "old enough, but not seen for a day");
    world.advance_ms(15 * HOUR_MS);
    assert_eq!(orphans().await, ["old"]);
    world.upload("committed").await;
    world.advance_ms(30 * HOUR_MS);
    assert_eq!(orphans().await, ["young"]);
    catalog.commit(&tenant(), add("committed")).await.unwrap();
    world.advance_ms(100 * HOUR_MS);
    assert!(orphans().await.is_empty());
    assert!(world.has_objects("b1").await && world.has_objects("committed").await);
    assert!(!world.has_objects("old").await && !world.has_objects("young").await);
    assert!(world.store.inner.head(&foreign).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_removed_block_is_no_orphan() {
    let world = World::new(7);
    let catalog = world.catalog("compactor", 1);
    live(&world, &catalog, &["b1"]).await;
    catalog.commit(&tenant(), remove("b1")).await.unwrap();
    let options = GcOptions { deletion_delay_ms: 200 * HOUR_MS, ..GcOptions::default() };
    for _ in 0..3 {
        assert!(catalog.gc(&tenant(), &options).await.unwrap().deleted_orphans.is_empty());
        world.advance_ms(60 * HOUR_MS);
    }
    assert!(world.has_objects("b1").await);
}

#[tokio::test(start_paused = true)]
async fn too_many_orphans_are_left_for_people() {
    let world = World::new(6);
    let catalog = world.catalog("compactor", 1);
    for i in 0..101 {
        world.upload(&format!("o{i:03}")).await;
    }
    catalog.gc(&tenant(), &GcOptions::default()).await.unwrap();
    world.advance_ms(100 * HOUR_MS);
    let report = catalog.gc(&tenant(), &GcOptions::default()).await.unwrap();
    assert!(report.halted && report.deleted_orphans.is_empty());
    assert!(world.has_objects("o000").await);
}
