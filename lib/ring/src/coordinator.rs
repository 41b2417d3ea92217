//! Publishes views of the cluster.

use std::fmt::Debug;
use std::sync::Arc;

use crate::view::{Partition, View, ViewError};

/// Answers what the cluster looks like. When it is cut off from its source, the last view stays in force.
pub trait Coordinator: Debug + Send + Sync {
    /// The newest view known.
    fn view(&self) -> Arc<View>;
}

/// Membership that never changes: from the configuration, or one partition in this process.
#[derive(Debug)]
pub struct StaticCoordinator(Arc<View>);

impl StaticCoordinator {
    pub fn new(partitions: Vec<Partition>) -> Result<Self, ViewError> {
        Ok(Self(Arc::new(View::new(1, partitions)?)))
    }
}

impl Coordinator for StaticCoordinator {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0)
    }
}
