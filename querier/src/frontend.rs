//! What stands between the HTTP routes and the engines.
//!
//! ```text
//! request ─▶ queue (fair between tenants) ─▶ engine
//!     └──────────────── record: one log line about what it cost ────────────────┘
//! ```

pub(crate) mod queue;
pub(crate) mod record;
