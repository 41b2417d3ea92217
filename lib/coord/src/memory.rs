//! A store in this process: the coordinator of a single binary, and of tests.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::store::{Entry, KeyStore, LeaseId, Snapshot, StoreError};

/// Keys in memory. Leases end by `tokio::time`.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// The newest revision.
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    keys: BTreeMap<String, Stored>,
    leases: HashMap<LeaseId, Lease>,
    n_leases: i64,
}

#[derive(Debug)]
struct Stored {
    value: Bytes,
    revision: u64,
    lease: Option<LeaseId>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
}

// === impl MemoryStore ===

impl Default for MemoryStore {
    fn default() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(0) }
    }
}

impl MemoryStore {
    /// Ends what has run out, does `work`, and tells watchers of what changed.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        state.expire();
        let done = work(&mut state);
        self.revision.send_replace(state.revision);
        done
    }

    /// When the next lease ends.
    fn next_end(&self) -> Option<Instant> {
        self.state.lock().leases.values().map(|l| l.ends).min()
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        Ok(self.with(|state| {
            let below = state.keys.range(prefix.to_owned()..);
            let entries = below.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, s)| {
                Entry { key: key.clone(), value: s.value.clone(), revision: s.revision }
            });
            Snapshot { revision: state.revision, entries: entries.collect() }
        }))
    }

    async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<u64>, StoreError> {
        self.with(|state| {
            if let Some(lease) = lease
                && !state.leases.contains_key(&lease)
            {
                return Err(StoreError::Refused(format!("no lease {}", lease.0)));
            }
            if state.keys.get(key).map_or(0, |s| s.revision) != expected {
                return Ok(None);
            }
            state.revision += 1;
            let revision = state.revision;
            state.keys.insert(key.to_owned(), Stored { value, revision, lease });
            Ok(Some(revision))
        })
    }

    async fn delete(&self, key: &str, expected: u64) -> Result<bool, StoreError> {
        Ok(self.with(|state| {
            let is_it = state.keys.get(key).is_some_and(|s| s.revision == expected);
            if is_it {
                state.keys.remove(key);
                state.revision += 1;
            }
            is_it
        }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        Ok(self.with(|state| {
            state.n_leases += 1;
            let id = LeaseId(state.n_leases);
            state.leases.insert(id, Lease { ttl, ends: Instant::now() + ttl });
            id
        }))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError> {
        Ok(self.with(|state| {
            let Some(lease) = state.leases.get_mut(&lease) else { return false };
            lease.ends = Instant::now() + lease.ttl;
            true
        }))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.with(|state| {
            if state.leases.remove(&lease).is_some() {
                state.drop_keys_of(lease);
            }
        });
        Ok(())
    }

    async fn changed(&self, _prefix: &str, after: u64) {
        let mut revision = self.revision.subscribe();
        loop {
            let end = self.next_end();
            let ends = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as `self`.
                _ = revision.wait_for(|newest| *newest > after) => return,
                () = ends => self.with(|_| ()),
            }
        }
    }
}

// === impl State ===

impl State {
    fn expire(&mut self) {
        let now = Instant::now();
        let ended: Vec<_> =
            self.leases.iter().filter(|(_, l)| l.ends <= now).map(|(id, _)| *id).collect();
        for lease in ended {
            self.leases.remove(&lease);
            self.drop_keys_of(lease);
        }
    }

    fn drop_keys_of(&mut self, lease: LeaseId) {
        let n = self.keys.len();
        self.keys.retain(|_, s| s.lease != Some(lease));
        if self.keys.len() != n {
            self.revision += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::check(&MemoryStore::default(), "/test/").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_kept_ends() {
        let store = MemoryStore::default();
        conformance::check_expiry(&store, "/test/").await.unwrap();
    }
}
