//! Polling for a state.

use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take before a test calls it broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `probe` until it answers `Some`; panics with `what` after [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
