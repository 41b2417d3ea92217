//! Answers queries: the Prometheus and Loki HTTP APIs over heads and blocks.
//!
//! Requirements: an answer is complete or an error, never silently partial; every sample and line
//! once, wherever its copies are; memory, time and concurrency of a tenant's queries are bounded and
//! a refusal names the limit; no data of one tenant reaches another.
//!
//! ```text
//! HTTP ─tenant, parameters, queue──────▶ engine (promql | logql) ─select─▶ fan-out ─┬─▶ heads: quorum of each partition
//!                                                                                  └─▶ blocks of a view at least that new
//!      ◀─streaming JSON, gzip───────────────── result ◀── merge: replicas, heads, blocks ◀──────┘
//! ```

mod audit;
mod blocks;
mod config;
mod deletes;
mod error;
mod fanout;
mod frontend;
mod heads;
mod http;
mod json;
mod loki;
mod memory;
mod merge;
mod metrics;
mod prometheus;
mod querier;
mod scope;
mod source;

pub use crate::audit::Peer;
pub use crate::config::{Config, ConfigError};
pub use crate::error::Error;
pub use crate::heads::IngesterDirectory;
pub use crate::http::time::loki_time;
pub use crate::loki::loki_router;
pub use crate::prometheus::prometheus_router;
pub use crate::querier::{Dependencies, Querier};
