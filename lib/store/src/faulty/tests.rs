//! Faults strike as told, and the same way each time.

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use super::*;

fn faulty(seed: u64) -> Arc<FaultyStore> {
    FaultyStore::new(Arc::new(InMemory::new()), seed)
}

async fn create(store: &FaultyStore, key: &str) -> Result<(), Error> {
    store.put_opts(&Path::from(key), "data".into(), PutMode::Create.into()).await.map(|_| ())
}

/// The outcome of many calls under probabilities.
async fn run(seed: u64) -> (String, Vec<(Op, Fault)>) {
    let store = faulty(seed);
    store.sometimes(Op::Put, Fault::ErrorBefore, 0.2);
    store.sometimes(Op::Put, Fault::ErrorAfter, 0.2);
    store.sometimes(Op::Get, Fault::TornGet, 0.3);
    let mut outcomes = String::new();
    for i in 0..200 {
        let key = Path::from(format!("k{}", i % 20));
        let put = store.put_opts(&key, "data".into(), PutOptions::default()).await;
        let got = match store.get(&key).await {
            Ok(got) => got.bytes().await.map_or(99, |b| b.len()),
            Err(_) => 0,
        };
        outcomes.push_str(&format!("{}{got} ", u8::from(put.is_ok())));
    }
    (outcomes, store.injected())
}

#[tokio::test]
async fn a_seed_gives_the_same_run_each_time() {
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter, Fault::TornGet] {
        assert!(first.1.iter().any(|(_, f)| *f == fault), "{fault:?} never struck");
    }
}

#[tokio::test]
async fn the_nth_call_fails_and_only_that() {
    let store = faulty(1);
    create(&store, "before").await.unwrap();
    store.on_nth(Op::Put, 2, Fault::ErrorBefore);
    create(&store, "a").await.unwrap();
    assert_eq!(Reason::of(&create(&store, "b").await.unwrap_err()), Some(Reason::Throttled));
    create(&store, "c").await.unwrap();
    assert!(store.inner().head(&Path::from("b")).await.is_err());
    assert_eq!(store.calls(Op::Put), 4);
}

#[tokio::test]
async fn a_lost_reply_leaves_the_object() {
    let store = faulty(1);
    store.on_nth(Op::Put, 1, Fault::ErrorAfter);
    assert!(create(&store, "a").await.is_err());
    assert!(store.head(&Path::from("a")).await.is_ok());
    store.on_nth(Op::Put, 1, Fault::OwnConflict);
    assert!(matches!(create(&store, "b").await, Err(Error::AlreadyExists { .. })));
    assert!(store.head(&Path::from("b")).await.is_ok());
    store.on_nth(Op::Put, 1, Fault::FalseConflict);
    assert!(matches!(create(&store, "c").await, Err(Error::AlreadyExists { .. })));
    assert!(store.head(&Path::from("c")).await.is_err());
}

#[tokio::test]
async fn gets_tear_lists_go_stale_and_conditions_are_ignored() {
    let store = faulty(1);
    create(&store, "a").await.unwrap();
    let key = Path::from("a");
    store.on_nth(Op::Get, 1, Fault::TornGet);
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "da");
    store.on_nth(Op::Get, 1, Fault::BrokenGet);
    assert!(store.get(&key).await.unwrap().bytes().await.is_err());
    store.on_nth(Op::List, 1, Fault::StaleList);
    assert!(store.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    store.on_nth(Op::Put, 1, Fault::IgnoreCondition);
    create(&store, "a").await.unwrap();
}

#[tokio::test]
async fn after_a_halt_nothing_works_until_cleared() {
    let store = faulty(1);
    store.on_nth(Op::Put, 1, Fault::Halt);
    assert!(create(&store, "a").await.is_err());
    assert!(store.head(&Path::from("a")).await.is_err());
    assert!(create(&store, "a").await.is_err());
    store.clear();
    create(&store, "a").await.unwrap();
}

#[tokio::test]
async fn completing_an_upload_can_fail_before_and_after() {
    let store = faulty(1);
    for (fault, lands) in [(Fault::ErrorBefore, false), (Fault::ErrorAfter, true)] {
        let key = Path::from(format!("{lands}"));
        store.on_nth(Op::Upload, 1, fault);
        let mut upload = store.put_multipart(&key).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        assert!(upload.complete().await.is_err());
        assert_eq!(store.head(&key).await.is_ok(), lands);
    }
}
