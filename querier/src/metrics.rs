//! The querier's metrics: every one it has, and nothing else.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skald_blocks::StatsSnapshot;
use skald_model::TenantId;
use skald_runtime::metrics::{bytes_histogram, counts_histogram, latency_histogram};

use crate::frontend::queue::Gauges;

/// Labels of a request: closed vocabularies both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) op: &'static str,
    pub(crate) outcome: &'static str,
}

/// Why too few replicas of a partition answered.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue,
)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum NoQuorum {
    timeout,
    unavailable,
    /// A replica said that the view of the cluster is old.
    stale,
    /// Too many replicas have lost their data.
    rebuilding,
    internal,
    /// Replicas refused the request.
    limit,
    invalid,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoQuorumLabels {
    reason: NoQuorum,
}

/// Cloned into all parts of the querier.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub(crate) blocks: Counter,
    pub(crate) block_gets: Counter,
    pub(crate) block_bytes: Counter,
    store_requests: Family<TenantLabel, Counter>,
    store_bytes: Family<TenantLabel, Counter>,
    pub(crate) query_requests: Histogram,
    pub(crate) footer_hits: Counter,
    pub(crate) index_hits: Counter,
    pub(crate) index_misses: Counter,
    pub(crate) page_hits: Counter,
    pub(crate) page_misses: Counter,
    pub(crate) view_retries: Counter,
    pub(crate) replica_failures: Counter,
    quorum_failures: Family<NoQuorumLabels, Counter>,
    pub(crate) refused: Counter,
    pub(crate) queue: Gauges,
    pub(crate) queued: Histogram,
    pub(crate) series: Counter,
    pub(crate) samples: Counter,
    pub(crate) pieces: Counter,
    pub(crate) results_hits: Counter,
    pub(crate) results_misses: Counter,
    pub(crate) results_bytes: Gauge,
    pub(crate) memory: Histogram,
    pub(crate) tails: Gauge,
    pub(crate) tail_dropped: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Registers under `registry`, which carries the component's prefix already.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self {
            requests: Family::new_with_constructor(latency_histogram as fn() -> Histogram),
            blocks: Counter::default(),
            block_gets: Counter::default(),
            block_bytes: Counter::default(),
            store_requests: Family::default(),
            store_bytes: Family::default(),
            query_requests: counts_histogram(),
            footer_hits: Counter::default(),
            index_hits: Counter::default(),
            index_misses: Counter::default(),
            page_hits: Counter::default(),
            page_misses: Counter::default(),
            view_retries: Counter::default(),
            replica_failures: Counter::default(),
            quorum_failures: Family::default(),
            refused: Counter::default(),
            queue: Gauges::default(),
            queued: latency_histogram(),
            series: Counter::default(),
            samples: Counter::default(),
            pieces: Counter::default(),
            results_hits: Counter::default(),
            results_misses: Counter::default(),
            results_bytes: Gauge::default(),
            memory: bytes_histogram(),
            tails: Gauge::default(),
            tail_dropped: Counter::default(),
        };
        let help = "Time from the arrival of a request to its answer, waiting included";
        registry.register_with_unit("request_duration", help, Unit::Seconds, this.requests.clone());
        let mut counter = |name: &str, help: &str, c: &Counter| {
            registry.register(name, help, c.clone());
        };
        counter("blocks_read", "Blocks opened for queries", &this.blocks);
        counter("footer_cache_hits", "Block footers found in the cache", &this.footer_hits);
        let help = "Reads of a metric block whose label columns were all in the cache";
        counter("index_cache_hits", help, &this.index_hits);
        let help = "Reads of a metric block that had to load label columns";
        counter("index_cache_misses", help, &this.index_misses);
        counter("page_cache_hits", "Pages of samples found in the cache", &this.page_hits);
        counter("page_cache_misses", "Pages of samples that had to be read", &this.page_misses);
        let help = "Queries begun anew because a block had been compacted away";
        counter("view_retries", help, &this.view_retries);
        let help = "Calls of ingesters that failed; a query fails only without a quorum";
        counter("replica_failures", help, &this.replica_failures);
        counter("refused", "Queries refused because the tenant's queue was full", &this.refused);
        counter("tail_dropped_entries", "Entries that slow tails lost", &this.tail_dropped);
        counter("fetched_series", "Series fetched for metrics queries", &this.series);
        let help = "Samples that the steps of metrics queries looked at";
        counter("read_samples", help, &this.samples);
        counter("query_pieces", "Pieces into which range queries were split", &this.pieces);
        let help = "Pieces of range queries of which the cache of results had at least a part";
        counter("results_cache_hits", help, &this.results_hits);
        let help = "Pieces of range queries of which the cache of results had nothing";
        counter("results_cache_misses", help, &this.results_misses);
        let help = "Memory that the cache of results takes";
        registry.register_with_unit("results_cache", help, Unit::Bytes, this.results_bytes.clone());
        let help = "Queries that wait for their turn";
        registry.register("queue_length", help, this.queue.waiting.clone());
        registry.register("running", "Queries that run", this.queue.running.clone());
        let help = "Time that queries waited for their turn";
        registry.register_with_unit("queue_duration", help, Unit::Seconds, this.queued.clone());
        let help = "Memory that the data of a request took";
        registry.register_with_unit("request_memory", help, Unit::Bytes, this.memory.clone());
        registry.register("tails", "Live tails now", this.tails.clone());
        this.register_quorum_failures(registry);
        this.register_store_requests(registry);
        this
    }

    fn register_quorum_failures(&self, registry: &mut Registry) {
        use NoQuorum::{internal, invalid, limit, rebuilding, stale, timeout, unavailable};
        let help = "Partitions of which too few replicas answered a request, by reason";
        registry.register("quorum_failures", help, self.quorum_failures.clone());
        // Shown from the start, so that the first one is a rise.
        for reason in [timeout, unavailable, stale, rebuilding, internal, limit, invalid] {
            drop(self.quorum_failures.get_or_create(&NoQuorumLabels { reason }));
        }
    }

    fn register_store_requests(&self, registry: &mut Registry) {
        let help = "Requests to the object store for blocks";
        registry.register("block_gets", help, self.block_gets.clone());
        let help = "Bytes of blocks that the object store sent";
        registry.register("block_read_bytes", help, self.block_bytes.clone());
        let help = "Requests to the object store for blocks, by tenant";
        registry.register("store_requests", help, self.store_requests.clone());
        let help = "Bytes of blocks that the object store sent, by tenant";
        registry.register("store_bytes", help, self.store_bytes.clone());
        let help = "Requests to the object store for the blocks of one query; none of caches";
        registry.register("query_store_requests", help, self.query_requests.clone());
    }

    pub(crate) fn no_quorum(&self, reason: NoQuorum) {
        self.quorum_failures.get_or_create(&NoQuorumLabels { reason }).inc();
    }

    pub(crate) fn add_work(&self, series: u64, samples: u64, pieces: u64) {
        self.series.inc_by(series);
        self.samples.inc_by(samples);
        self.pieces.inc_by(pieces);
    }

    pub(crate) fn add_cached(&self, hits: u64, misses: u64) {
        self.results_hits.inc_by(hits);
        self.results_misses.inc_by(misses);
    }

    pub(crate) fn add_reads(&self, tenant: &TenantId, blocks: u64, reads: StatsSnapshot) {
        // Only tenants with blocks are named: there are as many as have data.
        if reads.gets > 0 {
            let of = TenantLabel { tenant: tenant.as_str().to_owned() };
            self.store_requests.get_or_create(&of).inc_by(reads.gets);
            self.store_bytes.get_or_create(&of).inc_by(reads.bytes);
        }
        self.blocks.inc_by(blocks);
        self.block_gets.inc_by(reads.gets);
        self.block_bytes.inc_by(reads.bytes);
        self.footer_hits.inc_by(reads.footer_hits);
        self.index_hits.inc_by(reads.index_hits);
        self.index_misses.inc_by(reads.index_misses);
        self.page_hits.inc_by(reads.page_hits);
        self.page_misses.inc_by(reads.page_misses);
    }
}
