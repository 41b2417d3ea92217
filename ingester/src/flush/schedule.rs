//! When tenants are flushed: by age, by size, when memory or the WAL gets full, on request, at shutdown.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use skald_model::Chain;
use skald_runtime::Shutdown;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::Phase;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::tenant::{Part, Tenant};

/// Attempts of a flush somebody waits for.
const ATTEMPTS: u32 = 4;
/// Rest between two rounds, however short memory is.
const REST: Duration = Duration::from_millis(100);
/// A tenant is not flushed more often than this to make room: small blocks would be all that it makes.
const RELIEF_INTERVAL: Duration = Duration::from_secs(30);

impl Ingester {
    /// Flushes when it is time, until `shutdown`; then flushes everything if so configured, and closes the WAL.
    ///
    /// Pushes are refused from the shutdown on; reads go on.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let interval = self.0.config.flush_check_interval.0;
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                () = self.0.flush_soon.notified() => {}
                () = sleep(interval) => {}
            }
            tokio::select! {
                () = shutdown.wait() => break,
                () = async { self.flush_due().await; sleep(REST).await } => {}
            }
        }
        self.0.stopping.store(true, Ordering::Release);
        if self.0.config.flush_on_shutdown {
            let limit = self.0.config.shutdown_flush_timeout.0;
            match timeout(limit, self.flush_all()).await {
                Ok(Ok(())) => info!("flushed for shutdown"),
                Ok(Err(e)) => {
                    warn!(error = %Chain(&e), "flush for shutdown failed, replay will do");
                }
                Err(_) => warn!(?limit, "flush for shutdown took too long, replay will do"),
            }
        }
        self.0.wal.close().await?;
        Ok(())
    }

    /// Flushes everything pushed before the call; fails when a tenant fails several times in a row.
    pub(crate) async fn flush_all(&self) -> Result<(), Error> {
        let results: Vec<Result<(), Error>> = stream::iter(self.all_tenants())
            .map(|tenant| async move { self.flush_fully(&tenant).await })
            .buffer_unordered(self.0.config.flush_concurrency)
            .collect()
            .await;
        let truncated = self.truncate().await;
        results.into_iter().collect::<Result<(), Error>>()?;
        truncated
    }

    /// A flush under way when this is called may lack the newest records, so another one follows it.
    async fn flush_fully(&self, tenant: &Arc<Tenant>) -> Result<(), Error> {
        let begun = tenant.flush.lock().await.is_some();
        for _ in 0..if begun { 2 } else { 1 } {
            let mut attempt = 0;
            while let Err(e) = self.flush_tenant(tenant, Phase::Serving).await {
                attempt += 1;
                if attempt == ATTEMPTS {
                    return Err(e);
                }
                sleep(self.backoff(attempt - 1)).await;
            }
        }
        Ok(())
    }

    /// Makes one attempt for every tenant whose time has come.
    async fn flush_due(&self) {
        self.observe();
        let due = self.due();
        if due.is_empty() {
            return;
        }
        stream::iter(due)
            .for_each_concurrent(self.0.config.flush_concurrency, |tenant| async move {
                // Logged and counted where it failed; the next round tries again.
                let _ = self.flush_tenant(&tenant, Phase::Serving).await;
            })
            .await;
        if let Err(e) = self.truncate().await {
            error!(error = %Chain(&e), "write-ahead log could not be truncated");
        }
    }

    fn due(&self) -> Vec<Arc<Tenant>> {
        let config = &self.0.config;
        let now = Instant::now();
        let now_ms = self.0.deps.clock.now_ms();
        let wal_full =
            config.max_wal_bytes.0 > 0 && self.0.wal.size_bytes() >= config.max_wal_bytes.0;
        // What must be freed to come down to half of the limit.
        let (used, limit) = (self.0.memory.used(), self.0.memory_limit);
        let mut excess = if used / 3 >= limit / 4 { used.saturating_sub(limit / 2) } else { 0 };
        let mut tenants: Vec<(u64, Arc<Tenant>)> =
            self.all_tenants().into_iter().map(|t| (held(&t), t)).collect();
        tenants.sort_by_key(|(bytes, _)| Reverse(*bytes));
        let mut due = Vec::new();
        for (bytes, tenant) in tenants {
            let since_cut = {
                let retry = tenant.retry.lock();
                if !retry.is_due(now) {
                    continue;
                }
                now.saturating_duration_since(retry.last_cut)
            };
            let unflushed = tenant.unflushed();
            let old = unflushed
                .first_ms
                .is_some_and(|first| now_ms - first >= config.flush_interval.as_millis());
            let large = unflushed.stored_bytes >= config.max_head_bytes.0;
            let begun = tenant.is_flushing();
            let rested = since_cut >= RELIEF_INTERVAL || bytes >= limit / 16;
            let relieves = excess > 0 && bytes > 0 && rested;
            if relieves {
                excess = excess.saturating_sub(bytes);
            }
            let for_wal = wal_full && unflushed.first_ms.is_some() && rested;
            // Without news a cut only forgets series.
            let idle = unflushed.first_ms.is_none()
                && unflushed.n_series > 0
                && since_cut >= config.flush_interval.0;
            if old || large || begun || relieves || for_wal || idle {
                due.push(tenant);
            }
        }
        due
    }

    /// Flushes the largest tenants during replay until memory is down to half of the limit.
    pub(crate) async fn make_room(&self) {
        let half = self.0.memory_limit / 2;
        // A tenant that was flushed and is still large has a large index: trying again is of no use.
        let mut tried: BTreeMap<String, ()> = BTreeMap::new();
        while self.0.memory.used() > half {
            let candidates = self.all_tenants().into_iter();
            let largest = candidates
                .filter(|t| held(t) > 0 && !tried.contains_key(t.id.as_str()))
                .max_by_key(|t| held(t));
            let Some(tenant) = largest else { break };
            let mut attempt = 0;
            while self.flush_tenant(&tenant, Phase::Replay).await.is_err() {
                sleep(self.backoff(attempt)).await;
                attempt += 1;
            }
            tried.insert(tenant.id.as_str().to_owned(), ());
        }
    }

    fn observe(&self) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let tenants = self.all_tenants();
        let metrics = &self.0.metrics;
        metrics.tenants.set(gauge(tenants.len() as u64));
        metrics.head_bytes.set(gauge(self.0.memory.used()));
        let series: usize = tenants.iter().map(|t| t.metrics.read().index.len()).sum();
        let streams: usize = tenants.iter().map(|t| t.logs.read().index.len()).sum();
        metrics.series.set(gauge(series as u64));
        metrics.streams.set(gauge(streams as u64));
    }
}

/// Bytes that flushing a tenant frees.
fn held(tenant: &Tenant) -> u64 {
    tenant.unflushed().bytes as u64 + tenant.bytes(Part::Flushing)
}
