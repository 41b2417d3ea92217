//! Every limit a tenant has, with its default.

use serde::{Deserialize, Serialize};
use skald_runtime::{ByteSize, HumanDuration};

use crate::otlp::OtlpConfig;

/// The limits of one tenant. `0` means unlimited unless a field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    // --- metrics, writes ---
    /// Partitions that a tenant's series and streams go to, so that a tenant that floods its own leaves the others'. 0 = all of
    /// them. Default 0.
    pub ingestion_tenant_shard_size: usize,
    /// Samples per second a tenant may push, to each distributor. 0 = unlimited. Default 0.
    pub ingestion_rate: f64,
    /// Samples a tenant may push at once above the rate. Default 0 = ten times `ingestion_rate`.
    pub ingestion_burst_size: u64,
    /// Series a tenant may have in memory. Default 0.
    pub max_global_series_per_user: u64,
    /// Series of one metric name in memory. Default 0.
    pub max_global_series_per_metric: u64,
    /// Metric names with metadata. Default 8000.
    pub max_global_metadata_per_user: u64,
    /// Bytes of a metadata name or unit; a longer help text is cut. Default 1024.
    pub max_metadata_length: usize,
    /// Labels of a series, the name included. Default 40.
    pub max_label_names_per_series: usize,
    /// Bytes of a label name. Default 1024.
    pub max_label_name_length: usize,
    /// Bytes of a label value. Default 2048.
    pub max_label_value_length: usize,
    /// How far a sample may lie in the future. Default 10m.
    pub creation_grace_period: HumanDuration,
    /// How far behind its series' newest sample a sample may be. Default 0s: strictly in order.
    pub out_of_order_time_window: HumanDuration,
    /// Buckets of a native histogram. Default 0.
    pub max_native_histogram_buckets: usize,
    /// Exemplars kept per series until flushed. 0 = none are kept. Default 100.
    pub max_exemplars_per_series: usize,
    /// Whether samples of several Prometheus servers that scrape the same targets are taken from one of them at a time.
    /// Default false.
    pub accept_ha_samples: bool,
    /// Label that says which servers belong together. Default cluster.
    pub ha_cluster_label: String,
    /// Label that tells them apart; it is removed from series that have both labels. Default `__replica__`.
    pub ha_replica_label: String,
    /// Groups of such servers a tenant may have. 0 = unlimited. Default 100.
    pub ha_max_clusters: usize,
    /// How old the time at which a server was last heard of may be before it is written to etcd again. Default 15s.
    pub ha_tracker_update_timeout: HumanDuration,
    /// How long a server may be silent before another is elected; longer than the update timeout. Default 30s.
    pub ha_tracker_failover_timeout: HumanDuration,

    // --- logs, writes ---
    /// Megabytes (10^6 bytes) of lines per second. 0 = unlimited. Default 0.
    pub ingestion_rate_mb: f64,
    /// Megabytes a tenant may push at once above the rate. Default 0 = one and a half times `ingestion_rate_mb`.
    pub ingestion_burst_size_mb: f64,
    /// Streams a tenant may have in memory. Default 0.
    pub max_global_streams_per_user: u64,
    /// Bytes of a line. Default 256KiB.
    pub max_line_size: ByteSize,
    /// Cut longer lines instead of refusing them. Default false.
    pub max_line_size_truncate: bool,
    /// Labels of a stream. Default 15.
    pub max_label_names_per_stream: usize,
    /// Refuse lines and samples older than `reject_old_samples_max_age`. Default false.
    pub reject_old_samples: bool,
    /// Age beyond which lines and samples are refused when `reject_old_samples` is on. Default 7d.
    pub reject_old_samples_max_age: HumanDuration,
    /// Bytes of one entry's structured metadata. Default 64KiB.
    pub max_structured_metadata_size: ByteSize,
    /// Names in one entry's structured metadata. Default 128.
    pub max_structured_metadata_entries_count: usize,
    /// Labels from which the stream label `service_name` is taken, first present wins; empty = off.
    pub discover_service_name: Vec<String>,
    /// Whether `detected_level` is added to the structured metadata of lines. Default true.
    pub discover_log_levels: bool,
    /// Fields of documents (Elasticsearch bulk, JSON lines, fluentd) that are stream labels, with `_` for `.` and for all
    /// that a label name must not have. What is in no list is structured metadata.
    pub document_stream_fields: Vec<String>,
    /// Fields that may hold the line; the first present wins, without any the line is the document.
    pub document_message_fields: Vec<String>,
    /// Fields that may hold the time; the first present wins, without any it is the time of arrival.
    pub document_time_fields: Vec<String>,
    /// What becomes of the attributes of OTLP logs.
    pub otlp_config: OtlpConfig,

    // --- queries ---
    /// Longest time range of a query. 0s = unlimited. Default 0s.
    pub max_query_length: HumanDuration,
    /// Samples a query may hold in memory at once. Default 50000000.
    pub max_samples_per_query: usize,
    /// Series a metrics query may fetch. Default 0.
    pub max_fetched_series_per_query: usize,
    /// Bytes a query may hold in memory. Default 2GiB.
    pub max_query_memory: ByteSize,
    /// Series a LogQL metric query may return. Default 500.
    pub max_query_series: usize,
    /// Lines a log query may return. Default 5000.
    pub max_entries_limit_per_query: usize,
    /// Time after which a query is stopped. Default 2m.
    pub query_timeout: HumanDuration,
    /// Queries of the tenant that run at once; more wait. Default 20.
    pub max_concurrent_queries: usize,
    /// Queries that wait; more are refused with 429. Default 100.
    pub max_outstanding_requests_per_tenant: usize,
    /// Live tails at once. Default 10.
    pub max_concurrent_tail_requests: usize,

    // --- storage ---
    /// How long metrics are kept. 0s = for ever. Default 0s.
    pub compactor_blocks_retention_period: HumanDuration,
    /// Bytes of metric blocks that a tenant may have in the store: above that the oldest blocks go, whatever their age, but never
    /// the newest. 0 = unlimited. Default 0.
    pub compactor_blocks_retention_bytes: ByteSize,
    /// How long logs are kept. 0s = for ever. Default 0s.
    pub retention_period: HumanDuration,
    /// The same as `compactor_blocks_retention_bytes` for log blocks. 0 = unlimited. Default 0.
    pub retention_bytes: ByteSize,
    /// How long the lines of some streams are kept instead; the rule of the highest priority counts. Default none.
    pub retention_stream: Vec<StreamRetention>,
    /// Whether lines and samples may be deleted on request: `disabled`, `filter-only` (hidden from queries) or `filter-and-delete`. Default filter-and-delete.
    pub deletion_mode: DeletionMode,
    /// How long a request to delete can be withdrawn; it is carried out after that. Default 24h.
    pub delete_request_cancel_period: HumanDuration,
}

/// The retention of the streams that a selector names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRetention {
    /// As in a log query: `{app="web"}`.
    pub selector: String,
    /// Of several rules for a stream the one with the largest counts, and of those the first.
    #[serde(default)]
    pub priority: u32,
    /// 0s = for ever.
    pub period: HumanDuration,
}

/// What becomes of requests to delete lines and samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletionMode {
    /// They are refused.
    Disabled,
    /// They hide what they name from queries.
    FilterOnly,
    /// Compactors delete it, too.
    #[default]
    FilterAndDelete,
}

/// A limit whose value makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidLimit {
    #[error("limits.{name} is {value}; it must be a number of at least 0")]
    Number { name: &'static str, value: f64 },
    #[error("limits.{name}: {why}")]
    Rules { name: &'static str, why: String },
}

impl Limits {
    /// Checks what the types do not.
    pub fn validate(&self) -> Result<(), InvalidLimit> {
        let rates = [
            ("ingestion_rate", self.ingestion_rate),
            ("ingestion_rate_mb", self.ingestion_rate_mb),
            ("ingestion_burst_size_mb", self.ingestion_burst_size_mb),
        ];
        let bad = rates.into_iter().find(|(_, v)| !v.is_finite() || *v < 0.0);
        if let Some((name, value)) = bad {
            return Err(InvalidLimit::Number { name, value });
        }
        self.validate_ha()?;
        let name = "otlp_config";
        self.otlp_config.check().map_err(|why| InvalidLimit::Rules { name, why })
    }

    fn validate_ha(&self) -> Result<(), InvalidLimit> {
        let rules = |name, why: String| Err(InvalidLimit::Rules { name, why });
        for (name, label) in [
            ("ha_cluster_label", &self.ha_cluster_label),
            ("ha_replica_label", &self.ha_replica_label),
        ] {
            if label.is_empty() || label == "__name__" {
                return rules(name, "must be a label name other than __name__".to_owned());
            }
        }
        if self.ha_cluster_label == self.ha_replica_label {
            return rules("ha_replica_label", "must not be that of ha_cluster_label".to_owned());
        }
        let (update, failover) = (self.ha_tracker_update_timeout, self.ha_tracker_failover_timeout);
        if update.is_zero() || failover.as_millis() <= update.as_millis() {
            let why = format!(
                "is {failover}; it must be longer than ha_tracker_update_timeout ({update}), which must not be 0"
            );
            return rules("ha_tracker_failover_timeout", why);
        }
        Ok(())
    }

    /// Samples that may be pushed at once.
    #[expect(clippy::cast_precision_loss, reason = "a burst above 2^53 samples is as good as none")]
    pub fn sample_burst(&self) -> f64 {
        if self.ingestion_burst_size == 0 {
            10.0 * self.ingestion_rate
        } else {
            self.ingestion_burst_size as f64
        }
    }

    /// Bytes of lines per second; 0 = unlimited.
    pub fn line_rate_bytes(&self) -> f64 {
        self.ingestion_rate_mb * 1e6
    }

    /// Bytes of lines that may be pushed at once.
    pub fn line_burst_bytes(&self) -> f64 {
        if self.ingestion_burst_size_mb > 0.0 {
            self.ingestion_burst_size_mb * 1e6
        } else {
            1.5 * self.line_rate_bytes()
        }
    }
}

/// Labels that may name the service.
const SERVICES: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Fields of documents that are stream labels.
const STREAM_FIELDS: [&str; 16] = [
    "service_name",
    "service",
    "app",
    "app_name",
    "application",
    "cluster",
    "namespace",
    "environment",
    "host",
    "hostname",
    "host_name",
    "kubernetes_namespace",
    "kubernetes_namespace_name",
    "kubernetes_container_name",
    "data_stream_dataset",
    "data_stream_namespace",
];

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ingestion_tenant_shard_size: 0,
            ingestion_rate: 0.0,
            ingestion_burst_size: 0,
            max_global_series_per_user: 0,
            max_global_series_per_metric: 0,
            max_global_metadata_per_user: 8000,
            max_metadata_length: 1024,
            max_label_names_per_series: 40,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            creation_grace_period: HumanDuration::from_secs(600),
            out_of_order_time_window: HumanDuration::default(),
            max_native_histogram_buckets: 0,
            max_exemplars_per_series: 100,
            accept_ha_samples: false,
            ha_cluster_label: "cluster".to_owned(),
            ha_replica_label: "__replica__".to_owned(),
            ha_max_clusters: 100,
            ha_tracker_update_timeout: HumanDuration::from_secs(15),
            ha_tracker_failover_timeout: HumanDuration::from_secs(30),
            ingestion_rate_mb: 0.0,
            ingestion_burst_size_mb: 0.0,
            max_global_streams_per_user: 0,
            max_line_size: ByteSize(256 << 10),
            max_line_size_truncate: false,
            max_label_names_per_stream: 15,
            reject_old_samples: false,
            reject_old_samples_max_age: HumanDuration::from_secs(7 * 86_400),
            max_structured_metadata_size: ByteSize(64 << 10),
            max_structured_metadata_entries_count: 128,
            discover_service_name: owned(&SERVICES),
            discover_log_levels: true,
            document_stream_fields: owned(&STREAM_FIELDS),
            document_message_fields: owned(&["message", "msg", "log", "_msg", "body"]),
            document_time_fields: owned(&["@timestamp", "timestamp", "_time", "time"]),
            otlp_config: OtlpConfig::default(),
            max_query_length: HumanDuration::default(),
            max_samples_per_query: 50_000_000,
            max_fetched_series_per_query: 0,
            max_query_memory: ByteSize(2 << 30),
            max_query_series: 500,
            max_entries_limit_per_query: 5000,
            query_timeout: HumanDuration::from_secs(120),
            max_concurrent_queries: 20,
            max_outstanding_requests_per_tenant: 100,
            max_concurrent_tail_requests: 10,
            compactor_blocks_retention_period: HumanDuration::default(),
            compactor_blocks_retention_bytes: ByteSize(0),
            retention_period: HumanDuration::default(),
            retention_bytes: ByteSize(0),
            retention_stream: Vec::new(),
            deletion_mode: DeletionMode::default(),
            delete_request_cancel_period: HumanDuration::from_secs(86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_pairs_must_be_usable() {
        type Change = fn(&mut Limits);
        let check = |change: Change| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.validate().map_err(|e| e.to_string())
        };
        assert_eq!(check(|_| ()), Ok(()));
        let refused: [(&str, Change); 5] = [
            ("ha_cluster_label", |l| l.ha_cluster_label.clear()),
            ("ha_replica_label", |l| l.ha_replica_label = "__name__".to_owned()),
            ("ha_replica_label", |l| l.ha_replica_label = "cluster".to_owned()),
            ("ha_tracker_failover_timeout", |l| {
                l.ha_tracker_failover_timeout = l.ha_tracker_update_timeout;
            }),
            ("ha_tracker_failover_timeout", |l| {
                l.ha_tracker_update_timeout = HumanDuration::default();
            }),
        ];
        for (name, change) in refused {
            let why = check(change).unwrap_err();
            assert!(why.starts_with(&format!("limits.{name}: ")), "{why}");
        }
    }
}
