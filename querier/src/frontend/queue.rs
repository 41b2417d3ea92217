//! Which query runs next: a queue for each tenant, and the process's places shared fairly between them.
//!
//! A free place goes to the waiting tenant whose running queries cost least, and of equal ones to the
//! one that was served longest ago: with equal costs that is round robin, and a tenant with long
//! queries gets fewer places than one with short ones.
//!
//! Invariants: at most `max_running` permits are alive, and of a tenant at most its `max_concurrent`;
//! while a place is free nobody waits whose tenant may run more; waiters of a tenant get their turn in
//! the order in which they came; a waiter that goes away takes nothing with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use skald_model::TenantId;
use tokio::sync::oneshot;

use crate::Error;

/// The queues of all tenants. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    max_running: usize,
    gauges: Gauges,
}

/// What is shown of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Turns given so far; also the clock of [`Gate::served`].
    turns: u64,
    next_waiter: u64,
    gates: HashMap<TenantId, Gate>,
}

/// One tenant.
#[derive(Debug, Default)]
struct Gate {
    running: usize,
    max_concurrent: usize,
    /// Of the running queries together.
    cost: u64,
    /// When it last got a place.
    served: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    cost: u64,
    turn: oneshot::Sender<Permit>,
}

/// The right to run one query; the next waiter gets the place on drop.
#[derive(Debug)]
#[must_use = "the query may run only while the permit lives"]
pub(crate) struct Permit {
    /// `None` once nothing is to be given back.
    held: Option<(Queue, TenantId)>,
    cost: u64,
}

/// A tenant's bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Queries that run at once; 0 = unlimited.
    pub(crate) max_concurrent: usize,
    /// Queries that wait.
    pub(crate) max_waiting: usize,
    /// What this query costs, against others.
    pub(crate) cost: u64,
}

/// Takes a waiter out of the queue when its request goes away.
struct Leave<'q> {
    queue: &'q Queue,
    tenant: &'q TenantId,
    id: u64,
}

// === impl Queue ===

impl Queue {
    /// `max_running` of 0 means unlimited.
    pub(crate) fn new(max_running: usize, gauges: Gauges) -> Self {
        let max_running = if max_running == 0 { usize::MAX } else { max_running };
        Self(Arc::new(Shared { state: Mutex::default(), max_running, gauges }))
    }

    /// Waits for its turn, or fails at once when too many wait already. Cancel-safe.
    pub(crate) async fn enter(&self, tenant: &TenantId, bounds: Bounds) -> Result<Permit, Error> {
        let (id, turn) = self.line_up(tenant, bounds)?;
        let _leave = Leave { queue: self, tenant, id };
        turn.await.map_err(|_| Error::Canceled)
    }

    fn line_up(
        &self,
        tenant: &TenantId,
        bounds: Bounds,
    ) -> Result<(u64, oneshot::Receiver<Permit>), Error> {
        let mut state = self.0.state.lock();
        let max_running = self.0.max_running;
        let free = state.running < max_running;
        let Bounds { max_waiting, cost, .. } = bounds;
        let max_concurrent =
            if bounds.max_concurrent == 0 { usize::MAX } else { bounds.max_concurrent };
        let gate = state.gates.entry(tenant.clone()).or_default();
        gate.max_concurrent = max_concurrent;
        let (running, waiting) = (gate.running, gate.waiting.len());
        if !(free && running < max_concurrent) && waiting >= max_waiting {
            state.forget_idle(tenant);
            let max_concurrent = max_concurrent.min(max_running);
            return Err(Error::TooManyRequests { running, max_concurrent, waiting, max_waiting });
        }
        let (give, turn) = oneshot::channel();
        let id = state.next_waiter;
        state.next_waiter += 1;
        if let Some(gate) = state.gates.get_mut(tenant) {
            gate.waiting.push_back(Waiter { id, cost, turn: give });
            self.0.gauges.waiting.inc();
        }
        self.give_turns(&mut state);
        Ok((id, turn))
    }

    /// Lets run whoever may.
    fn give_turns(&self, state: &mut State) {
        while state.running < self.0.max_running
            && let Some(tenant) = state.next()
        {
            let Some((waiter, gate)) = state.gates.get_mut(&tenant).and_then(Gate::pop) else {
                return;
            };
            self.0.gauges.waiting.dec();
            let held = Some((self.clone(), tenant.clone()));
            let permit = Permit { held, cost: waiter.cost };
            match waiter.turn.send(permit) {
                Ok(()) => {
                    state.turns += 1;
                    gate.served = state.turns;
                    gate.running += 1;
                    gate.cost = gate.cost.saturating_add(waiter.cost);
                    state.running += 1;
                    self.0.gauges.running.inc();
                }
                // That waiter left; its permit must not come back here.
                Err(mut permit) => permit.held = None,
            }
        }
    }

    fn release(&self, tenant: &TenantId, cost: u64) {
        let mut state = self.0.state.lock();
        state.running = state.running.saturating_sub(1);
        self.0.gauges.running.dec();
        if let Some(gate) = state.gates.get_mut(tenant) {
            gate.running = gate.running.saturating_sub(1);
            gate.cost = gate.cost.saturating_sub(cost);
        }
        self.give_turns(&mut state);
        state.forget_idle(tenant);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((queue, tenant)) = self.held.take() {
            queue.release(&tenant, self.cost);
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.0.state.lock();
        let Some(gate) = state.gates.get_mut(self.tenant) else { return };
        let before = gate.waiting.len();
        gate.waiting.retain(|w| w.id != self.id);
        if gate.waiting.len() < before {
            self.queue.0.gauges.waiting.dec();
        }
        state.forget_idle(self.tenant);
    }
}

// === impl State ===

impl State {
    /// Whose turn it is, of the tenants that wait and may run more.
    fn next(&self) -> Option<TenantId> {
        let may = |gate: &Gate| !gate.waiting.is_empty() && gate.running < gate.max_concurrent;
        let waiting = self.gates.iter().filter(|(_, gate)| may(gate));
        let next = waiting.min_by_key(|(_, gate)| (gate.cost, gate.served));
        next.map(|(tenant, _)| tenant.clone())
    }

    fn forget_idle(&mut self, tenant: &TenantId) {
        if self.gates.get(tenant).is_some_and(|g| g.running == 0 && g.waiting.is_empty()) {
            self.gates.remove(tenant);
        }
    }
}

// === impl Gate ===

impl Gate {
    fn pop(&mut self) -> Option<(Waiter, &mut Self)> {
        self.waiting.pop_front().map(|waiter| (waiter, self))
    }
}

#[cfg(test)]
mod tests;
