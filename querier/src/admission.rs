//! How many queries of a tenant run and wait; the rest is refused.
//!
//! Invariants: at most `max_concurrent` permits of a tenant are alive; waiters get theirs in the
//! order in which they came; a waiter that goes away takes nothing with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::TenantId;
use tokio::sync::oneshot;

use crate::Error;

/// The queues of all tenants. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission(Arc<Mutex<HashMap<TenantId, Gate>>>);

#[derive(Debug, Default)]
struct Gate {
    running: usize,
    max_concurrent: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to run one query; the next waiter gets it on drop.
#[derive(Debug)]
#[must_use = "the query may run only while the permit lives"]
pub(crate) struct Permit {
    /// `None` once the permit was passed on.
    held: Option<(Admission, TenantId)>,
}

/// A tenant's bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Queries that run at once; 0 = unlimited.
    pub(crate) max_concurrent: usize,
    /// Queries that wait.
    pub(crate) max_waiting: usize,
}

// === impl Admission ===

impl Admission {
    /// Waits for its turn, or fails at once when too many wait already. Cancel-safe.
    pub(crate) async fn enter(&self, tenant: &TenantId, bounds: Bounds) -> Result<Permit, Error> {
        let turn = {
            let mut gates = self.0.lock();
            let gate = gates.entry(tenant.clone()).or_default();
            gate.max_concurrent =
                if bounds.max_concurrent == 0 { usize::MAX } else { bounds.max_concurrent };
            if gate.running < gate.max_concurrent {
                gate.running += 1;
                return Ok(self.permit(tenant.clone()));
            }
            gate.waiting.retain(|w| !w.is_closed());
            if gate.waiting.len() >= bounds.max_waiting {
                let (running, waiting) = (gate.running, gate.waiting.len());
                return Err(Error::TooManyRequests { running, waiting });
            }
            let (give, turn) = oneshot::channel();
            gate.waiting.push_back(give);
            turn
        };
        turn.await.map_err(|_| Error::Canceled)
    }

    fn permit(&self, tenant: TenantId) -> Permit {
        Permit { held: Some((self.clone(), tenant)) }
    }

    fn release(&self, tenant: TenantId) {
        let mut gates = self.0.lock();
        let Some(gate) = gates.get_mut(&tenant) else { return };
        while gate.running <= gate.max_concurrent
            && let Some(next) = gate.waiting.pop_front()
        {
            match next.send(self.permit(tenant.clone())) {
                Ok(()) => return,
                // That waiter left; its permit must not come back here.
                Err(mut permit) => permit.held = None,
            }
        }
        gate.running = gate.running.saturating_sub(1);
        if gate.running == 0 && gate.waiting.is_empty() {
            gates.remove(&tenant);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((admission, tenant)) = self.held.take() {
            admission.release(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ONE: Bounds = Bounds { max_concurrent: 1, max_waiting: 2 };

    fn tenant() -> TenantId {
        TenantId::single()
    }

    #[tokio::test]
    async fn queries_run_in_order_up_to_the_bound() {
        let a = Admission::default();
        let t = tenant();
        let first = a.enter(&t, ONE).await.unwrap();
        let mut second = Box::pin(a.enter(&t, ONE));
        let mut third = Box::pin(a.enter(&t, ONE));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        let refused = a.enter(&t, ONE).await.unwrap_err();
        assert!(refused.to_string().starts_with("too many outstanding requests"));
        drop(first);
        let second = second.await.unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(third.await.unwrap());
        assert!(a.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_frees_its_place_and_its_turn() {
        let a = Admission::default();
        let t = tenant();
        let first = a.enter(&t, ONE).await.unwrap();
        let mut gone = Box::pin(a.enter(&t, ONE));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut late = Box::pin(a.enter(&t, ONE));
        assert!(late.as_mut().now_or_never().is_none());
        // Given its turn, but dropped before it looked.
        drop(first);
        drop(gone);
        drop(late.await.unwrap());
        assert!(a.0.lock().is_empty());
    }

    #[tokio::test]
    async fn tenants_do_not_wait_for_each_other() {
        let a = Admission::default();
        let _held = a.enter(&tenant(), ONE).await.unwrap();
        let other = TenantId::parse("other").unwrap();
        assert!(a.enter(&other, ONE).now_or_never().unwrap().is_ok());
    }
}
