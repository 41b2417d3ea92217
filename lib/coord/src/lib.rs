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

pub mod conformance;
pub mod memory;
mod store;

pub use crate::memory::MemoryStore;
pub use crate::store::{Entry, KeyStore, LeaseId, MAX_VALUE, Snapshot, StoreError};
