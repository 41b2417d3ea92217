//! Finds the ingester behind a replica: this process's own, or a gRPC client.

use std::sync::Arc;

use skald_ingester::Ingester;
use skald_ring::{Replica, ReplicaId};
use skald_rpc::{Clients, IngesterApi};

/// Replicas by id or address.
#[derive(Debug)]
pub(crate) struct Directory {
    local: Option<(ReplicaId, Arc<dyn IngesterApi>)>,
    clients: Clients,
}

impl Directory {
    pub(crate) fn new(local: Option<(ReplicaId, Ingester)>, clients: Clients) -> Self {
        let local = local.map(|(id, i)| (id, Arc::new(i) as Arc<dyn IngesterApi>));
        Self { local, clients }
    }

    fn find(&self, replica: &Replica) -> Arc<dyn IngesterApi> {
        match &self.local {
            Some((id, ingester)) if *id == replica.id => Arc::clone(ingester),
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
