//! Clocks of processes: the runtime's paused time, each with an error of its own.

use std::sync::atomic::{AtomicI64, Ordering};

use skald_runtime::Clock;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z.
pub const BASE_MS: i64 = 1_767_225_600_000;

/// A clock that is wrong by as much as it is told.
#[derive(Debug)]
pub struct NodeClock {
    start: Instant,
    error_ms: AtomicI64,
}

// === impl NodeClock ===

impl NodeClock {
    pub fn new(start: Instant) -> Self {
        Self { start, error_ms: AtomicI64::new(0) }
    }

    /// Sets it wrong.
    pub fn set_error_ms(&self, error_ms: i64) {
        self.error_ms.store(error_ms, Ordering::SeqCst);
    }
}

impl Clock for NodeClock {
    fn now_ns(&self) -> i64 {
        let passed = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        (BASE_MS + self.error_ms.load(Ordering::SeqCst)) * 1_000_000 + passed
    }
}
