//! The ingester's own metrics, `skald_ingester_*`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skald_rpc::ingester::PushOutcome;
use skald_runtime::metrics::latency_histogram;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

/// Registered once per ingester.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
    entries: Counter,
    unknown_series: Counter,
    relogged_series: Counter,
    rejected: Family<Reason, Counter>,
    pub(crate) tail_dropped: Counter,
    pub(crate) series: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) tenants: Gauge,
    pub(crate) head_bytes: Gauge,
    flushes: Family<Outcome, Counter>,
    flush_seconds: Histogram,
    flushed_blocks: Counter,
    flushed_bytes: Counter,
    pub(crate) replay_records: Counter,
    pub(crate) replay_skipped_records: Counter,
    pub(crate) replay_invalid_records: Counter,
    pub(crate) replay_milliseconds: Gauge,
    /// Bytes of the log at the start, and those of payloads that were read; the same in the end.
    pub(crate) replay_bytes: Gauge,
    pub(crate) replayed_bytes: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// Registers everything with the prefix `ingester`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("ingester");
        let m = Self {
            samples: Counter::default(),
            histograms: Counter::default(),
            exemplars: Counter::default(),
            entries: Counter::default(),
            unknown_series: Counter::default(),
            relogged_series: Counter::default(),
            rejected: Family::default(),
            tail_dropped: Counter::default(),
            series: Gauge::default(),
            streams: Gauge::default(),
            tenants: Gauge::default(),
            head_bytes: Gauge::default(),
            flushes: Family::default(),
            flush_seconds: latency_histogram(),
            flushed_blocks: Counter::default(),
            flushed_bytes: Counter::default(),
            replay_records: Counter::default(),
            replay_skipped_records: Counter::default(),
            replay_invalid_records: Counter::default(),
            replay_milliseconds: Gauge::default(),
            replay_bytes: Gauge::default(),
            replayed_bytes: Gauge::default(),
        };
        r.register("samples_received", "Float samples stored", m.samples.clone());
        r.register("histograms_received", "Native histograms stored", m.histograms.clone());
        r.register("exemplars_received", "Exemplars stored", m.exemplars.clone());
        r.register("entries_received", "Log entries stored", m.entries.clone());
        r.register("unknown_series", "Items sent without labels", m.unknown_series.clone());
        r.register("relogged_series", "Labels written again", m.relogged_series.clone());
        r.register("rejected", "Samples and entries refused", m.rejected.clone());
        r.register("tail_dropped", "Entries slow tails missed", m.tail_dropped.clone());
        m.register_state(r);
        m
    }

    fn register_state(&self, r: &mut Registry) {
        let m = self;
        r.register("series", "Series in memory", m.series.clone());
        r.register("streams", "Streams in memory", m.streams.clone());
        r.register("tenants", "Tenants in memory", m.tenants.clone());
        r.register_with_unit("head", "Heads in memory", Unit::Bytes, m.head_bytes.clone());
        r.register("flushes", "Flushes of a tenant", m.flushes.clone());
        let seconds = Unit::Seconds;
        r.register_with_unit("flush", "Time a flush took", seconds, m.flush_seconds.clone());
        r.register("flushed_blocks", "Blocks stored", m.flushed_blocks.clone());
        let bytes = Unit::Bytes;
        r.register_with_unit("flushed", "Bytes of blocks stored", bytes, m.flushed_bytes.clone());
        r.register("replay_records", "WAL records applied at start", m.replay_records.clone());
        r.register(
            "replay_skipped_records",
            "WAL records that were flushed before",
            m.replay_skipped_records.clone(),
        );
        r.register(
            "replay_invalid_records",
            "WAL records that were not understood",
            m.replay_invalid_records.clone(),
        );
        r.register("replay_milliseconds", "Time replay took", m.replay_milliseconds.clone());
        let all = m.replay_bytes.clone();
        r.register_with_unit("replay", "WAL found at start", Unit::Bytes, all);
        let done = m.replayed_bytes.clone();
        r.register_with_unit("replayed", "WAL records read at start", Unit::Bytes, done);
    }

    /// Counts a push.
    pub(crate) fn pushed(&self, outcome: &PushOutcome, n_relogged: usize) {
        self.samples.inc_by(outcome.samples);
        self.histograms.inc_by(outcome.histograms);
        self.exemplars.inc_by(outcome.exemplars);
        self.entries.inc_by(outcome.entries);
        self.unknown_series.inc_by(outcome.unknown_series.len() as u64);
        self.relogged_series.inc_by(n_relogged as u64);
        for r in &outcome.rejections {
            self.rejected(&r.id, r.count);
        }
    }

    /// Counts refusals by the id of their error.
    pub(crate) fn rejected(&self, id: &str, count: u64) {
        let reason = id.trim_start_matches("err-skald-").replace('-', "_");
        self.rejected.get_or_create(&Reason { reason }).inc_by(count);
    }

    /// Counts a finished attempt to flush.
    pub(crate) fn flushed(&self, ok: bool, seconds: f64) {
        let outcome = if ok { "ok" } else { "server_error" };
        self.flushes.get_or_create(&Outcome { outcome }).inc();
        self.flush_seconds.observe(seconds);
    }

    /// Counts a stored block.
    pub(crate) fn stored(&self, size_bytes: u64) {
        self.flushed_blocks.inc();
        self.flushed_bytes.inc_by(size_bytes);
    }
}
