//! Named, traced tasks.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, info_span};

/// Spawns `task` on the current runtime inside a span called `task` with its name.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::spawn(task.instrument(info_span!("task", name)))
}
