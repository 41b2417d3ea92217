//! The metrics of all components of this process, each in a registry of its own under its own prefix.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

/// Grows as components start. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registries(Arc<RwLock<Vec<Registry>>>);

impl Registries {
    /// Lets `register` fill a registry whose metrics' names begin with `prefix`.
    pub(crate) fn with<T>(&self, prefix: &str, register: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry =
            if prefix.is_empty() { Registry::default() } else { Registry::with_prefix(prefix) };
        let out = register(&mut registry);
        self.add(registry);
        out
    }

    pub(crate) fn add(&self, registry: Registry) {
        self.0.write().push(registry);
    }

    /// Everything in OpenMetrics text, without the closing `# EOF`.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(64 << 10);
        for registry in self.0.read().iter() {
            encode_registry(&mut text, registry)?;
        }
        Ok(text)
    }
}
