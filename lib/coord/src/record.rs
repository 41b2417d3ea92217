//! What stands under the keys, as JSON: readable with any etcd client, and small.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skald_ring::PartitionState;

use crate::store::{MAX_VALUE, StoreError};

/// `settings`: what all processes of a cluster must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Replicas of each partition: 1 or 3.
    pub replication_factor: usize,
    /// Added to revisions to give versions, so that they grow also over a loss of the store.
    #[serde(default)]
    pub version_base: u64,
}

/// `members/<id>`: a process that lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of its gRPC listener.
    pub addr: String,
    /// `host:port` of its HTTP listener.
    #[serde(default)]
    pub http: String,
    #[serde(default)]
    pub zone: String,
    pub roles: Vec<String>,
    /// Of the program.
    pub version: String,
    /// Of an ingester; 0 for others.
    #[serde(default)]
    pub epoch: u64,
    /// Whether it serves; an ingester replays its log before it does.
    pub ready: bool,
}

/// `partitions/<n>`: a replica group. Never deleted; one that is gone stays as `removed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    pub state: PartitionState,
    /// When it came into that state, by the clock of who changed it; for people.
    pub since_ms: i64,
    pub replicas: Vec<Seat>,
}

/// A replica's place in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub id: String,
    pub zone: String,
    /// Where it was last; kept when its lease has ended.
    pub addr: String,
}

/// `epochs/<replica>`: which incarnation of a replica is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub epoch: u64,
    /// Identity of its data directory. Another one means that the disk was lost.
    pub disk: String,
    /// What it acknowledged before may be missing: not asked until its neighbours have flushed.
    #[serde(default)]
    pub rebuilding: bool,
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    // Structs of strings and numbers always have a JSON form.
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// The record in `value`; fields that are not known are left out of account, for newer writers.
pub fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    if value.len() > MAX_VALUE {
        return Err(StoreError::Corrupt(format!("{key} has {} bytes", value.len())));
    }
    serde_json::from_slice(value).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))
}
