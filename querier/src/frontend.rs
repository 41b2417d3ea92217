//! What stands between the HTTP routes and the engines.
//!
//! ```text
//! request ─▶ queue (fair between tenants) ─▶ range: whole, or pieces of time side by side ─▶ engine
//!     │                                             └▶ results: a cache of answers ─┘
//!     └──────────────── record: one log line about what it cost ────────────────┘
//! ```

pub(crate) mod cache;
mod join;
pub(crate) mod queue;
pub(crate) mod range;
pub(crate) mod record;
mod results;
mod shape;
pub(crate) mod split;
