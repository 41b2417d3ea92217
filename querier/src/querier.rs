//! The component: what it is made of, and what its routes use.

use std::sync::Arc;

use object_store::ObjectStore;
use prometheus_client::registry::Registry;
use skald_catalog::Catalog;
use skald_limits::{Limits, Overrides};
use skald_model::TenantId;
use skald_ring::Coordinator;
use skald_runtime::{CpuPool, SharedClock};

use crate::blocks::Blocks;
use crate::config::Config;
use crate::fanout::Fanout;
use crate::frontend::cache::ResultsCache;
use crate::frontend::queue::{Gauges, Queue};
use crate::heads::{IngesterDirectory, Ingesters};
use crate::metrics::Metrics;

/// Answers queries of both APIs. Clones share everything.
#[derive(Clone, Debug)]
pub struct Querier(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    config: Config,
    fanout: Fanout,
    queue: Queue,
    results: ResultsCache,
    tails: Queue,
    exports: Queue,
    overrides: Overrides,
    clock: SharedClock,
    cpu: CpuPool,
    metrics: Metrics,
}

/// What a querier stands on.
#[derive(Clone, Debug)]
pub struct Dependencies {
    pub coordinator: Arc<dyn Coordinator>,
    pub directory: Arc<dyn IngesterDirectory>,
    pub catalog: Catalog,
    pub store: Arc<dyn ObjectStore>,
    pub limits: Overrides,
    pub clock: SharedClock,
}

// === impl Querier ===

impl Querier {
    /// Puts the parts together; metrics go under `registry`, which carries the prefix already.
    pub fn new(config: Config, parts: Dependencies, registry: &mut Registry) -> Self {
        let metrics = Metrics::register(registry);
        let Dependencies { coordinator, directory, catalog, store, limits, clock } = parts;
        let ingesters = Ingesters::new(coordinator, directory, metrics.clone());
        let blocks = Blocks::new(catalog, store, &config, metrics.clone());
        let queue = Queue::new(config.max_concurrent, metrics.queue.clone());
        let bytes = usize::try_from(config.results_cache_size.0).unwrap_or(usize::MAX);
        let results = ResultsCache::new(bytes, metrics.results_bytes.clone());
        Self(Arc::new(Parts {
            config,
            fanout: Fanout { ingesters, blocks },
            queue,
            results,
            tails: Queue::new(0, Gauges::default()),
            exports: Queue::new(0, Gauges::default()),
            overrides: limits,
            clock,
            cpu: CpuPool::per_core(),
            metrics,
        }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn fanout(&self) -> &Fanout {
        &self.0.fanout
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(crate) fn results(&self) -> &ResultsCache {
        &self.0.results
    }

    /// As [`Self::queue`], for live tails.
    pub(crate) fn tails(&self) -> &Queue {
        &self.0.tails
    }

    /// As [`Self::queue`], for exports.
    pub(crate) fn exports(&self) -> &Queue {
        &self.0.exports
    }

    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.0.overrides.get(tenant)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.0.clock.now_ms()
    }

    pub(crate) fn now_ns(&self) -> i64 {
        self.0.clock.now_ns()
    }

    pub(crate) fn cpu(&self) -> &CpuPool {
        &self.0.cpu
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn max_request_size(&self) -> usize {
        usize::try_from(self.0.config.max_request_size.0).unwrap_or(usize::MAX)
    }

    pub(crate) fn compress_above(&self) -> usize {
        usize::try_from(self.0.config.compress_above.0).unwrap_or(usize::MAX)
    }
}
