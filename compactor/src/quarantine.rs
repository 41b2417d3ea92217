//! Blocks that could not be read: left alone from then on, logged once.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use skald_model::TenantId;
use tracing::error;

use crate::metrics::Metrics;

/// Remembered until the process ends, so that a repaired block gets its chance after a restart.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<BTreeMap<TenantId, BTreeSet<String>>>);

impl Quarantine {
    pub(crate) fn add(&self, tenant: &TenantId, block: &str, why: &str, metrics: &Metrics) {
        let is_new = self.0.lock().entry(tenant.clone()).or_default().insert(block.to_owned());
        if is_new {
            metrics.quarantined.inc();
            error!(%tenant, block, error = why, "block cannot be read and is left out of compaction");
        }
    }

    pub(crate) fn of(&self, tenant: &TenantId) -> BTreeSet<String> {
        self.0.lock().get(tenant).cloned().unwrap_or_default()
    }
}
