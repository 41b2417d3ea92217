//! The store of keys: the little of etcd that a cluster needs.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Longest value that is written or believed.
pub const MAX_VALUE: usize = 64 << 10;

/// A lease; keys written under it go when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub i64);

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    /// The store's revision when the key was last written; never 0.
    pub revision: u64,
}

/// All keys below a prefix at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the whole store; grows with every write.
    pub revision: u64,
    /// Sorted by key.
    pub entries: Vec<Entry>,
}

/// Why the store did not answer. A write may have happened all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("coordinator {0}")]
    Unavailable(String),
    /// Credentials, certificates, an address that is none: asking again does not help.
    #[error("coordinator refused: {0}")]
    Refused(String),
    #[error("coordinator answered nonsense: {0}")]
    Corrupt(String),
}

/// A linearizable store of small keys with compare-and-set and leases.
///
/// Every method is cancel-safe in that the store stays consistent; a cancelled write may have happened.
#[async_trait]
pub trait KeyStore: Debug + Send + Sync {
    /// Everything below `prefix`, as of now.
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError>;

    /// Writes `key` if it was last written at revision `expected` (0: if it does not exist). Answers the
    /// revision of the write, or `None` if the key is not as expected.
    async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<u64>, StoreError>;

    /// Deletes `key` if it was last written at revision `expected`; answers whether it was.
    async fn delete(&self, key: &str, expected: u64) -> Result<bool, StoreError>;

    /// A new lease, which ends `ttl` after it was granted or last kept alive.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Renews a lease; `false` if it has ended.
    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError>;

    /// Ends a lease and deletes its keys. One that has ended already is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Completes when something below `prefix` was written after revision `after`. A hint: it may complete
    /// for no reason, and it may never complete though something changed. Cancel-safe.
    async fn changed(&self, prefix: &str, after: u64);
}
