//! Processes of the cluster, put together as the server does it: an ingester, a front (distributor and
//! querier), a compactor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::{Extension, Router};
use object_store::ObjectStore;
use prometheus_client::registry::Registry;
use skald_catalog::{Author, Catalog};
use skald_compactor::Compactor;
use skald_coord::record::Member;
use skald_coord::{Cluster, Incarnation, KeyStore, Me, Neighbours, Process, Timing, claim};
use skald_distributor::Distributor;
use skald_ingester::Ingester;
use skald_limits::{Limits, Overrides};
use skald_model::TenantId;
use skald_querier::Querier;
use skald_ring::{Coordinator, Replica};
use skald_runtime::{ByteSize, CpuPool, HumanDuration, Rng, SharedClock, Shutdown};
use skald_wal::Filesystem;

use crate::net::{Host, Net, Place};
use crate::remote::Peers;

/// Before all keys.
pub const PREFIX: &str = "/sim/";

/// What every process is given.
#[derive(Clone, Debug)]
pub struct Kit {
    pub place: Place,
    pub keys: Arc<dyn KeyStore>,
    pub store: Arc<dyn ObjectStore>,
    pub net: Net,
    pub clock: SharedClock,
    pub rng: Rng,
    pub data_dir: PathBuf,
    pub replication_factor: usize,
}

/// What an ingester is given beside.
#[derive(Clone, Debug)]
pub struct Seat {
    pub replica: String,
    pub partition: u32,
    pub addr: String,
    pub fs: Arc<dyn Filesystem>,
    pub flush_interval: Duration,
}

/// What the cluster has a process do with data.
#[derive(Debug)]
struct DataPath {
    peers: Peers,
    catalog: Catalog,
}

#[async_trait]
impl Neighbours for DataPath {
    async fn flush(&self, replica: &Replica, min_view: u64) -> Result<(), String> {
        self.peers.of(replica).flush(min_view).await.map_err(|e| format!("{}: {e}", replica.id))
    }

    fn expire_blocks(&self) {
        self.catalog.expire();
    }
}

/// An ingester that serves.
#[derive(Debug)]
pub struct RunningIngester {
    pub cluster: Cluster,
    pub ingester: Ingester,
    pub incarnation: Incarnation,
    /// Ends after its last flush.
    pub flusher: tokio::task::JoinHandle<Result<(), skald_ingester::Error>>,
}

/// A front that serves.
#[derive(Clone, Debug)]
pub struct Front {
    pub cluster: Cluster,
    pub router: Router,
}

// === impl Kit ===

impl Kit {
    async fn join(&self, role: &str, addr: &str) -> Result<Cluster, String> {
        let member = Member {
            addr: addr.to_owned(),
            http: String::new(),
            zone: self.place.zone.clone(),
            roles: vec![role.to_owned()],
            version: "sim".to_owned(),
            epoch: 0,
            ready: false,
        };
        let process = Process {
            id: self.place.name.clone(),
            member,
            replication_factor: self.replication_factor,
            data_dir: self.data_dir.clone(),
        };
        let (keys, clock) = (Arc::clone(&self.keys), Arc::clone(&self.clock));
        Cluster::open(keys, PREFIX.to_owned(), Timing::default(), process, clock)
            .await
            .map_err(|e| e.to_string())
    }

    fn catalog(&self, author: Author) -> Catalog {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Catalog::new(store, clock, self.rng.clone(), author, skald_catalog::Config::default())
    }

    fn take_part(&self, cluster: &Cluster, catalog: &Catalog, stop: &Shutdown) {
        let peers = Peers::new(self.net.clone(), self.place.clone());
        cluster.set_neighbours(Arc::new(DataPath { peers, catalog: catalog.clone() }));
        skald_runtime::spawn("coordinator", cluster.clone().run(stop.clone()));
    }

    /// Starts an ingester: it listens and is ready when this returns.
    pub async fn ingester(&self, seat: Seat, stop: &Shutdown) -> Result<RunningIngester, String> {
        let cluster = self.join("ingester", &seat.addr).await?;
        let (last, dir) = (cluster.picture(), self.data_dir.join("wal"));
        let name = &seat.replica;
        let claimed = claim(&*self.keys, PREFIX, "sim", name, &dir, Some(&last), &self.rng);
        let incarnation = claimed.await.map_err(|e| e.to_string())?;
        cluster.set_ingester(Me {
            id: seat.replica.clone(),
            zone: self.place.zone.clone(),
            addr: seat.addr.clone(),
            partition: seat.partition,
            replication_factor: self.replication_factor,
            incarnation: incarnation.clone(),
            ready: false,
            drained: false,
        });
        let epoch = incarnation.epoch;
        let catalog = self.catalog(Author { replica: seat.replica.clone(), epoch });
        let deps = skald_ingester::Dependencies {
            store: Arc::clone(&self.store),
            catalog: catalog.clone(),
            limits: limits(),
            clock: Arc::clone(&self.clock),
            rng: self.rng.clone(),
            fs: Arc::clone(&seat.fs),
            wal_dir: dir,
            replica: seat.replica.clone(),
            partition: Some(seat.partition),
            coordinator: Arc::new(cluster.clone()),
        };
        let config = ingester_config(seat.flush_interval);
        let opened = Ingester::open(config, deps, &mut Registry::default()).await;
        let ingester = opened.map_err(|e| skald_model::Chain(&e).to_string())?;
        let flusher = skald_runtime::spawn("ingester", ingester.clone().run(stop.clone()));
        self.take_part(&cluster, &catalog, stop);
        let gate = skald_rpc::Incarnation::new(seat.replica.clone(), epoch);
        let (suspect, superseded) = (cluster.clone(), gate.clone());
        skald_runtime::spawn("superseded", async move {
            superseded.superseded().await;
            suspect.suspect();
        });
        let scope = skald_runtime::Scope::current().ok_or("not in a scope")?;
        let host = Host {
            place: self.place.clone(),
            scope,
            incarnation: gate,
            ingester: ingester.clone(),
        };
        self.net.listen(&seat.addr, host);
        cluster.set_ready();
        Ok(RunningIngester { cluster, ingester, incarnation, flusher })
    }

    /// Starts a distributor and a querier.
    pub async fn front(&self, stop: &Shutdown) -> Result<Front, String> {
        let cluster = self.join("front", &self.place.name).await?;
        let catalog = self.catalog(Author { replica: self.place.name.clone(), epoch: 0 });
        self.take_part(&cluster, &catalog, stop);
        let peers = Arc::new(Peers::new(self.net.clone(), self.place.clone()));
        let coordinator: Arc<dyn Coordinator> = Arc::new(cluster.clone());
        let distributor = Distributor::new(
            skald_distributor::Config::default(),
            Arc::clone(&coordinator),
            Arc::clone(&peers) as Arc<dyn skald_distributor::IngesterDirectory>,
            limits(),
            Arc::clone(&self.clock),
            &mut Registry::default(),
        );
        let parts = skald_querier::Dependencies {
            coordinator,
            directory: peers,
            catalog,
            store: Arc::clone(&self.store),
            limits: limits(),
            clock: Arc::clone(&self.clock),
        };
        let config = skald_querier::Config::default();
        let querier = Querier::new(config, parts, &mut Registry::default());
        let router = distributor
            .router()
            .merge(skald_querier::prometheus_router().with_state(querier.clone()))
            .merge(skald_querier::loki_router().with_state(querier));
        cluster.set_ready();
        Ok(Front { cluster, router })
    }

    /// Starts a compactor.
    pub fn compactor(&self) -> Result<(), String> {
        let catalog = self.catalog(Author { replica: self.place.name.clone(), epoch: 0 });
        let parts = skald_compactor::Parts {
            store: Arc::clone(&self.store),
            catalog,
            overrides: limits(),
            clock: Arc::clone(&self.clock),
            rng: self.rng.clone(),
            cpu: CpuPool::new(2),
            share: None,
            auto_deletion_delay: Duration::from_secs(12 * 3600),
        };
        let config = skald_compactor::Config {
            interval: HumanDuration::from_secs(30),
            ..skald_compactor::Config::default()
        };
        let compactor = Compactor::new(config, parts, &mut Registry::default());
        let compactor = compactor.map_err(|e| e.to_string())?;
        skald_runtime::spawn("compactor", compactor.run(Shutdown::new()));
        Ok(())
    }
}

impl Front {
    /// The routes, for a tenant.
    pub fn of(&self, tenant: &TenantId) -> Router {
        self.router.clone().layer(Extension(tenant.clone()))
    }
}

fn limits() -> Overrides {
    Overrides::fixed(Limits { reject_old_samples: false, ..Limits::default() })
}

fn ingester_config(flush_interval: Duration) -> skald_ingester::Config {
    let mut config = skald_ingester::Config {
        flush_interval: HumanDuration(flush_interval),
        memory_limit: ByteSize(1 << 30),
        ..skald_ingester::Config::default()
    };
    config.wal.segment_size = ByteSize(64 << 10);
    config.wal.min_free = ByteSize(4 << 10);
    config.wal.ballast = ByteSize(0);
    config
}
