//! Who fetches a range: one at a time, and whoever wants the same waits and shares it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use super::entry::Entry;

type Slot = Arc<tokio::sync::Mutex<Option<Entry>>>;

/// All ranges under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<u128, Slot>>>);

/// Interest in one of them. The last to lose it ends it.
#[derive(Debug)]
pub(super) struct Flight {
    hash: u128,
    slot: Slot,
    all: Flights,
}

// === impl Flights ===

impl Flights {
    pub(super) fn enter(&self, hash: u128) -> Flight {
        let slot = Arc::clone(self.0.lock().entry(hash).or_default());
        Flight { hash, slot, all: self.clone() }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

// === impl Flight ===

impl Flight {
    /// What was fetched, or the right to fetch it.
    pub(super) async fn slot(&self) -> MutexGuard<'_, Option<Entry>> {
        self.slot.lock().await
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // Let go of under the lock: of the last two that end at once one must see that it is the last.
        drop(std::mem::take(&mut self.slot));
        if all.get(&self.hash).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            all.remove(&self.hash);
        }
    }
}
