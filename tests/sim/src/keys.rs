//! The store of keys as one process sees it: behind the network, slow, at times away, its answers and
//! hints lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use skald_coord::{KeyStore, LeaseId, MemoryStore, Snapshot, StoreError};
use tokio::time::sleep;

use crate::net::{Net, Place};

/// What a call to a store that cannot be reached takes.
const UNREACHABLE: Duration = Duration::from_secs(5);

/// The store, as `from` reaches it.
#[derive(Debug)]
pub struct Keys {
    store: Arc<MemoryStore>,
    net: Net,
    from: Place,
}

// === impl Keys ===

impl Keys {
    pub fn new(store: Arc<MemoryStore>, net: Net, from: Place) -> Self {
        Self { store, net, from }
    }

    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let there = Place::coordinator();
        let away = || StoreError::Unavailable("cannot be reached".to_owned());
        let dice = self.net.roll(&self.from, &there);
        sleep(dice.request).await;
        if dice.loses_request || self.net.is_cut(&self.from, &there) {
            sleep(UNREACHABLE).await;
            return Err(away());
        }
        let done = work.await;
        sleep(dice.answer).await;
        if dice.loses_answer || self.net.is_cut(&there, &self.from) {
            sleep(UNREACHABLE).await;
            return Err(away());
        }
        done
    }
}

#[async_trait]
impl KeyStore for Keys {
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        self.call(self.store.list(prefix)).await
    }

    async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<u64>, StoreError> {
        self.call(self.store.put(key, expected, value, lease)).await
    }

    async fn delete(&self, key: &str, expected: u64) -> Result<bool, StoreError> {
        self.call(self.store.delete(key, expected)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.call(self.store.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.call(self.store.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.call(self.store.revoke(lease)).await
    }

    /// Some hints get lost.
    async fn changed(&self, prefix: &str, after: u64) {
        let there = Place::coordinator();
        self.store.changed(prefix, after).await;
        let dice = self.net.roll(&self.from, &there);
        sleep(dice.answer).await;
        if dice.loses_hint || self.net.is_cut(&there, &self.from) {
            std::future::pending::<()>().await;
        }
    }
}
