//! The compactor as a component: rounds over all tenants, on time and on demand.

mod backlog;
mod http;
mod retention;
mod rewrite;
mod tenant;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::ObjectStore;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use skald_catalog::{Catalog, CommitError, GcOptions};
use skald_limits::Overrides;
use skald_model::{Chain, ErrorKind, TenantId};
use skald_runtime::{CpuPool, Rng, SharedClock, Shutdown};
use tracing::{info, warn};

use self::backlog::Backlog;
pub use self::retention::{Amount, OfSignal, Retention};
use crate::config::{Config, ConfigError};
use crate::merge::MergeError;
use crate::metrics::Metrics;
use crate::plan::Effort;
use crate::quarantine::Quarantine;
use crate::rules::Clean;

/// How several compactors divide the tenants among them.
pub trait Share: fmt::Debug + Send + Sync {
    /// Whether this one does the routine work for a tenant. Two may think so for a while: commits tell who was first.
    fn is_mine(&self, tenant: &TenantId) -> bool;
}

/// What a compactor works with.
#[derive(Clone, Debug)]
pub struct Parts {
    pub store: Arc<dyn ObjectStore>,
    pub catalog: Catalog,
    pub overrides: Overrides,
    pub clock: SharedClock,
    pub rng: Rng,
    pub cpu: CpuPool,
    /// `None`: this is the only one.
    pub share: Option<Arc<dyn Share>>,
    /// What `deletion_delay: auto` means: zero when all readers are in this process, where the catalog
    /// knows which blocks they hold, else 12 h.
    pub auto_deletion_delay: Duration,
}

/// Compacts all tenants. Clones are the same compactor.
#[derive(Clone)]
pub struct Compactor {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    parts: Parts,
    metrics: Metrics,
    quarantine: Quarantine,
    backlog: Backlog,
    /// By tenant.
    clean: Mutex<BTreeMap<TenantId, Clean>>,
    /// One round at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub tenants: u64,
    pub merges: u64,
    /// Blocks replaced by merges.
    pub blocks_merged: u64,
    /// Blocks that replaced them.
    pub blocks_written: u64,
    /// Blocks removed because they were past the retention.
    pub blocks_expired: u64,
    /// Blocks that cannot be read, found now.
    pub blocks_quarantined: u64,
    /// Merges given up because somebody else had changed the blocks.
    pub conflicts: u64,
    /// Objects of removed blocks deleted.
    pub blocks_deleted: u64,
    /// Objects deleted that no commit named.
    pub orphans_deleted: u64,
}

/// Why a tenant was not compacted to the end. Nothing is lost; the next round goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    #[error("read the catalog")]
    Catalog(#[from] skald_catalog::Error),
    #[error("commit a compaction")]
    Commit(#[source] CommitError),
    #[error("merge blocks: {0}")]
    Merge(String, ErrorKind),
}

// === impl Compactor ===

impl Compactor {
    /// Registers the metrics in `registry`; give one with the prefix `skald_compactor`.
    pub fn new(config: Config, parts: Parts, registry: &mut Registry) -> Result<Self, ConfigError> {
        config.validate()?;
        let metrics = Metrics::register(registry);
        let quarantine = Quarantine::default();
        let (backlog, clean) = (Backlog::default(), Mutex::default());
        let turn = tokio::sync::Mutex::default();
        let inner = Inner { config, parts, metrics, quarantine, backlog, clean, turn };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a round every `interval` until `shutdown`, which may cut a round short: what was not
    /// committed is collected later.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(self.pause()) => {}
            }
            tokio::select! {
                () = shutdown.wait() => return,
                result = self.round(Effort::Routine) => match result {
                    Ok(report) => info!(?report, "compacted"),
                    // Each tenant's error has been logged.
                    Err(err) => warn!(error = %Chain(&err), "compaction round was not completed"),
                },
            }
        }
    }

    /// Merges all that can be merged, drops what is past its retention, collects garbage, for all tenants.
    ///
    /// Goes on with the other tenants when one fails, then returns the first error. Cancelling loses
    /// only work.
    pub async fn compact_all(&self) -> Result<Report, CompactError> {
        self.round(Effort::Full).await
    }

    async fn round(&self, effort: Effort) -> Result<Report, CompactError> {
        let _turn = self.inner.turn.lock().await;
        let result = match effort {
            Effort::Full => self.all_tenants(effort).await,
            Effort::Routine => tokio::select! {
                result = self.all_tenants(effort) => result,
                never = self.inner.watch_backlog() => never,
            },
        };
        self.inner.metrics.run(if result.is_ok() { "ok" } else { "server_error" });
        result
    }

    async fn all_tenants(&self, effort: Effort) -> Result<Report, CompactError> {
        let tenants = match effort {
            Effort::Routine => {
                let tenants = self.inner.my_tenants().await?;
                let now_ms = self.inner.parts.clock.now_ms();
                self.inner.backlog.keep(&tenants, now_ms, &self.inner.metrics);
                tenants
            }
            // On demand, whoever is asked does all.
            Effort::Full => self.inner.parts.catalog.tenants().await?,
        };
        let each = tenants.into_iter().map(|tenant| async move {
            let done = self.inner.tenant(&tenant, effort).await;
            (tenant, done)
        });
        let mut done =
            futures_util::stream::iter(each).buffer_unordered(self.inner.config.concurrency);
        let (mut total, mut first_error) = (Report::default(), None);
        while let Some((tenant, done)) = done.next().await {
            match done {
                Ok(report) => total.add(&report),
                Err(err) => {
                    warn!(%tenant, error = %Chain(&err), "tenant was not compacted to the end");
                    first_error.get_or_insert(err);
                }
            }
        }
        first_error.map_or(Ok(total), Err)
    }

    /// The interval, give or take a tenth.
    fn pause(&self) -> Duration {
        let interval = self.inner.config.interval.0;
        let tenth = u64::try_from((interval / 10).as_millis()).unwrap_or(u64::MAX / 4);
        let jitter = self.inner.parts.rng.below(2 * tenth + 1);
        interval.saturating_sub(Duration::from_millis(tenth)) + Duration::from_millis(jitter)
    }
}

impl Inner {
    /// Tenants that this one does the routine work for.
    async fn my_tenants(&self) -> Result<Vec<TenantId>, CompactError> {
        let mut tenants = self.parts.catalog.tenants().await?;
        if let Some(share) = &self.parts.share {
            tenants.retain(|tenant| share.is_mine(tenant));
        }
        Ok(tenants)
    }

    fn gc_options(&self) -> GcOptions {
        let delay = self.config.deletion_delay.resolve(self.parts.auto_deletion_delay);
        GcOptions {
            deletion_delay_ms: delay.as_millis(),
            commit_retention_ms: self.config.commit_retention.as_millis(),
            orphan_age_ms: self.config.orphan_age.as_millis(),
            orphan_scan_gap_ms: self.config.orphan_scan_gap.as_millis(),
            dry_run: false,
        }
    }
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compactor").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

// === impl Report ===

impl Report {
    fn add(&mut self, other: &Self) {
        self.tenants += other.tenants;
        self.merges += other.merges;
        self.blocks_merged += other.blocks_merged;
        self.blocks_written += other.blocks_written;
        self.blocks_expired += other.blocks_expired;
        self.blocks_quarantined += other.blocks_quarantined;
        self.conflicts += other.conflicts;
        self.blocks_deleted += other.blocks_deleted;
        self.orphans_deleted += other.orphans_deleted;
    }
}

// === impl CompactError ===

impl CompactError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(err) => err.kind(),
            Self::Commit(err) => err.kind(),
            Self::Merge(_, kind) => *kind,
        }
    }
}

impl From<MergeError> for CompactError {
    fn from(err: MergeError) -> Self {
        Self::Merge(Chain(&err).to_string(), err.kind())
    }
}

#[cfg(test)]
mod tests;
