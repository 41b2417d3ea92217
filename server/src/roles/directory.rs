//! Finds the ingester behind a replica: this process's own, or a gRPC client.

use std::sync::Arc;

use skald_ingester::Ingester;
use skald_ring::Replica;
use skald_rpc::{Clients, Incarnation, IngesterApi};

/// Replicas by id or address.
#[derive(Debug)]
pub(crate) struct Directory {
    local: Option<(Own, Arc<dyn IngesterApi>)>,
    clients: Clients,
}

/// The replica that the ingester of this process is.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) id: String,
    /// 0 = any.
    pub(crate) epoch: u64,
}

impl Own {
    /// What calls from elsewhere are compared with.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation::new(self.id.clone(), self.epoch)
    }
}

impl Directory {
    pub(crate) fn new(local: Option<(Own, Ingester)>, clients: Clients) -> Self {
        let local = local.map(|(id, i)| (id, Arc::new(i) as Arc<dyn IngesterApi>));
        Self { local, clients }
    }

    pub(crate) fn find(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        match &self.local {
            // Of another epoch, it is somebody else of this name.
            Some((own, ingester))
                if own.id == replica.id.0 && (replica.epoch == 0 || replica.epoch == own.epoch) =>
            {
                Arc::clone(ingester)
            }
            _ => self.clients.ingester(&replica.addr, &replica.id.0, replica.epoch),
        }
    }
}

impl skald_distributor::IngesterDirectory for Directory {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        self.find(replica)
    }
}

impl skald_querier::IngesterDirectory for Directory {
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        self.find(replica)
    }
}
