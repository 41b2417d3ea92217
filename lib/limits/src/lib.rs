//! Per-tenant limits: their names, defaults, overrides file and hot reload; rate limiters.
//!
//! Requirements: names are those Cortex, Mimir and Loki gave them; a bad overrides file leaves the old
//! limits in force; reading a tenant's limits is one atomic load.

mod limits;
pub mod otlp;
mod overrides;
pub mod rate;

pub use crate::limits::{DeletionMode, InvalidLimit, Limits, StreamRetention};
pub use crate::overrides::{LoadError, Overrides, ReloadMetrics, watch};
pub use crate::rate::RateLimiter;
