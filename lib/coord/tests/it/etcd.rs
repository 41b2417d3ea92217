//! Against a real etcd; each test says so and returns where there is none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use skald_coord::{EtcdConfig, EtcdStore, KeyStore, LeaseId, StoreError, conformance};
use skald_runtime::{HumanDuration, Secret};
use skald_testkit::{Etcd, until};

const V: Bytes = Bytes::from_static(b"v");

fn config(etcd: &Etcd) -> EtcdConfig {
    let request_timeout = HumanDuration::from_secs(1);
    EtcdConfig { endpoints: vec![etcd.endpoint()], request_timeout, ..EtcdConfig::default() }
}

fn store_of(etcd: &Etcd) -> EtcdStore {
    EtcdStore::connect(&config(etcd)).unwrap()
}

/// The keys below `/test/`, as soon as the store answers again.
async fn recovered(store: &EtcdStore) -> Vec<String> {
    let found = until("the store answers", || async { store.list("/test/").await.ok() }).await;
    found.entries.into_iter().map(|e| e.key).collect()
}

async fn is_away(store: &EtcdStore) -> bool {
    matches!(store.list("/test/").await, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn conforms() {
    let Some(etcd) = Etcd::start().await else { return };
    conformance::check(&store_of(&etcd), "/test/").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_not_kept_ends() {
    let Some(etcd) = Etcd::start().await else { return };
    conformance::check_expiry(&store_of(&etcd), "/test/").await.unwrap();
}

#[tokio::test]
async fn many_keys_are_listed_over_several_pages() {
    let Some(etcd) = Etcd::start().await else { return };
    let store = store_of(&etcd);
    let large = Bytes::from(vec![b'v'; skald_coord::MAX_VALUE]);
    store.put("/test/large", 0, large, None).await.unwrap().unwrap();
    let keys: Vec<String> = (0..600).map(|n| format!("/test/{n:04}")).collect();
    for written in join_all(keys.iter().map(|key| store.put(key, 0, V, None))).await {
        written.unwrap().unwrap();
    }
    let mut found = recovered(&store).await;
    assert_eq!(found.pop().unwrap(), "/test/large");
    assert_eq!(found, keys);
    assert_eq!(store.list("").await.unwrap().entries.len(), 601);
}

#[tokio::test]
async fn the_same_store_goes_on_after_a_kill() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let store = Arc::new(store_of(&etcd));
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let first = store.put("/test/a", 0, V, Some(lease)).await.unwrap().unwrap();
    let watching = Arc::clone(&store);
    let watch =
        skald_runtime::spawn("watch", async move { watching.changed("/test/", first).await });

    etcd.kill();
    watch.await.unwrap();
    assert!(is_away(&store).await);
    assert!(store.put("/test/b", 0, V, None).await.is_err());
    store.changed("/test/", first).await;

    etcd.restart().await;
    assert_eq!(recovered(&store).await, ["/test/a"]);
    assert!(store.keep_alive(lease).await.unwrap());
    let second = store.put("/test/a", first, V, Some(lease)).await.unwrap().unwrap();
    assert!(second > first);
    let hint = async {
        tokio::join!(store.changed("/test/", second), store.put("/test/b", 0, V, None)).1.unwrap()
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), hint).await.unwrap().is_some());
}

#[tokio::test]
async fn the_same_store_goes_on_after_a_pause() {
    let Some(etcd) = Etcd::start().await else { return };
    let store = store_of(&etcd);
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    store.put("/test/a", 0, V, Some(lease)).await.unwrap().unwrap();

    etcd.pause();
    // Five seconds: each call gives up after one.
    for _ in 0..4 {
        assert!(is_away(&store).await);
    }
    assert!(matches!(store.keep_alive(lease).await, Err(StoreError::Unavailable(_))));
    etcd.resume();

    assert_eq!(recovered(&store).await, ["/test/a"]);
    assert!(store.keep_alive(lease).await.unwrap());
    store.put("/test/b", 0, V, None).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restarted_etcd_that_forgot_its_tokens_gives_new_ones() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let steps = [
        ("user/add", json!({"name": "root", "password": "hunter2"})),
        ("role/add", json!({"name": "root"})),
        ("user/grant", json!({"user": "root", "role": "root"})),
        ("enable", json!({})),
    ];
    for (step, body) in steps {
        let reply = etcd.client.post(&format!("/v3/auth/{step}"), &[], body.to_string()).await;
        assert!(reply.status.is_success(), "{step}: {reply:?}");
    }
    let nobody = store_of(&etcd).list("/test/").await.unwrap_err();
    assert!(matches!(&nobody, StoreError::Refused(_)), "{nobody}");
    let with = |password| EtcdConfig {
        username: "root".to_owned(),
        password: Secret::new(password),
        ..config(&etcd)
    };
    let wrong = EtcdStore::connect(&with("hunter3")).unwrap().list("/test/").await.unwrap_err();
    assert!(matches!(&wrong, StoreError::Refused(_)), "{wrong}");

    let store = EtcdStore::connect(&with("hunter2")).unwrap();
    conformance::check(&store, "/conformance/").await.unwrap();
    store.put("/test/a", 0, V, None).await.unwrap().unwrap();
    etcd.kill();
    etcd.restart().await;
    assert_eq!(recovered(&store).await, ["/test/a"]);
    store.put("/test/b", 0, V, None).await.unwrap().unwrap();
    assert!(!store.keep_alive(LeaseId(1)).await.unwrap());
}
