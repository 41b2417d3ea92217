//! A bounded pool for work that computes for more than half a millisecond.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Scope;

/// Runs closures on blocking threads, at most `n` at a time. Clones share the bound.
#[derive(Clone, Debug)]
pub struct CpuPool {
    slots: Arc<Semaphore>,
}

/// The closure panicked or the runtime is going down.
#[derive(Debug, thiserror::Error)]
#[error("computation did not finish: {0}")]
pub struct Failed(String);

/// Keeps a slot of the pool until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl CpuPool {
    pub fn new(n: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(n.max(1))) }
    }

    /// As many slots as the machine has cores.
    pub fn per_core() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// Waits for a slot, then runs `work`. Dropping the future before it starts cancels it; after that it runs to its end.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let permit = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| Failed("pool closed".to_owned()))?;
        crate::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|e| Failed(e.to_string()))
    }

    /// A slot, if one is free, for work that runs anyway and should count.
    pub fn try_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(|permit| Slot { _permit: permit })
    }

    /// Starts `work` if a slot is free, and says whether it was. None is outside a runtime, nor in a
    /// [`Scope`], where whoever waited for help would have the only thread.
    pub fn try_start(&self, work: impl FnOnce() + Send + 'static) -> bool {
        if tokio::runtime::Handle::try_current().is_err() || Scope::current().is_some() {
            return false;
        }
        let Some(slot) = self.try_slot() else { return false };
        drop(crate::spawn_blocking(move || {
            let _slot = slot;
            work();
        }));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_only_what_has_a_slot() {
        let pool = CpuPool::new(1);
        let (ended, end) = tokio::sync::oneshot::channel();
        let slot = pool.try_slot();
        assert!(slot.is_some() && pool.try_slot().is_none());
        assert!(!pool.try_start(|| {}));
        drop(slot);
        assert!(pool.try_start(move || ended.send(7).unwrap()));
        assert_eq!(end.await, Ok(7));
    }

    #[test]
    fn starts_nothing_outside_a_runtime() {
        assert!(!CpuPool::new(1).try_start(|| {}));
    }
}
