//! All records of a cluster at one moment, and the view that follows from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skald_ring::{Partition, PartitionState, Replica, ReplicaId, View, ViewError};

use crate::record::{EpochRecord, Member, PartitionRecord, Seat, Settings, decode};
use crate::store::{Snapshot, StoreError};

/// A record and the revision of its last write; 0 if it is not in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At<T> {
    pub revision: u64,
    pub record: T,
}

/// Everything known of a cluster. A record that cannot be read spoils the whole: left out, it would
/// take the data behind it out of every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// `None` in an empty store.
    pub settings: Option<At<Settings>>,
    #[serde(skip)]
    pub members: BTreeMap<String, At<Member>>,
    pub partitions: BTreeMap<u32, At<PartitionRecord>>,
    pub epochs: BTreeMap<String, At<EpochRecord>>,
    /// Of the store when it was read; hints are asked for after it.
    #[serde(skip)]
    pub revision: u64,
}

// === impl Picture ===

impl Picture {
    /// Reads all keys below `prefix`.
    pub fn read(snapshot: &Snapshot, prefix: &str) -> Result<Self, StoreError> {
        let mut picture = Self { revision: snapshot.revision, ..Self::default() };
        for entry in &snapshot.entries {
            let (key, value) = (entry.key.as_str(), &entry.value);
            let path = key.strip_prefix(prefix).unwrap_or(key);
            let revision = entry.revision;
            match path.split_once('/') {
                None if path == "settings" => {
                    picture.settings = Some(At { revision, record: decode(key, value)? });
                }
                Some(("members", id)) => {
                    let at = At { revision, record: decode(key, value)? };
                    picture.members.insert(id.to_owned(), at);
                }
                Some(("epochs", id)) => {
                    let at = At { revision, record: decode(key, value)? };
                    picture.epochs.insert(id.to_owned(), at);
                }
                Some(("partitions", n)) => {
                    let n = n.parse().map_err(|_| {
                        StoreError::Corrupt(format!("{key}: {n:?} is not a partition number"))
                    })?;
                    picture.partitions.insert(n, At { revision, record: decode(key, value)? });
                }
                // Of newer versions.
                _ => {}
            }
        }
        Ok(picture)
    }

    /// Grows with every change of partitions and epochs, and is the same for all who see the same.
    pub fn version(&self) -> u64 {
        let base = self.settings.as_ref().map_or(0, |s| s.record.version_base);
        let partitions = self.partitions.values().map(|p| p.revision);
        let epochs = self.epochs.values().map(|e| e.revision);
        base + partitions.chain(epochs).max().unwrap_or(0)
    }

    /// What the data path goes by.
    pub fn view(&self) -> Result<View, ViewError> {
        let partition = |(&id, at): (&u32, &At<PartitionRecord>)| Partition {
            id,
            state: at.record.state,
            replicas: at.record.replicas.iter().map(|seat| self.replica(seat)).collect(),
        };
        // A partition that was not complete before it was given up has no replica group.
        let shown = self.partitions.iter().filter(|(_, at)| at.record.state.is_read());
        View::new(self.version(), shown.map(partition).collect())
    }

    fn replica(&self, seat: &Seat) -> Replica {
        let epoch = self.epochs.get(&seat.id).map(|at| &at.record);
        Replica {
            id: ReplicaId(seat.id.clone()),
            addr: seat.addr.clone(),
            zone: seat.zone.clone(),
            epoch: epoch.map_or(0, |e| e.epoch),
            rebuilding: epoch.is_some_and(|e| e.rebuilding),
        }
    }

    /// Whether `self` may follow `old`: nothing that was there is missing, which a store that lost its data
    /// would pretend.
    pub fn follows(&self, old: &Self) -> bool {
        let has_all = |n| self.partitions.contains_key(n);
        self.version() >= old.version()
            && self.settings.is_some() >= old.settings.is_some()
            && old.partitions.keys().all(has_all)
            && old.epochs.keys().all(|id| self.epochs.contains_key(id))
    }

    /// Whether all that is kept on disk is as in `other`: members come and go without being kept.
    pub fn keeps_like(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.partitions == other.partitions
            && self.epochs == other.epochs
    }

    /// Whether readers of `self` ask fewer heads than those of `old` did: what the others had is in blocks, so
    /// that what is known of blocks must be read anew.
    pub fn relies_on_more_blocks(&self, old: &Self) -> bool {
        let is_read = |at: &At<PartitionRecord>| at.record.state.is_read();
        let left = |(n, at): (&u32, &At<PartitionRecord>)| {
            is_read(at) && !self.partitions.get(n).is_some_and(is_read)
        };
        let rebuilt = |(id, at): (&String, &At<EpochRecord>)| {
            at.record.rebuilding && self.epochs.get(id).is_some_and(|now| !now.record.rebuilding)
        };
        old.partitions.iter().any(left) || old.epochs.iter().any(rebuilt)
    }

    /// Whether any partition takes writes.
    pub fn has_active(&self) -> bool {
        self.partitions.values().any(|at| at.record.state == PartitionState::Active)
    }

    /// Live members with a role, in order.
    pub fn live<'a>(&'a self, role: &'a str) -> impl Iterator<Item = (&'a str, &'a Member)> {
        let has = move |m: &Member| m.ready && m.roles.iter().any(|r| r == role);
        let members = self.members.iter().map(|(id, at)| (id.as_str(), &at.record));
        members.filter(move |(_, m)| has(m))
    }

    /// The partition in which a replica sits.
    pub fn partition_of(&self, replica: &str) -> Option<(u32, &At<PartitionRecord>)> {
        let sits = |at: &At<PartitionRecord>| at.record.replicas.iter().any(|s| s.id == replica);
        self.partitions.iter().find(|(_, at)| sits(at)).map(|(n, at)| (*n, at))
    }
}

/// A picture that is shared.
pub type SharedPicture = Arc<Picture>;
