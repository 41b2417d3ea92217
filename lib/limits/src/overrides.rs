//! Default limits plus per-tenant overrides, swapped atomically when the file changes.
//!
//! ```text
//! overrides:
//!   team-a:
//!     ingestion_rate: 50000
//!     max_line_size: 1MiB
//! ```
//!
//! What a tenant does not name stays at the default. The file is parsed wholly before anything is
//! swapped; a bad one leaves the limits in force as they are.

mod file;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use skald_model::TenantId;

use crate::Limits;

pub use watch::{ReloadMetrics, watch};

/// Answers what a tenant's limits are now. Clones share the state.
#[derive(Clone, Debug)]
pub struct Overrides(Arc<ArcSwap<State>>);

#[derive(Debug)]
struct State {
    defaults: Arc<Limits>,
    tenants: BTreeMap<String, Arc<Limits>>,
}

/// Why an overrides file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("read overrides file {path}")]
    Read { path: String, source: std::io::Error },
    #[error("overrides file {path}: {message}")]
    Parse { path: String, message: String },
}

// === impl Overrides ===

impl Overrides {
    /// The same limits for every tenant.
    pub fn fixed(defaults: Limits) -> Self {
        Self::from_state(State { defaults: Arc::new(defaults), tenants: BTreeMap::new() })
    }

    /// Reads the file at `path` over `defaults`.
    pub fn load(path: &Path, defaults: Limits) -> Result<Self, LoadError> {
        let text = file::read(path)?;
        let tenants = file::parse(path, &text, &defaults)?;
        Ok(Self::from_state(State { defaults: Arc::new(defaults), tenants }))
    }

    /// The limits of `tenant` at this moment.
    pub fn get(&self, tenant: &TenantId) -> Arc<Limits> {
        let state = self.0.load();
        Arc::clone(state.tenants.get(tenant.as_str()).unwrap_or(&state.defaults))
    }

    /// The limits of tenants that have no overrides.
    pub fn defaults(&self) -> Arc<Limits> {
        Arc::clone(&self.0.load().defaults)
    }

    /// Tenants with overrides and their limits, by id.
    pub fn tenants(&self) -> Vec<(String, Arc<Limits>)> {
        let state = self.0.load();
        state.tenants.iter().map(|(t, l)| (t.clone(), Arc::clone(l))).collect()
    }

    /// Replaces all overrides by those of `text`, or changes nothing.
    fn replace(&self, path: &Path, text: &str) -> Result<(), LoadError> {
        let defaults = self.defaults();
        let tenants = file::parse(path, text, &defaults)?;
        self.0.store(Arc::new(State { defaults, tenants }));
        Ok(())
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(state)))
    }
}

#[cfg(test)]
mod tests;
