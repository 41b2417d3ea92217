//! Who owns what: slots, partitions, replica groups, and how many answers make a success.
//!
//! Requirements: ownership is a pure function of a [`View`]; nothing is negotiated. The coordinator
//! (a static list for one process and for now also for clusters; etcd later) only publishes views.

mod coordinator;
pub mod quorum;
mod refresh;
pub mod slots;
mod view;

pub use crate::coordinator::{Coordinator, StaticCoordinator};
pub use crate::refresh::Refresher;
pub use crate::view::{Partition, PartitionState, Replica, ReplicaId, View, ViewError};
