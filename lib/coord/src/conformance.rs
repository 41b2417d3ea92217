//! What every store of keys must do, as checks that run against any of them.

use std::time::Duration;

use bytes::Bytes;

use crate::store::{KeyStore, StoreError};

/// The check that failed, in words.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Wrong(&'static str),
}

fn must(holds: bool, what: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Wrong(what)) }
}

const A: Bytes = Bytes::from_static(b"a");
const B: Bytes = Bytes::from_static(b"b");

/// Lists, compare-and-set and leases, below a `prefix` that must be empty and ends with a slash.
pub async fn check(store: &dyn KeyStore, prefix: &str) -> Result<(), Failure> {
    let key = |name: &str| format!("{prefix}{name}");
    let empty = store.list(prefix).await?;
    must(empty.entries.is_empty(), "the prefix is not empty")?;

    let first = store.put(&key("k"), 0, A, None).await?;
    let Some(first) = first else { return Err(Failure::Wrong("an absent key is not created")) };
    must(first > empty.revision, "a write does not raise the revision")?;
    must(store.put(&key("k"), 0, B, None).await?.is_none(), "an existing key is created again")?;
    let second = store.put(&key("k"), first, B, None).await?;
    let Some(second) = second else { return Err(Failure::Wrong("an expected key is not written")) };
    must(store.put(&key("k"), first, A, None).await?.is_none(), "an old revision is accepted")?;
    must(!store.delete(&key("k"), first).await?, "an old revision is deleted")?;

    store.put(&key("j"), 0, A, None).await?;
    store.put(&format!("{}0", prefix.trim_end_matches('/')), 0, A, None).await?;
    let two = store.list(prefix).await?;
    let found: Vec<_> = two.entries.iter().map(|e| (e.key.clone(), e.value.clone())).collect();
    must(found == [(key("j"), A), (key("k"), B)], "the list is not what was written, sorted")?;
    must(two.entries[1].revision == second, "a key does not carry the revision of its write")?;
    must(two.revision >= second, "the list is older than its keys")?;

    must(store.delete(&key("k"), second).await?, "an expected key is not deleted")?;
    must(!store.delete(&key("k"), second).await?, "an absent key is deleted")?;
    let again = store.put(&key("k"), 0, A, None).await?;
    must(again.is_some_and(|r| r > second), "a key created again has an old revision")?;
    check_leases(store, prefix).await?;
    check_hints(store, prefix).await
}

async fn check_leases(store: &dyn KeyStore, prefix: &str) -> Result<(), Failure> {
    let lease = store.grant(Duration::from_secs(30)).await?;
    let key = format!("{prefix}leased");
    must(store.put(&key, 0, A, Some(lease)).await?.is_some(), "a leased key is not created")?;
    must(store.keep_alive(lease).await?, "a live lease is not renewed")?;
    store.revoke(lease).await?;
    let left = store.list(&key).await?;
    must(left.entries.is_empty(), "the keys of a revoked lease stay")?;
    must(!store.keep_alive(lease).await?, "a revoked lease is renewed")?;
    must(store.put(&key, 0, A, Some(lease)).await.is_err(), "a revoked lease takes keys")?;
    store.revoke(lease).await?;
    Ok(())
}

async fn check_hints(store: &dyn KeyStore, prefix: &str) -> Result<(), Failure> {
    let now = store.list(prefix).await?.revision;
    let key = format!("{prefix}watched");
    let write = async { store.put(&key, 0, A, None).await };
    let hint =
        async { tokio::time::timeout(Duration::from_secs(10), store.changed(prefix, now)).await };
    let (hint, written) = tokio::join!(hint, write);
    written?;
    must(hint.is_ok(), "a write gives no hint")?;
    let late = tokio::time::timeout(Duration::from_secs(10), store.changed(prefix, now)).await;
    must(late.is_ok(), "a write before the watch gives no hint")
}

/// A lease of a second or more ends on its own; takes as long.
pub async fn check_expiry(store: &dyn KeyStore, prefix: &str) -> Result<(), Failure> {
    let lease = store.grant(Duration::from_secs(1)).await?;
    let key = format!("{prefix}short");
    store.put(&key, 0, A, Some(lease)).await?;
    // etcd gives no lease of less than some seconds.
    for _ in 0..30 {
        if store.list(&key).await?.entries.is_empty() {
            return must(!store.keep_alive(lease).await?, "an ended lease is renewed");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Failure::Wrong("a lease that nobody keeps does not end"))
}
