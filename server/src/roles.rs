//! Wires the roles of this process: the only place that knows whether a neighbour is here or behind gRPC.

mod common;
mod directory;
mod membership;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use prometheus_client::registry::Registry;
use skald_compactor::Compactor;
use skald_distributor::{Distributor, Listeners};
use skald_ingester::Ingester;
use skald_model::Chain;
use skald_rpc::{Clients, Incarnation, IngesterApi, IngesterService};
use skald_runtime::{CpuPool, Shutdown};
use skald_store::server::StorageService;
use skald_wal::{Replay, StdFs};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tracing::error;

use crate::auth;
use crate::cluster::{self, Seat};
use crate::config::Config;
use crate::registries::Registries;
use crate::roles::common::{Common, common};
use crate::roles::directory::Directory;
use crate::roles::membership::{DataPath, Membership};

/// How long removed blocks stay for readers in other processes.
const DELETION_DELAY: Duration = Duration::from_secs(12 * 3600);

/// Why a role did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("open storage {url}")]
    Open { url: String, source: skald_store::OpenError },
    #[error("storage {url} cannot be used")]
    Probe { url: String, source: skald_store::ProbeError },
    #[error("overrides")]
    Overrides(#[from] skald_limits::LoadError),
    #[error("cluster.partitions")]
    Partitions(#[from] skald_ring::ViewError),
    #[error("ingester")]
    Ingester(#[from] skald_ingester::Error),
    #[error(transparent)]
    Listen(#[from] skald_distributor::ListenError),
    #[error("compactor")]
    Compactor(#[from] skald_compactor::ConfigError),
    #[error("cluster.etcd")]
    Etcd(#[from] skald_coord::etcd::InvalidConfig),
    #[error("join the cluster")]
    Join(#[from] skald_coord::JoinError),
    #[error("claim cluster.replica_id")]
    Claim(#[from] skald_coord::ClaimError),
    #[error("cluster.replica_id {0:?} is in none of cluster.partitions")]
    UnknownReplica(String),
    #[error("{0}")]
    Failed(String),
}

/// Why the end was not orderly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    #[error("close the write-ahead log")]
    Ingester(#[from] skald_ingester::Error),
    #[error("the ingester panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Where this process listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

/// The roles of this process, started.
#[derive(Debug)]
pub(crate) struct Running {
    router: Router,
    distributor: Option<Distributor>,
    ingester: Option<Ingester>,
    /// What the ingester has not read yet.
    replay: Option<Replay>,
    /// Not running yet.
    compactor: Option<Compactor>,
    /// What this process offers other roles and plugins' clients.
    storage: Option<StorageService>,
    stop: Shutdown,
    loops: Vec<JoinHandle<()>>,
    membership: Option<Membership>,
    /// Whom calls to the ingester here must mean.
    incarnation: Incarnation,
    /// Flushes at the end, so its outcome matters.
    flusher: Option<JoinHandle<Result<(), skald_ingester::Error>>>,
}

/// Opens the store and starts every role in `config.target`; an ingester waits for [`Running::replay`].
pub(crate) async fn start(
    config: &Arc<Config>,
    registries: &Registries,
    at: Listening,
    stop: &Shutdown,
) -> Result<Running, StartError> {
    let common = common(config, registries, at, stop).await?;
    let mut running = Running {
        router: Router::new(),
        distributor: None,
        ingester: None,
        replay: None,
        compactor: None,
        storage: None,
        stop: stop.clone(),
        loops: Vec::new(),
        membership: common.membership.clone(),
        incarnation: common.own_replica().incarnation(),
        flusher: None,
    };
    if common.roles.storage {
        let options = config.storage.server.clone();
        running.storage = Some(StorageService::new(Arc::clone(&common.store), options));
    }
    if common.roles.ingester {
        running.start_ingester(&common, registries).await?;
    }
    let directory = Arc::new(Directory::new(
        running.ingester.clone().map(|i| (common.own_replica(), i)),
        Clients::new(config.cluster.rpc_timeout.0),
    ));
    if let Some(membership) = &common.membership {
        let (directory, catalog) = (Arc::clone(&directory), common.catalog.clone());
        membership.cluster.set_neighbours(Arc::new(DataPath { directory, catalog }));
    }
    let mut routes = Router::new();
    if common.roles.distributor {
        let distributor = common.distributor(&directory, registries);
        routes = routes.merge(distributor.router());
        let tracking = distributor.clone().run(running.stop.child());
        running.loops.push(skald_runtime::spawn("ha-tracker", tracking));
        running.distributor = Some(distributor);
    }
    if common.roles.querier {
        let querier = common.querier(&directory, registries);
        let prometheus = skald_querier::prometheus_router().with_state(querier.clone());
        routes = routes
            .nest("/prometheus", prometheus.clone())
            .merge(prometheus)
            .merge(skald_querier::loki_router().with_state(querier));
    }
    running.router = routes.layer(from_fn_with_state(config.auth.mode, auth::tenant));
    if common.roles.compactor {
        running.start_compactor(&common, registries)?;
    }
    if let Some(Membership { cluster, .. }) = &common.membership {
        let partition = config.cluster.partition().filter(|_| common.roles.ingester);
        let seat = Seat { cluster: cluster.clone(), partition };
        registries.with("skald_cluster", |r| cluster::metrics::register(cluster, r));
        running.router = std::mem::take(&mut running.router).merge(cluster::router(seat));
        let taking_part = cluster.clone().run(running.stop.child());
        running.loops.push(skald_runtime::spawn("coordinator", taking_part));
    }
    Ok(running)
}

// === impl Running ===

impl Running {
    async fn start_ingester(
        &mut self,
        common: &Common,
        registries: &Registries,
    ) -> Result<(), StartError> {
        let config = &common.config;
        let replica = config.cluster.replica_id.clone();
        let partition =
            common.own_partition().ok_or_else(|| StartError::UnknownReplica(replica.clone()))?;
        let deps = skald_ingester::Dependencies {
            store: Arc::clone(&common.store),
            catalog: common.catalog.clone(),
            limits: common.limits.clone(),
            clock: Arc::clone(&common.clock),
            rng: common.rng.clone(),
            fs: Arc::new(StdFs),
            wal_dir: config.data_dir.join("wal"),
            replica,
            partition: Some(partition),
            coordinator: Arc::clone(&common.coordinator),
        };
        let mut registry = Registry::with_prefix("skald");
        let begun = Ingester::begin(config.ingester.clone(), deps, &mut registry).await?;
        registries.add(registry);
        let (ingester, replay) = begun;
        self.ingester = Some(ingester);
        self.replay = Some(replay);
        Ok(())
    }

    /// Has the ingester read its write-ahead log; it takes part from then on, as does a compactor, which would get in its way.
    pub(crate) async fn replay(&mut self) -> Result<(), StartError> {
        self.replay_log().await?;
        if let Some(compactor) = self.compactor.take() {
            self.loops.push(skald_runtime::spawn("compactor", compactor.run(self.stop.child())));
        }
        Ok(())
    }

    async fn replay_log(&mut self) -> Result<(), StartError> {
        let (Some(ingester), Some(replay)) = (&self.ingester, self.replay.take()) else {
            return Ok(());
        };
        tokio::select! {
            replayed = ingester.replay(replay) => replayed?,
            why = self.failed() => return Err(StartError::Failed(why)),
        }
        let flushing = ingester.clone().run(self.stop.child());
        self.flusher = Some(skald_runtime::spawn("ingester", flushing));
        Ok(())
    }

    fn start_compactor(
        &mut self,
        common: &Common,
        registries: &Registries,
    ) -> Result<(), StartError> {
        let readers_are_here = common.roles.is_whole()
            && common.config.cluster.partitions.is_empty()
            && common.membership.is_none();
        let parts = skald_compactor::Parts {
            store: Arc::clone(&common.store),
            catalog: common.catalog.clone(),
            overrides: common.limits.clone(),
            clock: Arc::clone(&common.clock),
            rng: common.rng.clone(),
            cpu: CpuPool::per_core(),
            share: common
                .membership
                .as_ref()
                .map(|m| Arc::new(m.clone()) as Arc<dyn skald_compactor::Share>),
            auto_deletion_delay: if readers_are_here { Duration::ZERO } else { DELETION_DELAY },
        };
        let config = common.config.compactor.clone();
        let compactor = registries.with("skald_compactor", |r| Compactor::new(config, parts, r))?;
        self.router = std::mem::take(&mut self.router).merge(compactor.router());
        self.compactor = Some(compactor);
        Ok(())
    }

    /// Opens the distributor's own ports, those that are configured.
    pub(crate) async fn listen(&self, stop: &Shutdown) -> Result<Listeners, StartError> {
        match &self.distributor {
            Some(distributor) => Ok(distributor.listen(stop).await?),
            None => Ok(Listeners::default()),
        }
    }

    /// The routes of all roles.
    pub(crate) fn router(&self) -> Router {
        // By these words, and not by the status, Grafana sees that there is no ruler.
        let absent = || async { (StatusCode::NOT_FOUND, "404 page not found\n") };
        self.router.clone().fallback(absent)
    }

    /// The ingester of this process.
    pub(crate) fn ingester(&self) -> Option<Arc<dyn IngesterApi>> {
        self.ingester.clone().map(|i| Arc::new(i) as Arc<dyn IngesterApi>)
    }

    /// Serves gRPC until `stop`: the ingester's service, the storage interface, health.
    pub(crate) fn serve_grpc(
        &self,
        listener: TcpListener,
        stop: Shutdown,
    ) -> JoinHandle<Result<(), tonic::transport::Error>> {
        let (_, health) = tonic_health::server::health_reporter();
        let incarnation = self.incarnation.clone();
        if let Some(Membership { cluster, .. }) = &self.membership {
            let (cluster, incarnation) = (cluster.clone(), incarnation.clone());
            skald_runtime::spawn("superseded", async move {
                incarnation.superseded().await;
                cluster.suspect();
            });
        }
        let ingester = self.ingester().map(|i| IngesterService::server(i, incarnation));
        let storage = self.storage.clone().map(StorageService::into_server);
        skald_runtime::spawn("grpc", async move {
            Server::builder()
                .tcp_nodelay(true)
                .http2_max_pending_accept_reset_streams(Some(100))
                .add_service(health)
                .add_optional_service(ingester)
                .add_optional_service(storage)
                .serve_with_incoming_shutdown(
                    tokio_stream::wrappers::TcpListenerStream::new(listener),
                    async move { stop.wait().await },
                )
                .await
        })
    }

    /// Tells the cluster that this process serves.
    pub(crate) fn set_ready(&self) {
        if let Some(Membership { cluster, .. }) = &self.membership {
            cluster.set_ready();
        }
    }

    /// Completes with the reason when the process must exit because it cannot keep its promises.
    pub(crate) async fn failed(&self) -> String {
        let log = async {
            match &self.ingester {
                Some(ingester) => {
                    let error = ingester.failed().await;
                    error!(error = %Chain(&error), "ingester failed");
                    if let (skald_ingester::Error::Fenced { recorded }, Some(membership)) =
                        (&error, &self.membership)
                    {
                        membership.outlive(*recorded).await;
                    }
                    error.to_string()
                }
                None => std::future::pending().await,
            }
        };
        let fenced = async {
            match &self.membership {
                Some(Membership { cluster, .. }) => cluster.fenced().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = log => why,
            () = fenced => "a newer process of this cluster.replica_id runs".to_owned(),
        }
    }

    /// Waits for the loops, which have been told to stop; the ingester flushes and closes its WAL.
    pub(crate) async fn stop(self) -> Result<(), StopError> {
        for task in self.loops {
            // A loop that panicked has been logged by its panic.
            let _ = task.await;
        }
        match self.flusher {
            Some(flusher) => Ok(flusher.await??),
            None => Ok(()),
        }
    }
}
