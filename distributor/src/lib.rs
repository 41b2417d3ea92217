//! Takes pushes: remote write 1.0 and 2.0, Loki, OTLP logs, Elasticsearch bulk,
//! JSON lines, Kubernetes audit events, syslog, fluentd forward; validates them, applies the tenant's limits,
//! and ships one batch per partition to a write quorum of its replicas.
//!
//! Requirements: bodies are bounded before memory is taken; a known series costs no allocation; valid
//! data is stored even when it arrives beside invalid data; a 2xx means a quorum has it on stable
//! storage; a 4xx means that the refused part can never be accepted, everything transient is 429 or 5xx.

mod audit;
mod batches;
mod buffer;
mod cache;
mod config;
mod deliver;
mod document;
mod elastic;
mod forward;
mod ha;
mod json;
mod json_lines;
mod listeners;
mod loki;
mod metrics;
mod otlp;
pub mod probe;
mod refusal;
mod rejects;
mod remote_write;
mod service;
mod ship;
mod source;
mod syslog;
#[cfg(test)]
mod testing;
mod time;
mod wire;

pub use crate::config::{Config, ConfigError, ForwardConfig, SyslogConfig};
pub use crate::ha::Elections;
pub use crate::listeners::{ListenError, Listeners};
pub use crate::metrics::Metrics;
pub use crate::service::Distributor;
pub use crate::ship::IngesterDirectory;
