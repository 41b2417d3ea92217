//! What every role of this process stands on: the store, the catalog, limits, and its view of the cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use skald_catalog::{Author, Catalog};
use skald_distributor::{Distributor, Elections};
use skald_limits::Overrides;
use skald_model::Chain;
use skald_querier::Querier;
use skald_ring::{Coordinator, Replica, StaticCoordinator};
use skald_runtime::{Rng, SharedClock, Shutdown, SystemClock};
use skald_store::disk::{self, DiskCache};
use skald_store::metrics::CountingStore;
use skald_wal::{Filesystem, StdFs};
use tracing::{info, warn};

use crate::config::{Config, Roles};
use crate::registries::Registries;
use crate::roles::directory::{Directory, Own};
use crate::roles::membership::Membership;
use crate::roles::{Listening, StartError};

/// Between two attempts to reach the store at the start.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What every role stands on.
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) roles: Roles,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) catalog: Catalog,
    pub(super) limits: Overrides,
    pub(super) clock: SharedClock,
    pub(super) rng: Rng,
    pub(super) coordinator: Arc<dyn Coordinator>,
    /// With etcd.
    pub(super) membership: Option<Membership>,
}

// === impl Common ===

impl Common {
    pub(super) fn distributor(
        &self,
        directory: &Arc<Directory>,
        registries: &Registries,
    ) -> Distributor {
        let elections = match &self.membership {
            Some(m) => m.elections.clone(),
            None => Elections::local(),
        };
        registries.with("", |r| {
            Distributor::electing(
                self.config.distributor.clone(),
                Arc::clone(&self.coordinator),
                Arc::clone(directory) as Arc<dyn skald_distributor::IngesterDirectory>,
                self.limits.clone(),
                Arc::clone(&self.clock),
                r,
                elections,
            )
        })
    }

    pub(super) fn querier(&self, directory: &Arc<Directory>, registries: &Registries) -> Querier {
        let parts = skald_querier::Dependencies {
            coordinator: Arc::clone(&self.coordinator),
            directory: Arc::clone(directory) as Arc<dyn skald_querier::IngesterDirectory>,
            catalog: self.catalog.clone(),
            store: self.blocks(registries),
            limits: self.limits.clone(),
            clock: Arc::clone(&self.clock),
        };
        registries.with("skald_querier", |r| Querier::new(self.config.querier.clone(), parts, r))
    }

    /// The store as queriers read blocks: through the cache on disk if there is to be one. Compactors read each block
    /// once and would only drive out what is asked for again.
    fn blocks(&self, registries: &Registries) -> Arc<dyn ObjectStore> {
        let config = &self.config;
        let free = || StdFs.space(&config.data_dir).ok().flatten().map(|space| space.free);
        let Some(bounds) = config.cache.bounds(&config.storage_url(), free) else {
            return Arc::clone(&self.store);
        };
        let dir = config.data_dir.join("cache");
        info!(dir = %dir.display(), bytes = bounds.bytes, files = bounds.files, "blocks are cached on disk");
        let metrics = registries.with("skald_disk_cache", disk::Metrics::register);
        Arc::new(DiskCache::open(dir, bounds, metrics).over(Arc::clone(&self.store)))
    }

    /// What the ingester of this process is called by others.
    pub(super) fn own_replica(&self) -> Own {
        let incarnation = self.membership.as_ref().and_then(|m| m.incarnation.as_ref());
        Own {
            id: self.config.cluster.replica_id.clone(),
            epoch: incarnation.map_or(0, |own| own.epoch),
        }
    }

    /// The partition that the ingester of this process belongs to.
    pub(super) fn own_partition(&self) -> Option<u32> {
        if self.membership.is_some() {
            return self.config.cluster.partition();
        }
        let view = self.coordinator.view();
        let is_own = |r: &Replica| r.id.0 == self.config.cluster.replica_id;
        view.partitions.iter().find(|p| p.replicas.iter().any(is_own)).map(|p| p.id)
    }
}

pub(super) async fn common(
    config: &Arc<Config>,
    registries: &Registries,
    at: Listening,
    stop: &Shutdown,
) -> Result<Common, StartError> {
    let url = config.storage_url();
    let store = skald_store::open(&url, &config.storage.options)
        .map_err(|source| StartError::Open { url: url.clone(), source })?;
    let metrics = registries.with("skald_store", skald_store::metrics::Metrics::register);
    let store: Arc<dyn ObjectStore> = Arc::new(CountingStore::new(store, metrics));
    wait_for(store.as_ref(), &url).await?;
    let limits = overrides(config, registries, stop)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let rng = Rng::from_entropy();
    let roles = config.roles().unwrap_or_default();
    let membership = match config.cluster.uses_etcd() {
        true => Some(Membership::join(config, roles, at, &clock, &rng).await?),
        false => None,
    };
    let alone = || Author { replica: config.cluster.replica_id.clone(), epoch: 0 };
    let author = membership.as_ref().map_or_else(alone, Membership::author);
    let catalog = Catalog::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        rng.clone(),
        author,
        config.catalog.clone(),
    );
    let coordinator: Arc<dyn Coordinator> = match &membership {
        Some(membership) => Arc::new(membership.cluster.clone()),
        None => Arc::new(fixed(config)?),
    };
    let config = Arc::clone(config);
    Ok(Common { config, roles, store, catalog, limits, clock, rng, coordinator, membership })
}

/// Tries the store out, again and again while it does not answer: it may be away just now.
async fn wait_for(store: &dyn ObjectStore, url: &str) -> Result<(), StartError> {
    let mut pause = Duration::from_secs(1);
    loop {
        match skald_store::probe(store).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() => {
                warn!(url, error = %Chain(&error), ?pause, "storage does not answer, waiting for it");
            }
            Err(source) => return Err(StartError::Probe { url: url.to_owned(), source }),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WAIT);
    }
}

fn overrides(
    config: &Config,
    registries: &Registries,
    stop: &Shutdown,
) -> Result<Overrides, StartError> {
    let file = &config.overrides.file;
    if file == Path::new("") {
        return Ok(Overrides::fixed(config.limits.clone()));
    }
    let overrides = Overrides::load(file, config.limits.clone())?;
    let metrics = registries.with("", skald_limits::ReloadMetrics::register);
    let period = config.overrides.period.0;
    let watch = skald_limits::watch(overrides.clone(), file.clone(), period, metrics, stop.clone());
    skald_runtime::spawn("overrides", watch);
    Ok(overrides)
}

/// The configured partitions, or one that the ingester of this process holds alone.
fn fixed(config: &Config) -> Result<StaticCoordinator, StartError> {
    match config.cluster.partitions.as_slice() {
        [] => Ok(StaticCoordinator::alone(&config.cluster.replica_id)),
        given => Ok(StaticCoordinator::new(given.to_vec())?),
    }
}
