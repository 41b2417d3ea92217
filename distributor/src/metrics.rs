//! The distributor's metrics: every one it has, and nothing else.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use skald_model::TenantId;
use skald_runtime::metrics::latency_histogram;

use crate::rejects::Rejects;

/// Which protocol a push came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ProtocolLabel {
    pub(crate) protocol: Protocol,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue,
)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum Protocol {
    remote_write_v1,
    remote_write_v2,
    loki_protobuf,
    loki_json,
    otlp_protobuf,
    otlp_json,
    elasticsearch_bulk,
    json_lines,
    kubernetes_audit,
    syslog_tcp,
    syslog_udp,
    fluent_forward,
}

// === impl Protocol ===

impl Protocol {
    /// Whether it brings samples; all others bring lines.
    pub(crate) fn is_remote_write(self) -> bool {
        matches!(self, Self::remote_write_v1 | Self::remote_write_v2)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    protocol: Protocol,
    code: u32,
}

/// Why a message of a listener was lost, or a part of it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue,
)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum Dropped {
    /// Longer than a message may be: the rest of it.
    cut,
    buffer_full,
    malformed,
    /// Not stored when the process had to stop.
    shutdown,
}

/// Why a partition had no quorum for a push.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue,
)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum NoQuorum {
    timeout,
    unavailable,
    /// A replica said that the view of the cluster is old.
    stale,
    internal,
    /// A quorum said that some limit is reached.
    limit,
    /// A quorum refused the batch for good.
    invalid,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoQuorumLabels {
    reason: NoQuorum,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabels {
    protocol: Protocol,
    reason: Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscardLabels {
    reason: String,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

/// Counters, gauges and histograms of one distributor. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    pub(crate) samples: Family<ProtocolLabel, Counter>,
    pub(crate) lines: Family<ProtocolLabel, Counter>,
    pub(crate) bytes: Family<ProtocolLabel, Counter>,
    pub(crate) latency: Family<ProtocolLabel, Histogram, fn() -> Histogram>,
    pub(crate) inflight: Gauge,
    pub(crate) inflight_bytes: Gauge,
    pub(crate) cache_entries: Gauge,
    pub(crate) label_resends: Counter,
    pub(crate) replica_failures: Counter,
    pub(crate) background_dropped: Counter,
    quorum_failures: Family<NoQuorumLabels, Counter>,
    dropped: Family<DroppedLabels, Counter>,
    discarded: Family<DiscardLabels, Counter>,
    duplicates: Family<TenantLabel, Counter>,
    pub(crate) ha_elections: Counter,
}

// === impl NoQuorum ===

impl NoQuorum {
    const ALL: [Self; 6] =
        [Self::timeout, Self::unavailable, Self::stale, Self::internal, Self::limit, Self::invalid];
}

// === impl Metrics ===

impl Metrics {
    /// Registers under `registry`, the root one.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            requests: Family::default(),
            samples: Family::default(),
            lines: Family::default(),
            bytes: Family::default(),
            latency: Family::new_with_constructor(latency_histogram),
            inflight: Gauge::default(),
            inflight_bytes: Gauge::default(),
            cache_entries: Gauge::default(),
            label_resends: Counter::default(),
            replica_failures: Counter::default(),
            background_dropped: Counter::default(),
            quorum_failures: Family::default(),
            dropped: Family::default(),
            discarded: Family::default(),
            duplicates: Family::default(),
            ha_elections: Counter::default(),
        };
        let discarded = "Samples and lines refused, by reason and tenant";
        registry.register("skald_discarded_samples", discarded, this.discarded.clone());
        let reg = registry.sub_registry_with_prefix("skald_distributor");
        reg.register("requests", "Pushes answered, by HTTP status", this.requests.clone());
        reg.register("received_samples", "Samples and histograms decoded", this.samples.clone());
        reg.register("received_lines", "Log lines decoded", this.lines.clone());
        reg.register("received_bytes", "Bytes of bodies as they arrived", this.bytes.clone());
        let help = "Time from a push's first byte to its answer";
        reg.register("push_duration_seconds", help, this.latency.clone());
        reg.register("inflight_pushes", "Pushes not answered yet", this.inflight.clone());
        let help = "Bytes of pushes that some replica has not answered yet";
        reg.register("inflight_push_bytes", help, this.inflight_bytes.clone());
        reg.register("series_cache_entries", "Known label sets", this.cache_entries.clone());
        let help = "Items sent again because an ingester did not know their labels";
        reg.register("label_resends", help, this.label_resends.clone());
        let help = "Pushes to one replica that failed";
        reg.register("replica_push_failures", help, this.replica_failures.clone());
        let help = "Pushes to a last replica given up because too many ran in the background";
        reg.register("background_pushes_dropped", help, this.background_dropped.clone());
        let help = "Parts of pushes that too few replicas of their partition took, by reason";
        reg.register("quorum_failures", help, this.quorum_failures.clone());
        let help = "Messages of syslog and forward that were dropped or cut";
        reg.register("dropped_messages", help, this.dropped.clone());
        let help = "Samples of replicas that are not elected, dropped, by tenant";
        reg.register("deduplicated_samples", help, this.duplicates.clone());
        let help = "Replicas of high-availability pairs elected by this process";
        reg.register("ha_elections", help, this.ha_elections.clone());
        // Shown from the start, so that the first drop is a rise.
        for (protocol, reason) in [
            (Protocol::syslog_tcp, Dropped::cut),
            (Protocol::syslog_tcp, Dropped::shutdown),
            (Protocol::syslog_udp, Dropped::cut),
            (Protocol::syslog_udp, Dropped::buffer_full),
            (Protocol::syslog_udp, Dropped::shutdown),
            (Protocol::fluent_forward, Dropped::malformed),
            (Protocol::fluent_forward, Dropped::shutdown),
        ] {
            drop(this.dropped.get_or_create(&DroppedLabels { protocol, reason }));
        }
        for reason in NoQuorum::ALL {
            drop(this.quorum_failures.get_or_create(&NoQuorumLabels { reason }));
        }
        this
    }

    pub(crate) fn drop_messages(&self, protocol: Protocol, reason: Dropped, n: u64) {
        if n > 0 {
            self.dropped.get_or_create(&DroppedLabels { protocol, reason }).inc_by(n);
        }
    }

    pub(crate) fn deduplicate(&self, tenant: &TenantId, n: u64) {
        if n > 0 {
            let labels = TenantLabel { tenant: tenant.as_str().to_owned() };
            self.duplicates.get_or_create(&labels).inc_by(n);
        }
    }

    pub(crate) fn no_quorum(&self, reason: NoQuorum) {
        self.quorum_failures.get_or_create(&NoQuorumLabels { reason }).inc();
    }

    pub(crate) fn answered(&self, protocol: Protocol, code: u16) {
        self.requests.get_or_create(&RequestLabels { protocol, code: code.into() }).inc();
    }

    pub(crate) fn discard(&self, tenant: &TenantId, rejects: &Rejects) {
        for r in rejects.iter() {
            self.discard_one(tenant, r.reason(), r.count);
        }
    }

    pub(crate) fn discard_one(&self, tenant: &TenantId, reason: String, count: u64) {
        let labels = DiscardLabels { reason, tenant: tenant.as_str().to_owned() };
        self.discarded.get_or_create(&labels).inc_by(count);
    }
}
