//! Named, traced tasks.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, info_span};

use crate::Scope;

/// Spawns `task` on the current runtime inside a span called `task` with its name, and into the [`Scope`]
/// of the caller, if it has one.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Scope::current() {
        Some(scope) => scope.spawn(name, task),
        None => start(name, task),
    }
}

/// Runs `work` on a thread that may block; in a [`Scope`] in turn with everything else.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    match Scope::current() {
        Some(scope) => scope.spawn("blocking", async { work() }),
        None =>
        {
            #[expect(clippy::disallowed_methods, reason = "the one place that blocks threads")]
            tokio::task::spawn_blocking(work)
        }
    }
}

pub(crate) fn start<F>(name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::spawn(task.instrument(info_span!("task", name)))
}
