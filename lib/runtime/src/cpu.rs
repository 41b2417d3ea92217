//! A bounded pool for work that computes for more than half a millisecond.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Runs closures on blocking threads, at most `n` at a time. Clones share the bound.
#[derive(Clone, Debug)]
pub struct CpuPool {
    slots: Arc<Semaphore>,
}

/// The closure panicked or the runtime is going down.
#[derive(Debug, thiserror::Error)]
#[error("computation did not finish: {0}")]
pub struct Failed(String);

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
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|e| Failed(e.to_string()))
    }
}
