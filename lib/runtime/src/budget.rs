//! A byte budget shared by many holders: refusal instead of growth.
//!
//! Invariant: the sum of all live [`MemoryPermit`]s never exceeds the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A budget of bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<State>);

#[derive(Debug)]
struct State {
    used: AtomicU64,
    limit: u64,
}

/// Bytes taken from a budget, returned on drop.
#[derive(Debug)]
#[must_use = "the bytes are returned as soon as the permit drops"]
pub struct MemoryPermit {
    state: Arc<State>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} more bytes exceed the budget of {limit}, of which {used} are in use")]
pub struct OverBudget {
    pub bytes: u64,
    pub used: u64,
    pub limit: u64,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(State { used: AtomicU64::new(0), limit }))
    }

    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or fails at once.
    pub fn try_take(&self, bytes: u64) -> Result<MemoryPermit, OverBudget> {
        let mut permit = MemoryPermit { state: Arc::clone(&self.0), bytes: 0 };
        permit.grow(bytes)?;
        Ok(permit)
    }

    /// The machine's or cgroup's memory limit in bytes; 0 when unknown.
    pub fn system_limit() -> u64 {
        let read =
            |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
        let cgroup = read("/sys/fs/cgroup/memory.max")
            .or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
        let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
        });
        match (cgroup, total) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(0),
        }
    }
}

// === impl MemoryPermit ===

impl MemoryPermit {
    /// Takes more bytes into this permit, or fails leaving it as it was.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let State { used, limit } = &*self.state;
        let fits = |now: u64| now.checked_add(bytes).filter(|total| total <= limit);
        match used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(now) => Err(OverBudget { bytes, used: now, limit: *limit }),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.state.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_permit_returns_its_bytes() {
        let budget = MemoryBudget::new(10);
        let mut held = budget.try_take(5).unwrap();
        held.grow(3).unwrap();
        assert_eq!(budget.try_take(3).unwrap_err(), OverBudget { bytes: 3, used: 8, limit: 10 });
        drop(held);
        assert!(budget.try_take(10).is_ok());
        assert_eq!(budget.used(), 0);
    }
}
