//! Looks at the cluster again once somebody said that the view is old: many ask, few looks are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::coordinator::Coordinator;
use crate::view::View;

/// The longest that somebody waits for a newer view.
const LIMIT: Duration = Duration::from_secs(2);
/// Rest between looks in the background, should the answer "your view is old" not go away.
const REST: Duration = Duration::from_secs(1);

/// Asks the coordinator for newer views. Clones share the looks.
#[derive(Clone, Debug)]
pub struct Refresher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    coordinator: Arc<dyn Coordinator>,
    /// Looks begun so far.
    begun: AtomicU64,
    /// Who looks now.
    turn: Mutex<()>,
    in_background: AtomicBool,
}

// === impl Refresher ===

impl Refresher {
    pub fn new(coordinator: Arc<dyn Coordinator>) -> Self {
        let (begun, turn, in_background) =
            (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { coordinator, begun, turn, in_background }))
    }

    /// Another view than the one of version `than`, after a look at the source if need be; `None` when
    /// there is none within two seconds. Cancel-safe.
    pub async fn other(&self, than: u64) -> Option<Arc<View>> {
        let this = &*self.0;
        let look = async {
            let asked = this.begun.load(Ordering::Acquire);
            let _turn = this.turn.lock().await;
            // A look that was begun after the question has been taken by somebody else.
            let is_answered = this.begun.load(Ordering::Acquire) != asked;
            if !is_answered && this.coordinator.view().version == than {
                this.begun.fetch_add(1, Ordering::AcqRel);
                this.coordinator.refresh().await;
            }
        };
        // Whatever came of it: what counts is the view.
        let _ = timeout(LIMIT, look).await;
        let view = this.coordinator.view();
        (view.version != than).then_some(view)
    }

    /// Takes a look in the background, unless one is under way or was a moment ago.
    pub fn hint(&self, than: u64) {
        if self.0.in_background.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        skald_runtime::spawn("refresh-view", async move {
            this.other(than).await;
            sleep(REST).await;
            this.0.in_background.store(false, Ordering::Release);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use async_trait::async_trait;
    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    /// Its view grows by one with every look, but for those that are to hang.
    #[derive(Debug, Default)]
    struct Source {
        version: AtomicU64,
        looks: AtomicU64,
        hangs: AtomicBool,
        is_final: AtomicBool,
    }

    #[async_trait]
    impl Coordinator for Source {
        fn view(&self) -> Arc<View> {
            let version = self.version.load(Ordering::SeqCst);
            Arc::new(View::new(version, Vec::new()).unwrap())
        }

        async fn refresh(&self) {
            self.looks.fetch_add(1, Ordering::SeqCst);
            yield_now().await;
            if self.hangs.load(Ordering::SeqCst) {
                pending::<()>().await;
            }
            if !self.is_final.load(Ordering::SeqCst) {
                self.version.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn refresher() -> (Arc<Source>, Refresher) {
        let source = Arc::new(Source::default());
        (Arc::clone(&source), Refresher::new(source))
    }

    #[tokio::test]
    async fn a_view_that_has_changed_meanwhile_needs_no_look() {
        let (source, refresher) = refresher();
        source.version.store(4, Ordering::SeqCst);
        assert_eq!(refresher.other(3).await.unwrap().version, 4);
        assert_eq!(source.looks.load(Ordering::SeqCst), 0);
        assert_eq!(refresher.other(4).await.unwrap().version, 5);
    }

    #[tokio::test]
    async fn many_who_ask_share_a_look() {
        let (source, refresher) = refresher();
        source.is_final.store(true, Ordering::SeqCst);
        let found = join_all((0..100).map(|_| refresher.other(0))).await;
        assert!(found.iter().all(Option::is_none));
        assert!(
            source.looks.load(Ordering::SeqCst) <= 2,
            "one, and one for those who came during it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (source, refresher) = refresher();
        source.hangs.store(true, Ordering::SeqCst);
        let started = tokio::time::Instant::now();
        let both = [refresher.other(0), refresher.other(0)];
        assert!(join_all(both).await.iter().all(Option::is_none));
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_in_the_background_are_few() {
        let (source, refresher) = refresher();
        source.is_final.store(true, Ordering::SeqCst);
        let looks = || source.looks.load(Ordering::SeqCst);
        for _ in 0..50 {
            refresher.hint(0);
            yield_now().await;
        }
        assert_eq!(looks(), 1);
        sleep(REST * 2).await;
        refresher.hint(0);
        sleep(REST / 2).await;
        assert_eq!(looks(), 2);
    }
}
