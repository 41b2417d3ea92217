//! This process as a member of a cluster: its name and epoch, and what the data path does for the others.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use skald_catalog::{Author, Catalog};
use skald_coord::record::Member;
use skald_coord::{Cluster, EtcdStore, Incarnation, KeyStore, Me, Neighbours, Process};
use skald_distributor::Elections;
use skald_model::TenantId;
use skald_ring::Replica;
use skald_runtime::{Rng, SharedClock};
use tracing::warn;

use crate::config::{Config, Roles};
use crate::roles::directory::Directory;
use crate::roles::{Listening, StartError};

/// A member of a cluster, and the incarnation of the ingester that runs here.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) cluster: Cluster,
    pub(super) incarnation: Option<Incarnation>,
    /// Of high-availability pairs.
    pub(super) elections: Elections,
    /// Whose disk that is stands there.
    wal_dir: PathBuf,
}

// === impl Membership ===

impl Membership {
    /// Gets the first view of the cluster, and an epoch if there is an ingester here. Waits for etcd unless
    /// the disk has what it said last.
    pub(super) async fn join(
        config: &Config,
        roles: Roles,
        at: Listening,
        clock: &SharedClock,
        rng: &Rng,
    ) -> Result<Self, StartError> {
        let settings = &config.cluster;
        let store: Arc<dyn KeyStore> = Arc::new(EtcdStore::connect(&settings.etcd)?);
        let prefix = format!("/{}/", settings.name);
        let elections = Elections::shared(Arc::clone(&store), format!("/{}.ha/", settings.name));
        let addr = match settings.advertise.as_str() {
            "" => at.grpc.to_string(),
            given => given.to_owned(),
        };
        let names = roles.names();
        let id = match roles.ingester {
            true => settings.replica_id.clone(),
            false => format!("{}@{addr}", names.join("+")),
        };
        let member = Member {
            addr: addr.clone(),
            http: at.http.to_string(),
            zone: settings.zone.clone(),
            roles: names.iter().map(|&name| name.to_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: 0,
            ready: false,
        };
        let process = Process {
            id,
            member,
            replication_factor: settings.replication_factor,
            data_dir: config.data_dir.clone(),
        };
        let timing = settings.timing.clone();
        let clock = Arc::clone(clock);
        let cluster =
            Cluster::open(Arc::clone(&store), prefix.clone(), timing, process, clock).await?;
        let wal_dir = config.data_dir.join("wal");
        let Some(partition) = settings.partition().filter(|_| roles.ingester) else {
            return Ok(Self { cluster, incarnation: None, elections, wal_dir });
        };
        let last = cluster.picture();
        let (name, replica) = (&settings.name, &settings.replica_id);
        let incarnation =
            skald_coord::claim(&*store, &prefix, name, replica, &wal_dir, Some(&last), rng).await?;
        cluster.set_ingester(Me {
            id: replica.clone(),
            zone: settings.zone.clone(),
            addr,
            partition,
            replication_factor: settings.replication_factor,
            incarnation: incarnation.clone(),
            ready: false,
            drained: false,
        });
        Ok(Self { cluster, incarnation: Some(incarnation), elections, wal_dir })
    }

    /// Has the next start claim an epoch above `recorded`. If this process was right to run, and the epoch is of an
    /// earlier cluster over the same store, that start goes on; if not, it is told apart as ever.
    pub(super) async fn outlive(&self, recorded: u64) {
        if let Err(error) = skald_coord::claim_above(&self.wal_dir, recorded).await {
            warn!(%error, "the epoch is not remembered");
        }
    }

    /// Who signs the commits of this process.
    pub(super) fn author(&self) -> Author {
        match &self.incarnation {
            Some(own) => Author { replica: own.replica.clone(), epoch: own.epoch },
            None => Author { replica: self.cluster.id().to_owned(), epoch: 0 },
        }
    }
}

impl skald_compactor::Share for Membership {
    fn is_mine(&self, tenant: &TenantId) -> bool {
        self.cluster.shares("compactor", tenant.hash64())
    }
}

/// What the cluster has the data path of this process do.
#[derive(Debug)]
pub(super) struct DataPath {
    pub(super) directory: Arc<Directory>,
    pub(super) catalog: Catalog,
}

#[async_trait]
impl Neighbours for DataPath {
    async fn flush(&self, replica: &Replica, min_view: u64) -> Result<(), String> {
        let flushed = self.directory.find(replica).flush(min_view).await;
        flushed.map_err(|e| format!("flush {}: {e}", replica.id))
    }

    fn expire_blocks(&self) {
        self.catalog.expire();
    }
}
