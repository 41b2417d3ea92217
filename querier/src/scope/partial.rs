//! Answers that lack something, where the client asked for that: which partitions are missing, and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Whether the answer to a request may lack partitions, and which it lacks. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partial(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_allowed: AtomicBool,
    /// Why, by partition.
    missing: Mutex<BTreeMap<u32, String>>,
}

// === impl Partial ===

impl Partial {
    pub(crate) fn allow(&self) {
        self.0.is_allowed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_allowed(&self) -> bool {
        self.0.is_allowed.load(Ordering::Relaxed)
    }

    /// Notes that not all of a partition is in the answer. Only where that is allowed.
    pub(crate) fn lacks(&self, partition: u32, why: String) {
        self.0.missing.lock().insert(partition, why);
    }

    /// Which are missing, ascending.
    pub(crate) fn partitions(&self) -> Vec<u32> {
        self.0.missing.lock().keys().copied().collect()
    }

    /// What clients are told; nothing if the answer is complete.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let missing = self.0.missing.lock();
        missing.values().map(|why| format!("the result is partial: {why}")).collect()
    }
}
