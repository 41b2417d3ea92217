//! What the log counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skald_runtime::metrics::{bytes_histogram, latency_histogram};

/// The metrics of one log. Clones share the values.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub fsync_duration: Histogram,
    pub batch_bytes: Histogram,
    pub bytes: Counter,
    pub records: Counter,
    pub refused: Counter,
    pub segments: Gauge,
    pub size_bytes: Gauge,
    pub replayed_records: Counter,
    pub corrupt_records: Counter,
    pub torn_tails: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            fsync_duration: latency_histogram(),
            batch_bytes: bytes_histogram(),
            bytes: Counter::default(),
            records: Counter::default(),
            refused: Counter::default(),
            segments: Gauge::default(),
            size_bytes: Gauge::default(),
            replayed_records: Counter::default(),
            corrupt_records: Counter::default(),
            torn_tails: Counter::default(),
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Registers under `registry`, which carries the component's prefix (`skald_wal`) already.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let m = this.clone();
        let help = "Time one fdatasync took";
        registry.register_with_unit("fsync_duration", help, Unit::Seconds, m.fsync_duration);
        registry.register("batch_bytes", "Bytes written by one group commit", m.batch_bytes);
        registry.register("written_bytes", "Bytes of records written", m.bytes);
        registry.register("records", "Records written", m.records);
        registry.register("refused", "Appends refused for want of space", m.refused);
        registry.register("segments", "Segment files", m.segments);
        registry.register("size_bytes", "Bytes in all segment files", m.size_bytes);
        registry.register("replayed_records", "Records read back at start", m.replayed_records);
        registry.register("corrupt", "Damaged ranges found at start", m.corrupt_records);
        registry.register("torn_tails", "Unfinished writes cut off at start", m.torn_tails);
        this
    }
}
