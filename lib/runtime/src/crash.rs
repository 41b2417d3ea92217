//! Crash points: places where a test may end the process as a power switch would.
//!
//! `crash_point!("flush.stored")` stands between two steps of which each may be the last. Without debug assertions, as
//! in a release, it is nothing. With them the process ends at the point that the environment's `CRASH_POINT` names, as
//! `name` or `name:n` for the n-th time that it is reached; without the variable it is one load.
//! `skald-chaos --crash-points` finds all points in the sources and ends a server at each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that names a point.
pub const VARIABLE: &str = "CRASH_POINT";

/// The point at which this process ends.
#[derive(Debug)]
struct Target {
    name: String,
    /// Times that it is still passed.
    left: AtomicU64,
}

static TARGET: OnceLock<Option<Target>> = OnceLock::new();

/// Marks a place where a test may end the process; see the [module](crate::crash).
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        if cfg!(debug_assertions) {
            $crate::crash::reach($name);
        }
    };
}

/// Ends the process if it is to end here: no destructor runs, nothing is flushed.
pub fn reach(name: &str) {
    let target = TARGET.get_or_init(|| Target::parse(&std::env::var(VARIABLE).ok()?));
    if target.as_ref().is_some_and(|t| t.is_hit(name)) {
        tracing::error!(name, "crash point reached");
        std::process::abort();
    }
}

// === impl Target ===

impl Target {
    /// `name` or `name:n`, n from 1.
    fn parse(text: &str) -> Option<Self> {
        let (name, n) = match text.split_once(':') {
            Some((name, n)) => (name, n.parse().ok()?),
            None => (text, 1u64),
        };
        Some(Self { name: name.to_owned(), left: AtomicU64::new(n) })
    }

    fn is_hit(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_hit_the_nth_time() {
        let target = Target::parse("wal.synced:3").unwrap();
        let hits: Vec<bool> = (0..5).map(|_| target.is_hit("wal.synced")).collect();
        assert_eq!(hits, [false, false, true, false, false]);
        assert!(!Target::parse("wal.synced").unwrap().is_hit("wal.written"));
        assert!(Target::parse("wal.synced").unwrap().is_hit("wal.synced"));
        assert!(Target::parse("wal.synced:x").is_none());
    }
}
