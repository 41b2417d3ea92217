//! Who is in the cluster and who owns what: members by lease, partitions, epochs and jobs as small keys.
//!
//! Requirements: off the data path; level-triggered, so that no lost event can leave a process with an
//! old picture; when the store of keys is away, the last picture stays in force.
//!
//! ```text
//! /<cluster>/members/<id>       leased: address, zone, roles, version, epoch
//! /<cluster>/partitions/<n>     state, replicas
//! /<cluster>/epochs/<replica>   the incarnation that is meant, and the disk it has
//! ```

mod claim;
mod cluster;
pub mod conformance;
mod disk;
mod drain;
pub mod etcd;
pub mod memory;
mod picture;
mod plan;
pub mod record;
mod run;
mod store;
#[cfg(test)]
mod tests;

pub use crate::claim::{ClaimError, Incarnation, claim, claim_above};
pub use crate::cluster::{Cluster, JoinError, Neighbours, Process, Timing};
pub use crate::drain::DrainError;
pub use crate::etcd::{EtcdConfig, EtcdStore};
pub use crate::memory::MemoryStore;
pub use crate::picture::{At, Picture, SharedPicture};
pub use crate::plan::Me;
pub use crate::store::{Entry, KeyStore, LeaseId, MAX_VALUE, Snapshot, StoreError};
