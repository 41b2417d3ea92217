//! A process within a process, for simulations of a whole cluster: tasks that stand still and end together.
//!
//! Everything that a task of a scope [spawns](crate::spawn) belongs to the scope too, and what would
//! [block](crate::spawn_blocking) a thread of its own is done in turn, on the runtime's one thread: so a
//! runtime with one thread and a paused clock runs a cluster the same way every time.
//!
//! Outside a scope, which is everywhere but in simulations, nothing of this is in effect.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

tokio::task_local! {
    static CURRENT: Scope;
}

/// Finished tasks are forgotten once there are at least so many.
const PRUNE_ABOVE: usize = 64;

/// A group of tasks. Clones mean the same one.
#[derive(Clone, Debug, Default)]
pub struct Scope(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    tasks: Vec<AbortHandle>,
    prune_at: usize,
    /// Of tasks that were to go on while the scope stood still.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Runs,
    Paused,
    Dead,
}

/// A future that makes no step while its scope stands still.
struct Scoped<F> {
    scope: Scope,
    inner: Pin<Box<F>>,
}

// === impl Scope ===

impl Scope {
    pub fn new() -> Self {
        Self::default()
    }

    /// The scope of the task that calls.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Spawns a task into this scope. In a scope that was killed it ends at once.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let scoped = Scoped { scope: self.clone(), inner: Box::pin(task) };
        let handle = crate::task::start(name, CURRENT.scope(self.clone(), scoped));
        let mut state = self.0.lock();
        if state.phase == Phase::Dead {
            handle.abort();
            return handle;
        }
        if state.tasks.len() >= state.prune_at.max(PRUNE_ABOVE) {
            state.tasks.retain(|task| !task.is_finished());
            state.prune_at = state.tasks.len() * 2;
        }
        state.tasks.push(handle.abort_handle());
        handle
    }

    /// Lets no task make another step until [`resume`](Self::resume), as SIGSTOP does.
    pub fn pause(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Runs {
            state.phase = Phase::Paused;
        }
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        let waiting = {
            let mut state = self.0.lock();
            if state.phase == Phase::Paused {
                state.phase = Phase::Runs;
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends all tasks where they stand, for ever. What they own is dropped, nothing else is done.
    pub fn kill(&self) {
        let tasks = {
            let mut state = self.0.lock();
            state.phase = Phase::Dead;
            state.waiting.clear();
            std::mem::take(&mut state.tasks)
        };
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Whether it stands still at the moment.
    pub fn is_paused(&self) -> bool {
        self.0.lock().phase == Phase::Paused
    }

    /// Whether it was not killed.
    pub fn is_alive(&self) -> bool {
        self.0.lock().phase != Phase::Dead
    }
}

// === impl Scoped ===

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.scope.0.lock();
            match state.phase {
                Phase::Runs => {}
                Phase::Paused => {
                    state.waiting.push(context.waker().clone());
                    return Poll::Pending;
                }
                // Its abort is under way.
                Phase::Dead => return Poll::Pending,
            }
        }
        self.inner.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    fn ticking(count: &Arc<AtomicU32>) -> impl Future<Output = ()> + Send + use<> {
        let count = Arc::clone(count);
        async move {
            let ticks = crate::spawn("ticks", async move {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
            ticks.await.ok();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_tasks_spawn_stands_still_and_ends_with_it() {
        let (scope, count) = (Scope::new(), Arc::new(AtomicU32::new(0)));
        let ticks = || count.load(Ordering::SeqCst);
        scope.spawn("root", ticking(&count));
        sleep(Duration::from_millis(3500)).await;
        assert_eq!(ticks(), 3);
        scope.pause();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks(), 3);
        scope.resume();
        sleep(Duration::from_millis(2100)).await;
        assert_eq!(ticks(), 6, "the one that was due, and two more");
        scope.kill();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks(), 6);
        assert!(scope.spawn("late", async {}).await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn blocking_work_is_done_in_turn() {
        let thread = std::thread::current().id();
        let inside = Scope::new().spawn("root", async {
            assert!(Scope::current().is_some());
            let pool = crate::CpuPool::new(1);
            assert!(!pool.try_start(|| ()), "there are no other threads to help");
            let ran = pool.run(|| std::thread::current().id()).await.unwrap();
            (ran, crate::spawn_blocking(|| std::thread::current().id()).await.unwrap())
        });
        assert_eq!(inside.await.unwrap(), (thread, thread));
        assert_ne!(crate::spawn_blocking(|| std::thread::current().id()).await.unwrap(), thread);
        assert!(Scope::current().is_none());
    }
}
