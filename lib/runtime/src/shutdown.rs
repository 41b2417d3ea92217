//! Tells components to stop. Cloned freely; cancelling any clone of the root stops all.

use tokio_util::sync::CancellationToken;

/// A signal that is given once.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that also follows `self`.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    pub fn trigger(&self) {
        self.0.cancel();
    }

    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes once triggered. Cancel-safe.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}
