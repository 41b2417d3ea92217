//! The HTTP edge: reads a push, decodes it, takes it through the tenant's limits, ships it, answers.

mod again;
mod body;
mod elect;
mod headers;
mod push;
mod rate;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use prometheus_client::registry::Registry;
use skald_limits::{Overrides, RateLimiter};
use skald_model::TenantId;
use skald_ring::{Coordinator, Refresher};
use skald_runtime::{CpuPool, MemoryBudget, Rng, SharedClock, Shutdown};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::buffer::Buffers;
use crate::cache::SeriesCache;
use crate::config::Config;
use crate::deliver::Job;
use crate::document::Shape;
use crate::elastic::answer::Bulk;
use crate::ha::{Elections, Tracker};
use crate::metrics::{Dropped, Metrics, Protocol, ProtocolLabel};
use crate::refusal::Refusal;
use crate::rejects::ids;
use crate::remote_write::Context;
use crate::ship::{IngesterDirectory, Shipper};
use headers::Written;

/// Takes pushes. Clones share everything.
#[derive(Clone, Debug)]
pub struct Distributor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    coordinator: Arc<dyn Coordinator>,
    limits: Overrides,
    clock: SharedClock,
    rng: Rng,
    budget: MemoryBudget,
    cache: Arc<SeriesCache>,
    buffers: Arc<Buffers>,
    sample_rates: RateLimiter,
    line_rates: RateLimiter,
    pool: CpuPool,
    shipper: Shipper,
    metrics: Metrics,
    ha: Arc<Tracker>,
}

/// The end of a push: what was stored, and what to say when that was not all.
#[derive(Debug, Default)]
struct Answer {
    written: Written,
    refusal: Option<Refusal>,
    /// All of it was of replicas that are not elected.
    is_duplicate: bool,
    /// What became of each document of a bulk request that was read.
    bulk: Option<Bulk>,
}

/// What a request says beside its body.
#[derive(Clone, Debug, Default)]
struct Hints {
    /// Of documents that name none.
    index: String,
    shape: Shape,
}

// === impl Distributor ===

impl Distributor {
    /// `config` was validated; metrics are registered under `registry`, the root one.
    pub fn new(
        config: Config,
        coordinator: Arc<dyn Coordinator>,
        directory: Arc<dyn IngesterDirectory>,
        limits: Overrides,
        clock: SharedClock,
        registry: &mut Registry,
    ) -> Self {
        let elections = Elections::local();
        Self::electing(config, coordinator, directory, limits, clock, registry, elections)
    }

    /// As [`Self::new`], with elections of high-availability pairs that other distributors know of too.
    pub fn electing(
        config: Config,
        coordinator: Arc<dyn Coordinator>,
        directory: Arc<dyn IngesterDirectory>,
        limits: Overrides,
        clock: SharedClock,
        registry: &mut Registry,
        elections: Elections,
    ) -> Self {
        let metrics = Metrics::register(registry);
        let rng = Rng::from_entropy();
        let cache = Arc::new(SeriesCache::new(config.series_cache_size.0, rng.next_u64()));
        let shipper = Shipper {
            directory,
            cache: Arc::clone(&cache),
            background: Arc::new(Semaphore::new(config.max_background_pushes)),
            timeout: config.push_timeout.0,
            refresher: Refresher::new(Arc::clone(&coordinator)),
            metrics: metrics.clone(),
        };
        let (all, time) = (limits.clone(), Arc::clone(&clock));
        let ha = Arc::new(Tracker::new(elections, all, time, metrics.clone()));
        Self(Arc::new(Inner {
            ha,
            budget: MemoryBudget::new(config.max_inflight_push_bytes.0),
            pool: CpuPool::per_core(),
            sample_rates: RateLimiter::new(),
            line_rates: RateLimiter::new(),
            config,
            coordinator,
            limits,
            clock,
            rng,
            cache,
            buffers: Arc::default(),
            shipper,
            metrics,
        }))
    }

    /// Keeps what is known of high-availability pairs up to date until `stop`.
    pub async fn run(self, stop: Shutdown) {
        self.0.ha.run(&stop).await;
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn now_ns(&self) -> i64 {
        self.0.clock.now_ns()
    }

    pub(crate) fn count_dropped(&self, protocol: Protocol, reason: Dropped, n: u64) {
        self.0.metrics.drop_messages(protocol, reason, n);
    }

    /// One attempt to store a job that came at `received_ns`. `Err` has the number of lines that are
    /// not stored yet; what was refused for good is counted.
    pub(crate) async fn attempt(
        &self,
        tenant: &TenantId,
        job: &Arc<Job>,
        received_ns: i64,
    ) -> Result<(), u64> {
        self.0.attempt(tenant, job, received_ns).await
    }

    /// The push routes. Requests carry their [`TenantId`] as an extension; without one the answer is 401.
    pub fn router(&self) -> Router {
        routes::all().with_state(self.clone())
    }
}

// === impl Inner ===

impl Inner {
    async fn answer(&self, protocol: Protocol, hints: Hints, request: Request) -> Answer {
        let attempt = headers::retry_attempt(request.headers());
        let Some(tenant) = request.extensions().get::<TenantId>().cloned() else {
            let status = http::StatusCode::UNAUTHORIZED;
            let refusal = Refusal::new(status, ids::NO_TENANT, "no org id".to_owned());
            return Answer { refusal: Some(refusal), ..Answer::default() };
        };
        let started = Instant::now();
        self.metrics.inflight.inc();
        let _inflight = Defer(|| {
            self.metrics.inflight.dec();
        });
        let mut answer = match self.push(protocol, hints, &tenant, request).await {
            Ok(answer) => answer,
            Err(refusal) => Answer { refusal: Some(refusal), ..Answer::default() },
        };
        let labels = ProtocolLabel { protocol };
        let elapsed = started.elapsed();
        self.metrics.latency.get_or_create(&labels).observe(elapsed.as_secs_f64());
        if let Some(bulk) = answer.bulk.as_mut() {
            bulk.took_ms = elapsed.as_millis();
        }
        self.metrics.inflight_bytes.set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        if let Some(refusal) = answer.refusal.as_mut().filter(|r| r.is_retryable()) {
            // Spread out, and longer each time the client comes back.
            let base = 1u64 << attempt.min(5);
            refusal.retry_after_secs = Some(base + self.rng.below(base + 1));
        }
        answer
    }

    fn respond(&self, protocol: Protocol, answer: Answer) -> Response {
        let reason = answer.refusal.as_ref().map(|r| r.id);
        let response = match answer.refusal {
            None if answer.is_duplicate => http::StatusCode::ACCEPTED.into_response(),
            None => http::StatusCode::NO_CONTENT.into_response(),
            Some(refusal) => refusal.into_response(),
        };
        self.note(protocol, reason, &response);
        response
    }

    /// Counts an answer, and logs it if it is a refusal.
    fn note(&self, protocol: Protocol, reason: Option<&'static str>, response: &Response) {
        let status = response.status().as_u16();
        if let Some(reason) = reason {
            tracing::debug!(status, reason, "push refused");
        }
        self.metrics.answered(protocol, status);
    }

    fn context(&self, tenant: &TenantId) -> Context {
        let limits = self.limits.get(tenant);
        Context {
            tenant: tenant.clone(),
            ha: limits.accept_ha_samples.then(|| Arc::clone(&self.ha)),
            limits,
            view: self.coordinator.view(),
            cache: Arc::clone(&self.cache),
            buffers: Arc::clone(&self.buffers),
            now_ns: self.clock.now_ns(),
        }
    }
}

/// Runs a closure when dropped, so that a cancelled request is counted out too.
struct Defer<F: FnMut()>(F);

impl<F: FnMut()> Drop for Defer<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
