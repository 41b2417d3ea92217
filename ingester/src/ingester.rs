//! The handle: what all parts of an ingester share.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use skald_catalog::Catalog;
use skald_limits::Overrides;
use skald_model::TenantId;
use skald_ring::Coordinator;
use skald_runtime::{CpuPool, Rng, SharedClock, Shutdown};
use skald_wal::{Filesystem, Replay, Wal};
use tokio::sync::Notify;

use crate::admission::Admission;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::tenant::{Memory, Tenant};

/// What an ingester stands on.
#[derive(Clone, Debug)]
pub struct Dependencies {
    pub store: Arc<dyn ObjectStore>,
    /// With this replica as author.
    pub catalog: Catalog,
    pub limits: Overrides,
    pub clock: SharedClock,
    pub rng: Rng,
    /// Where the write-ahead log lies.
    pub fs: Arc<dyn Filesystem>,
    pub wal_dir: PathBuf,
    /// The stable name of this ingester: the key of its watermarks.
    pub replica: String,
    /// The partition that this replica is one of: pushes for another are refused. `None`: not checked.
    pub partition: Option<u32>,
    /// Says how many partitions divide a tenant's global limits among them.
    pub coordinator: Arc<dyn Coordinator>,
}

/// An ingester. Clones share it.
#[derive(Clone)]
pub struct Ingester(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) deps: Dependencies,
    pub(crate) wal: Wal,
    pub(crate) admission: Admission,
    pub(crate) tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    pub(crate) memory: Memory,
    pub(crate) memory_limit: u64,
    pub(crate) metrics: Metrics,
    pub(crate) readers: CpuPool,
    pub(crate) encoders: CpuPool,
    /// Memory is short: look for tenants to flush now.
    pub(crate) flush_soon: Notify,
    /// What is in the log is not all in the heads yet.
    pub(crate) replaying: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Another process commits under this replica's name.
    pub(crate) fenced: Shutdown,
    /// Its epoch.
    pub(crate) fenced_by: AtomicU64,
}

impl fmt::Debug for Ingester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingester").field("replica", &self.0.deps.replica).finish_non_exhaustive()
    }
}

// === impl Ingester ===

impl Ingester {
    /// Opens the write-ahead log and replays it; serves once this returns.
    pub async fn open(
        config: Config,
        deps: Dependencies,
        registry: &mut Registry,
    ) -> Result<Self, Error> {
        let (ingester, replay) = Self::begin(config, deps, registry).await?;
        ingester.replay(replay).await?;
        Ok(ingester)
    }

    /// Opens the write-ahead log, which [`Self::replay`] then reads. Until that has ended all that is asked
    /// of the ingester is refused as unavailable.
    pub async fn begin(
        config: Config,
        deps: Dependencies,
        registry: &mut Registry,
    ) -> Result<(Self, Replay), Error> {
        config.validate()?;
        let metrics = Metrics::register(registry);
        let wal_metrics = skald_wal::Metrics::register(registry.sub_registry_with_prefix("wal"));
        let (fs, dir, wal_config, rng) =
            (Arc::clone(&deps.fs), deps.wal_dir.clone(), config.wal.clone(), deps.rng.clone());
        let (wal, replay) = CpuPool::new(1)
            .run(move || Wal::open(fs, &dir, wal_config, &rng, wal_metrics))
            .await??;
        let ingester = Self(Arc::new(Inner {
            memory_limit: config.memory_limit(),
            admission: Admission::new(deps.partition),
            config,
            deps,
            wal,
            tenants: RwLock::default(),
            memory: Memory::default(),
            metrics,
            readers: CpuPool::per_core(),
            encoders: CpuPool::per_core(),
            flush_soon: Notify::new(),
            replaying: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            fenced: Shutdown::new(),
            fenced_by: AtomicU64::new(0),
        }));
        Ok((ingester, replay))
    }

    /// Completes with the reason when the write-ahead log has failed, or when a newer incarnation of this
    /// replica has fenced this one: then the process must exit. Cancel-safe.
    pub async fn failed(&self) -> Error {
        tokio::select! {
            e = self.0.wal.failed() => e.into(),
            () = self.0.fenced.wait() => {
                Error::Fenced { recorded: self.0.fenced_by.load(Ordering::Acquire) }
            }
        }
    }

    /// Refuses pushes made for views of the cluster older than this one from now on, and completes when
    /// those that were taken before have ended. A restarted ingester knows nothing of the flushes that
    /// were asked of it before: whoever starts one whose partition takes no new data calls this first.
    pub async fn refuse_older_than(&self, view_version: u64) {
        self.0.admission.raise(view_version).await;
    }

    /// Bytes that recent data takes.
    pub fn memory_used(&self) -> u64 {
        self.0.memory.used()
    }

    /// What a tenant's recent metrics take, part by part, and then what its recent logs take, in bytes: estimates
    /// from the sizes of collections.
    pub fn memory_report(&self, tenant: &TenantId) -> Vec<(&'static str, usize)> {
        let Some(tenant) = self.find_tenant(tenant) else { return Vec::new() };
        let mut parts = tenant.metrics.read().size();
        parts.extend(tenant.logs.read().size());
        parts
    }

    /// The tenant, created if need be.
    pub(crate) fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(known) = self.find_tenant(id) {
            return known;
        }
        let mut tenants = self.0.tenants.write();
        let new = || Arc::new(Tenant::new(id.clone()));
        Arc::clone(tenants.entry(id.clone()).or_insert_with(new))
    }

    pub(crate) fn find_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.tenants.read().get(id).cloned()
    }

    pub(crate) fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.0.tenants.read().values().cloned().collect()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire) || self.0.fenced.is_triggered()
    }

    /// The wait before attempt number `n`, from a second doubling to the configured maximum, with jitter.
    pub(crate) fn backoff(&self, n: u32) -> Duration {
        let max = self.0.config.flush_max_backoff.0;
        let full = Duration::from_secs(1).saturating_mul(1 << n.min(16)).min(max);
        let millis = u64::try_from(full.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis / 2 + self.0.deps.rng.below(millis / 2 + 1))
    }
}
