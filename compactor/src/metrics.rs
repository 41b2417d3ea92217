//! What the compactor counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skald_runtime::metrics::latency_histogram;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BySignal {
    pub(crate) signal: &'static str,
}

/// Why blocks expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// They are older than the retention.
    Period,
    /// The tenant has more bytes than it may.
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    pub(crate) reason: &'static str,
}

/// All metrics of this crate, under the registry's prefix.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) runs: Family<Outcome, Counter>,
    pub(crate) merges: Family<Outcome, Counter>,
    pub(crate) merge_seconds: Histogram,
    pub(crate) blocks_merged: Family<BySignal, Counter>,
    pub(crate) blocks_written: Family<BySignal, Counter>,
    pub(crate) read_bytes: Counter,
    pub(crate) written_bytes: Counter,
    pub(crate) blocks_expired: Family<ByReason, Counter>,
    pub(crate) expired_bytes: Family<ByReason, Counter>,
    pub(crate) blocks_deleted: Counter,
    pub(crate) orphans_deleted: Counter,
    pub(crate) quarantined: Counter,
    pub(crate) backlog_hours: Gauge<f64, AtomicU64>,
    pub(crate) backlog_blocks: Gauge,
    pub(crate) backlog_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            runs: Family::default(),
            merges: Family::default(),
            merge_seconds: latency_histogram(),
            blocks_merged: Family::default(),
            blocks_written: Family::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
            blocks_expired: Family::default(),
            expired_bytes: Family::default(),
            blocks_deleted: Counter::default(),
            orphans_deleted: Counter::default(),
            quarantined: Counter::default(),
            backlog_hours: Gauge::default(),
            backlog_blocks: Gauge::default(),
            backlog_bytes: Gauge::default(),
        };
        registry.register("runs", "Rounds over all tenants", new.runs.clone());
        registry.register("merges", "Merges by outcome", new.merges.clone());
        let help = "Time of a merge with its uploads";
        registry.register_with_unit("merge", help, Unit::Seconds, new.merge_seconds.clone());
        registry.register("blocks_merged", "Blocks replaced by merges", new.blocks_merged.clone());
        registry.register("blocks_written", "Blocks made by merges", new.blocks_written.clone());
        let help = "Bytes of merged blocks";
        registry.register_with_unit("read", help, Unit::Bytes, new.read_bytes.clone());
        let help = "Bytes of blocks made by merges";
        registry.register_with_unit("written", help, Unit::Bytes, new.written_bytes.clone());
        let help = "Blocks removed because they were past the retention, by period or bytes";
        registry.register("blocks_expired", help, new.blocks_expired.clone());
        let help =
            "Bytes of blocks removed because they were past the retention, by period or bytes";
        registry.register_with_unit("expired", help, Unit::Bytes, new.expired_bytes.clone());
        // From the beginning, so that a rate has something to begin with.
        [Expiry::Period, Expiry::Bytes].iter().for_each(|why| new.expired(*why, 0, 0));
        let help = "Objects of removed blocks deleted";
        registry.register("blocks_deleted", help, new.blocks_deleted.clone());
        let help = "Objects deleted that no commit named";
        registry.register("orphans_deleted", help, new.orphans_deleted.clone());
        let help = "Blocks that could not be read and are left alone";
        registry.register("quarantined_blocks", help, new.quarantined.clone());
        let help = "Hours since the end of the oldest block that waits to be merged or written anew, 0 when none does";
        registry.register("backlog_hours", help, new.backlog_hours.clone());
        let help = "Blocks that wait to be merged or written anew";
        registry.register("backlog_blocks", help, new.backlog_blocks.clone());
        let help = "Bytes of blocks that wait to be merged or written anew";
        registry.register_with_unit("backlog", help, Unit::Bytes, new.backlog_bytes.clone());
        new
    }

    pub(crate) fn expired(&self, why: Expiry, blocks: u64, bytes: u64) {
        let reason = match why {
            Expiry::Period => "period",
            Expiry::Bytes => "bytes",
        };
        self.blocks_expired.get_or_create(&ByReason { reason }).inc_by(blocks);
        self.expired_bytes.get_or_create(&ByReason { reason }).inc_by(bytes);
    }

    pub(crate) fn run(&self, outcome: &'static str) {
        self.runs.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn merge(&self, outcome: &'static str) {
        self.merges.get_or_create(&Outcome { outcome }).inc();
    }
}
