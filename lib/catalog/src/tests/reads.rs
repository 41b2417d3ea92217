//! What readers see, after restarts, damage and while the store is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use skald_model::{ErrorKind, TenantId};

use super::{World, add, ids, remove, tenant};
use crate::{Catalog, Error, frame, path};

async fn commit_n(catalog: &Catalog, n: u64) {
    for i in 0..n {
        catalog.commit(&tenant(), add(&format!("b{i:04}"))).await.unwrap();
    }
}

async fn put(world: &World, at: &Path, bytes: impl Into<Bytes>) {
    world.store.inner.put(at, bytes.into().into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tenant_is_empty() {
    let world = World::new(1);
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!((view.number, view.blocks.len()), (0, 0));
    assert_eq!(view.watermark("ingester-0"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_reads_a_checkpoint_and_what_follows() {
    let world = World::new(2);
    let writer = world.catalog("ingester-0", 3);
    commit_n(&writer, 250).await;
    writer.commit(&tenant(), remove("b0007")).await.unwrap();
    let want = writer.view(&tenant()).await.unwrap();
    let gets = world.store.gets.load(Ordering::SeqCst);
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!(*view, *want);
    assert_eq!(view.blocks.len(), 249);
    assert_eq!(view.epochs["ingester-0"], 3);
    assert!(world.store.gets.load(Ordering::SeqCst) - gets < 80);
}

#[tokio::test(start_paused = true)]
async fn hints_are_only_hints_and_damaged_checkpoints_are_skipped() {
    let world = World::new(3);
    commit_n(&world.catalog("ingester-0", 1), 205).await;
    let all = |catalog: Catalog| async move { catalog.view(&tenant()).await.unwrap().number };
    let hint = path::hint(&tenant());
    put(&world, &hint, "nonsense").await;
    assert_eq!(all(world.catalog("r", 1)).await, 205);
    put(&world, &hint, frame::encode_hint(frame::Hint { checkpoint: 300 })).await;
    assert_eq!(all(world.catalog("r", 1)).await, 205);
    put(&world, &hint, frame::encode_hint(frame::Hint { checkpoint: 100 })).await;
    assert_eq!(all(world.catalog("r", 1)).await, 205);
    world.store.inner.delete(&hint).await.unwrap();
    assert_eq!(all(world.catalog("r", 1)).await, 205);
    put(&world, &path::checkpoint(&tenant(), 200), "nonsense").await;
    assert_eq!(all(world.catalog("r", 1)).await, 205);
    put(&world, &path::checkpoint(&tenant(), 100), "nonsense").await;
    assert_eq!(all(world.catalog("r", 1)).await, 205);
}

#[tokio::test(start_paused = true)]
async fn damaged_commits_are_an_error() {
    let world = World::new(4);
    commit_n(&world.catalog("ingester-0", 1), 3).await;
    let at = path::commit(&tenant(), 2);
    let good = world.store.inner.get(&at).await.unwrap().bytes().await.unwrap();
    let mut flipped = good.to_vec();
    flipped[20] ^= 1;
    let swapped = path::commit(&tenant(), 3);
    let swapped = world.store.inner.get(&swapped).await.unwrap().bytes().await.unwrap();
    let large = vec![0; frame::Kind::Commit.max_size() + 1];
    for bad in [Vec::new(), flipped, swapped.to_vec(), good[..good.len() - 1].to_vec(), large] {
        put(&world, &at, bad).await;
        let error = world.catalog("r", 1).view(&tenant()).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        let error = world.catalog("w", 1).commit(&tenant(), add("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    put(&world, &at, good).await;
    assert_eq!(world.catalog("r", 1).view(&tenant()).await.unwrap().number, 3);
}

#[tokio::test(start_paused = true)]
async fn views_age_and_are_refreshed() {
    let world = World::new(5);
    let (writer, reader) = (world.catalog("ingester-0", 1), world.catalog("reader", 1));
    writer.commit(&tenant(), add("b1")).await.unwrap();
    let first = reader.view(&tenant()).await.unwrap();
    writer.commit(&tenant(), add("b2")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &reader.view(&tenant()).await.unwrap()));
    assert_eq!(reader.view_within(&tenant(), Duration::ZERO).await.unwrap().number, 2);
    writer.commit(&tenant(), add("b3")).await.unwrap();
    world.advance_ms(11_000);
    assert_eq!(reader.view(&tenant()).await.unwrap().number, 3);
    // Nothing new: the same view again, and the old ones did not change.
    let third = reader.refresh(&tenant()).await.unwrap();
    assert!(Arc::ptr_eq(&third, &reader.refresh(&tenant()).await.unwrap()));
    assert_eq!(ids(&first), ["b1"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_one_was_told_of_is_waited_for() {
    let world = World::new(6);
    let (writer, reader) = (world.catalog("ingester-0", 1), world.catalog("reader", 1));
    commit_n(&writer, 1).await;
    reader.view(&tenant()).await.unwrap();
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        writer.commit(&tenant(), add("late")).await.unwrap()
    };
    let (view, number) = tokio::join!(async { reader.view_at_least(&tenant(), 2).await }, late);
    assert_eq!((view.unwrap().number, number), (2, 2));
    let error = reader.view_at_least(&tenant(), 9).await.unwrap_err();
    assert!(matches!(error, Error::NotVisible { wanted: 9, have: 2 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_old_view_serves_for_an_hour_while_the_store_is_away() {
    let world = World::new(7);
    let reader = world.catalog("reader", 1);
    commit_n(&world.catalog("ingester-0", 1), 1).await;
    reader.view(&tenant()).await.unwrap();
    world.store.down.store(true, Ordering::SeqCst);
    world.advance_ms(3_500_000);
    assert_eq!(reader.view(&tenant()).await.unwrap().number, 1);
    assert_eq!(reader.view_at_least(&tenant(), 1).await.unwrap().number, 1);
    assert_eq!(reader.refresh(&tenant()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    world.advance_ms(200_000);
    assert_eq!(reader.view(&tenant()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_slept_for_weeks_notices() {
    let world = World::new(8);
    let (writer, reader) = (world.catalog("ingester-0", 1), world.catalog("reader", 1));
    commit_n(&writer, 10).await;
    assert_eq!(reader.view(&tenant()).await.unwrap().number, 10);
    for i in 0..200 {
        writer.commit(&tenant(), add(&format!("n{i:03}"))).await.unwrap();
    }
    world.advance_ms(30 * 24 * 3_600_000);
    writer.gc(&tenant(), &crate::GcOptions::default()).await.unwrap();
    assert_eq!(reader.view(&tenant()).await.unwrap().number, 210);
    // And so does an author.
    assert_eq!(reader.commit(&tenant(), add("x")).await.unwrap(), 211);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_whose_followers_are_gone_is_not_believed() {
    let world = World::new(11);
    let writer = world.catalog("ingester-0", 1);
    commit_n(&writer, 305).await;
    let at = path::checkpoint(&tenant(), 100);
    let old = world.store.inner.get(&at).await.unwrap().bytes().await.unwrap();
    world.advance_ms(8 * 24 * 3_600_000);
    let report = writer.gc(&tenant(), &crate::GcOptions::default()).await.unwrap();
    assert_eq!((report.deleted_commits, report.deleted_checkpoints), (300, 2));
    // As if the deletion had come between reading it and reading on.
    put(&world, &at, old).await;
    let hint = frame::encode_hint(frame::Hint { checkpoint: 100 });
    put(&world, &path::hint(&tenant()), hint).await;
    let view = world.catalog("reader", 1).view(&tenant()).await.unwrap();
    assert_eq!((view.number, view.blocks.len()), (305, 305));
}

#[tokio::test(start_paused = true)]
async fn tenants_are_listed_and_other_directories_are_not() {
    let world = World::new(9);
    let catalog = world.catalog("ingester-0", 1);
    let named = ["b", "a*b", "a.b(c)!'"].map(|t| TenantId::parse(t).unwrap());
    for tenant in &named {
        catalog.commit(tenant, add("b1")).await.unwrap();
    }
    put(&world, &Path::from("t/__internal/m/x"), "").await;
    put(&world, &Path::from("t/a b/m/x"), "").await;
    put(&world, &Path::from("t/file"), "").await;
    let mut want = named.to_vec();
    want.sort();
    assert_eq!(catalog.tenants().await.unwrap(), want);
}

#[tokio::test]
async fn works_on_a_local_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let world = World::new(10);
    let author = crate::Author { replica: "ingester-0".to_owned(), epoch: 1 };
    let config = crate::Config { checkpoint_interval: 3, ..crate::Config::default() };
    let store: Arc<dyn object_store::ObjectStore> = Arc::new(store);
    let open = || {
        let clock = Arc::new(skald_runtime::SystemClock);
        Catalog::new(Arc::clone(&store), clock, world.rng.clone(), author.clone(), config.clone())
    };
    let tenant = TenantId::parse("a*b").unwrap();
    let catalog = open();
    assert!(catalog.tenants().await.unwrap().is_empty());
    for i in 0..7 {
        catalog.commit(&tenant, add(&format!("b{i}"))).await.unwrap();
    }
    catalog.commit(&tenant, remove("b0")).await.unwrap();
    let at = path::block(&tenant, "b0").join("data.parquet");
    store.put(&at, Bytes::from_static(b"x").into()).await.unwrap();
    let now = crate::GcOptions {
        deletion_delay_ms: 0,
        commit_retention_ms: 0,
        ..crate::GcOptions::default()
    };
    let report = catalog.gc(&tenant, &now).await.unwrap();
    assert_eq!(report.deleted_blocks, ["b0"]);
    assert!(report.deleted_commits >= 5 && report.deleted_checkpoints >= 1, "{report:?}");
    assert!(store.head(&at).await.is_err());
    let again = open();
    let view = again.view(&tenant).await.unwrap();
    assert_eq!((view.number, view.blocks.len(), view.removed.len()), (9, 6, 0));
    assert_eq!(again.tenants().await.unwrap(), [tenant]);
}

#[tokio::test(start_paused = true)]
async fn after_an_expiry_only_what_was_read_later_counts() {
    let world = World::new(8);
    let (writer, reader) = (world.catalog("ingester-0", 1), world.catalog("reader", 1));
    writer.commit(&tenant(), add("b1")).await.unwrap();
    reader.view(&tenant()).await.unwrap();
    writer.commit(&tenant(), add("b2")).await.unwrap();
    assert_eq!(reader.view(&tenant()).await.unwrap().number, 1, "young enough");
    reader.expire();
    world.advance_ms(1);
    world.store.down.store(true, Ordering::SeqCst);
    assert_eq!(reader.view(&tenant()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    world.store.down.store(false, Ordering::SeqCst);
    let view = reader.view(&tenant()).await.unwrap();
    assert_eq!(view.number, 2);
    assert!(Arc::ptr_eq(&view, &reader.view(&tenant()).await.unwrap()), "and is kept again");
}
