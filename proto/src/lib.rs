//! Generated messages and services, and nothing else: `proto/codegen` writes them from `proto/skald` and `proto/public`.
//!
//! `skald.*` are our own protocols, `public` the wire formats of others that we accept or speak. Conversion to
//! `skald_model` types happens where a service meets the wire, never here.

/// Marks generated code, which our lints do not apply to.
macro_rules! generated {
    ($name:ident, $file:literal, $doc:literal) => {
        #[doc = $doc]
        #[allow(
            warnings,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            reason = "generated code"
        )]
        pub mod $name {
            include!(concat!("generated/", $file));
        }
    };
}

generated!(catalog, "skald.catalog.v1.rs", "The manifest log of a tenant.");
generated!(ingest, "skald.ingest.v1.rs", "Between distributors or queriers and ingesters.");
generated!(storage, "skald.storage.v1.rs", "The pluggable object storage.");

/// Wire formats of other projects' clients and servers.
pub mod public {
    generated!(etcd, "etcdserverpb.rs", "What we ask etcd.");
    generated!(loki, "logproto.rs", "Loki's push message.");
    generated!(otlp, "otlp.rs", "OpenTelemetry's export of logs.");
    generated!(prometheus, "prometheus.rs", "Prometheus remote write 1.0 and remote read.");
    generated!(prometheus_v2, "io.prometheus.write.v2.rs", "Prometheus remote write 2.0.");
}
