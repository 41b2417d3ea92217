//! Publishes views of the cluster.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::view::{Partition, Replica, ReplicaId, View, ViewError};

/// Answers what the cluster looks like. When it is cut off from its source, the last view stays in force.
#[async_trait]
pub trait Coordinator: Debug + Send + Sync {
    /// The newest view known.
    fn view(&self) -> Arc<View>;

    /// Asks for a look at the source: somebody answered that the view is old. Completes once that was
    /// done or given up, at the latest after some seconds; the view may be the same afterwards. Cancel-safe.
    async fn refresh(&self) {}
}

/// Membership that never changes: from the configuration, or one partition in this process.
#[derive(Debug)]
pub struct StaticCoordinator(Arc<View>);

impl StaticCoordinator {
    /// One partition, held by the ingester `id` of this process.
    pub fn alone(id: &str) -> Self {
        let replica = Replica {
            id: ReplicaId(id.to_owned()),
            addr: String::new(),
            zone: String::new(),
            epoch: 0,
            rebuilding: false,
        };
        Self(Arc::new(View::alone(replica)))
    }

    pub fn new(partitions: Vec<Partition>) -> Result<Self, ViewError> {
        let view = View::new(1, partitions)?;
        if view.writable().next().is_none() {
            return Err(ViewError::NoPartition);
        }
        Ok(Self(Arc::new(view)))
    }
}

impl Coordinator for StaticCoordinator {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0)
    }
}
