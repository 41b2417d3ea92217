//! A consistent picture of the cluster: partitions, their replicas and states.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skald_model::{SeriesId, TenantId};
use xxhash_rust::xxh3::xxh3_64;

use crate::slots::{self, SlotTable};

/// The stable name of an ingester, e.g. `ingester-zone-a-0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplicaId(pub String);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One ingester of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    pub id: ReplicaId,
    /// `host:port` of its gRPC listener; empty for the ingester in this process.
    #[serde(default)]
    pub addr: String,
    /// Failure domain. Replicas of one partition must differ in it.
    #[serde(default)]
    pub zone: String,
    /// The incarnation that calls are meant for: an ingester refuses those for another one. 0 = any.
    #[serde(default)]
    pub epoch: u64,
    /// It lost its disk and its neighbours have not yet flushed what it lacks: it takes writes, and
    /// its answers to reads count for nothing.
    #[serde(default)]
    pub rebuilding: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// Gathers its replicas; neither written nor read.
    Pending,
    /// Complete, and read although nobody writes to it yet: readers learn of it before its first data.
    Joining,
    #[default]
    Active,
    /// Takes no new data; read until all of it is in blocks.
    ReadOnly,
    /// Everything it had is in blocks: nobody asks it.
    Removed,
}

impl PartitionState {
    /// Whether readers ask its replicas.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Joining | Self::Active | Self::ReadOnly)
    }
}

/// A replica group: RF ingesters that all hold the same data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    pub id: u32,
    #[serde(default)]
    pub state: PartitionState,
    pub replicas: Vec<Replica>,
}

/// What the coordinator knows at one moment.
#[derive(Debug)]
pub struct View {
    /// Grows with every change of partitions or epochs, and is the same in all processes that see the same.
    pub version: u64,
    pub partitions: Vec<Arc<Partition>>,
    slots: SlotTable,
    shape: u64,
}

/// Why a list of partitions is not usable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("no active partition")]
    NoPartition,
    #[error("partition {0} appears twice")]
    Duplicate(u32),
    #[error(
        "partition {id} has {n} replicas: only 1 or 3 make sense (with 2, losing one stops writes)"
    )]
    ReplicationFactor { id: u32, n: usize },
    #[error("partition {0} has replicas in the same zone or with the same id")]
    SharedZone(u32),
}

impl View {
    /// Checks the partitions and builds the slot table.
    pub fn new(version: u64, partitions: Vec<Partition>) -> Result<Self, ViewError> {
        let active: Vec<u32> =
            partitions.iter().filter(|p| p.state == PartitionState::Active).map(|p| p.id).collect();
        for (i, p) in partitions.iter().enumerate() {
            if partitions[..i].iter().any(|q| q.id == p.id) {
                return Err(ViewError::Duplicate(p.id));
            }
            let gathers = p.state == PartitionState::Pending && p.replicas.len() == 2;
            if p.replicas.len() != 1 && p.replicas.len() != 3 && !gathers {
                return Err(ViewError::ReplicationFactor { id: p.id, n: p.replicas.len() });
            }
            let clash = |a: &Replica, b: &Replica| a.id == b.id || a.zone == b.zone;
            let replicas = &p.replicas;
            let shared =
                (0..replicas.len()).any(|i| (0..i).any(|j| clash(&replicas[i], &replicas[j])));
            if shared {
                return Err(ViewError::SharedZone(p.id));
            }
        }
        let (slots, shape) = (SlotTable::build(&active), shape(&partitions));
        let partitions = partitions.into_iter().map(Arc::new).collect();
        Ok(Self { version, partitions, slots, shape })
    }

    /// Nothing known yet: version 0, no partitions.
    pub fn empty() -> Self {
        Self { version: 0, partitions: Vec::new(), slots: SlotTable::build(&[]), shape: 0 }
    }

    /// One partition of one replica.
    pub fn alone(replica: Replica) -> Self {
        let partition = Partition { id: 0, state: PartitionState::Active, replicas: vec![replica] };
        let slots = SlotTable::build(&[partition.id]);
        let shape = shape(std::slice::from_ref(&partition));
        Self { version: 1, partitions: vec![Arc::new(partition)], slots, shape }
    }

    /// Equal for views in which the same data goes to ingesters of the same names: it changes with what is written to, not
    /// with incarnations.
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// Partitions that new data goes to.
    pub fn writable(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.iter().filter(|p| p.state == PartitionState::Active)
    }

    /// The partition that owns a series or stream of a tenant; meaningless when none is writable.
    pub fn owner(&self, tenant: &TenantId, id: SeriesId) -> u32 {
        self.slots.owner(tenant.hash64(), id)
    }

    /// The partitions that a tenant's new data goes to, if those are `size` of all; `None` for all of them, as for
    /// size 0. Readers need not know: they ask every partition, so that a size may change at any time.
    pub fn shard(&self, tenant: &TenantId, size: usize) -> Option<Vec<u32>> {
        let all: Vec<u32> = self.writable().map(|p| p.id).collect();
        (1..all.len()).contains(&size).then(|| slots::shard(tenant.hash64(), &all, size))
    }

    /// How many partitions [`Self::shard`] names; not 0.
    pub fn shard_len(&self, size: usize) -> usize {
        let all = self.writable().count().max(1);
        if size == 0 { all } else { size.min(all) }
    }

    pub fn partition(&self, id: u32) -> Option<&Arc<Partition>> {
        self.partitions.iter().find(|p| p.id == id)
    }

    /// Partitions that may hold recent data, now or by the time that an answer is given.
    pub fn readable(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.iter().filter(|p| p.state.is_read())
    }
}

/// What [`View::shape`] answers.
fn shape(partitions: &[Partition]) -> u64 {
    let mut written: Vec<&Partition> =
        partitions.iter().filter(|p| p.state == PartitionState::Active).collect();
    written.sort_unstable_by_key(|p| p.id);
    let mut bytes = Vec::new();
    for partition in written {
        bytes.extend(partition.id.to_le_bytes());
        for replica in &partition.replicas {
            bytes.extend(replica.id.0.as_bytes());
            // Stands in no name.
            bytes.push(0);
        }
        bytes.push(1);
    }
    xxh3_64(&bytes)
}
