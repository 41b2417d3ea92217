//! The metrics of the cache on disk.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Counters of one cache. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) evictions: Counter,
    pub(super) damaged: Counter,
    pub(super) write_failures: Counter,
    pub(super) paused: Gauge,
    pub(super) bytes: Gauge,
    pub(super) files: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// Give a registry with the prefix `skald_disk_cache`.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let mut counter = |name: &str, help: &str, c: &Counter| {
            registry.register(name, help, c.clone());
        };
        counter("hits", "Ranges of blocks that were not asked of the object store", &new.hits);
        counter("misses", "Ranges of blocks that were asked of the object store", &new.misses);
        counter("evictions", "Entries removed to make room", &new.evictions);
        let help = "Entries that were not what they should be, and were removed";
        counter("damaged_entries", help, &new.damaged);
        let help = "Entries that could not be written";
        counter("write_failures", help, &new.write_failures);
        let help = "1 while nothing is written because a write failed";
        registry.register("paused", help, new.paused.clone());
        let help = "Disk that entries take";
        registry.register_with_unit("size", help, Unit::Bytes, new.bytes.clone());
        registry.register("files", "Entries", new.files.clone());
        new
    }
}
