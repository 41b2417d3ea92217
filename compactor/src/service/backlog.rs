//! How far behind compaction is: what the plans of all tenants would merge or write anew, as three gauges.
//!
//! Each plan of a routine round says what waits, the last one that nothing does. A round that takes
//! longer than the interval between two looks at all tenants once an interval, since those whose turn has not come wait as well.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use skald_model::{Chain, TenantId};
use tracing::debug;

use super::Inner;
use crate::metrics::Metrics;
use crate::plan::{Effort, Plan, in_ms};

const MS_PER_HOUR: f64 = 3_600_000.0;

/// By tenant, of those of which something waits.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<BTreeMap<TenantId, Waiting>>);

/// What of a tenant waits to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    /// The last time of the block that ends first, in milliseconds.
    oldest_ms: i64,
    blocks: i64,
    bytes: i64,
}

// === impl Backlog ===

impl Backlog {
    /// Notes what a plan of a tenant would merge.
    pub(super) fn note(&self, tenant: &TenantId, plan: &Plan, now_ms: i64, metrics: &Metrics) {
        let mut all = self.0.lock();
        match Waiting::of(plan) {
            Some(waiting) => all.insert(tenant.clone(), waiting),
            None => all.remove(tenant),
        };
        publish(&all, now_ms, metrics);
    }

    /// Forgets tenants that are not among `tenants`: others compact them.
    pub(super) fn keep(&self, tenants: &[TenantId], now_ms: i64, metrics: &Metrics) {
        let tenants: BTreeSet<_> = tenants.iter().collect();
        let mut all = self.0.lock();
        all.retain(|tenant, _| tenants.contains(tenant));
        publish(&all, now_ms, metrics);
    }
}

fn publish(all: &BTreeMap<TenantId, Waiting>, now_ms: i64, metrics: &Metrics) {
    let age = |waiting: &Waiting| now_ms.saturating_sub(waiting.oldest_ms).max(0);
    let oldest = all.values().map(age).max().unwrap_or(0);
    let sum = |of: fn(&Waiting) -> i64| all.values().map(of).fold(0, i64::saturating_add);
    metrics.backlog_hours.set(oldest as f64 / MS_PER_HOUR);
    metrics.backlog_blocks.set(sum(|waiting| waiting.blocks));
    metrics.backlog_bytes.set(sum(|waiting| waiting.bytes));
}

// === impl Waiting ===

impl Waiting {
    /// `None` when nothing waits.
    fn of(plan: &Plan) -> Option<Self> {
        let blocks = || plan.merges.iter().flat_map(|merge| &merge.inputs);
        let bytes = blocks().fold(0u64, |sum, block| sum.saturating_add(block.size_bytes));
        Some(Self {
            oldest_ms: blocks().map(|block| in_ms(block, block.max_time)).min()?,
            blocks: i64::try_from(blocks().count()).unwrap_or(i64::MAX),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        })
    }
}

// === impl Inner ===

impl Inner {
    /// Looks at all tenants once an interval, for as long as it is not cancelled.
    pub(super) async fn watch_backlog(&self) -> ! {
        loop {
            tokio::time::sleep(self.config.interval.0).await;
            let Ok(tenants) = self.my_tenants().await else { continue };
            self.backlog.keep(&tenants, self.parts.clock.now_ms(), &self.metrics);
            for tenant in &tenants {
                match self.parts.catalog.refresh(tenant).await {
                    Ok(view) => {
                        let (next, rules) = self.next_plan(tenant, Effort::Routine, &view);
                        self.backlog.note(tenant, &next, rules.now_ms, &self.metrics);
                    }
                    // Its round says so louder.
                    Err(err) => debug!(%tenant, error = %Chain(&err), "no backlog of a tenant"),
                }
            }
        }
    }
}
