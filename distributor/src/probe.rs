//! The decoders alone, without anything behind them: what the fuzz targets in `fuzz/` call.

use std::sync::Arc;

use skald_limits::Limits;
use skald_model::TenantId;
use skald_ring::{
    Coordinator, Partition, PartitionState, Replica, ReplicaId, StaticCoordinator, ViewError,
};

use crate::cache::SeriesCache;
use crate::document::Shape;
use crate::remote_write::Context;
use crate::{audit, elastic, forward, json_lines, loki, otlp, syslog};

/// Decodes bodies of one tenant with default limits. What comes out is dropped; nothing may panic.
#[derive(Debug)]
pub struct Decoders(Context);

// === impl Decoders ===

impl Decoders {
    pub fn new() -> Result<Self, ViewError> {
        let replica = Replica {
            id: ReplicaId("a".into()),
            addr: String::new(),
            zone: String::new(),
            epoch: 0,
            rebuilding: false,
        };
        let partition = Partition { id: 0, state: PartitionState::Active, replicas: vec![replica] };
        Ok(Self(Context {
            tenant: TenantId::single(),
            limits: Arc::new(Limits::default()),
            view: StaticCoordinator::new(vec![partition])?.view(),
            cache: Arc::new(SeriesCache::new(1 << 16, 7)),
            buffers: Arc::default(),
            now_ns: 1_767_225_600_000_000_000,
            ha: None,
        }))
    }

    pub fn loki_protobuf(&self, body: &[u8]) {
        drop(loki::decode_proto(&self.0, body.to_vec()));
    }

    pub fn loki_json(&self, body: &[u8]) {
        drop(loki::decode_json(&self.0, body.to_vec()));
    }

    pub fn otlp_protobuf(&self, body: &[u8]) {
        drop(otlp::decode_proto(&self.0, body));
    }

    pub fn otlp_json(&self, body: &[u8]) {
        drop(otlp::decode_json(&self.0, body));
    }

    pub fn elasticsearch_bulk(&self, body: &[u8]) {
        drop(elastic::decode_bulk(&self.0, "index", body));
    }

    pub fn json_lines(&self, body: &[u8]) {
        drop(json_lines::decode_lines(&self.0, Shape::default(), body));
    }

    pub fn kubernetes_audit(&self, body: &[u8]) {
        drop(audit::decode_audit(&self.0, body));
    }

    /// A connection's bytes.
    pub fn syslog(&self, stream: &[u8]) {
        drop(syslog::decode_stream(&self.0, stream));
    }

    /// A message of fluentd's forward protocol.
    pub fn forward(&self, message: &[u8]) {
        forward::decode_message(&self.0, message);
    }
}
