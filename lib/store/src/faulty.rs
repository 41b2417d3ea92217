//! A store that fails on purpose, for tests: seeded, so that a failing run can be repeated.
//!
//! Faults are given per operation, always, by probability ([`FaultyStore::sometimes`]) or on the n-th
//! call from now on ([`FaultyStore::on_nth`]); scripted ones win. A fault that makes no sense for an
//! operation (a stale list of a put) does nothing.

mod apply;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, ObjectStore};
use parking_lot::Mutex;
use skald_runtime::Rng;

use crate::error::{Reason, timed_out};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    Get,
    Head,
    Delete,
    /// All listings.
    List,
    /// A multipart upload; its faults strike when it is completed.
    Upload,
    Copy,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call takes this much longer (tokio's time).
    Latency(Duration),
    /// A transient error; nothing was done.
    ErrorBefore,
    /// A time-out although the call did its work.
    ErrorAfter,
    /// A create answers `AlreadyExists` although nothing landed (S3's 409).
    FalseConflict,
    /// A create lands, yet answers `AlreadyExists` (its reply was lost and the client tried again).
    OwnConflict,
    /// A get ends early without an error.
    TornGet,
    /// A get fails in the middle.
    BrokenGet,
    /// A listing does not show the latest puts.
    StaleList,
    /// A conditional put overwrites.
    IgnoreCondition,
    /// This and every later call of any kind fails, as after a crash, until [`FaultyStore::clear`].
    Halt,
}

/// Wraps a store with faults.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    rng: Rng,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(Op, Fault, f64)>,
    script: Vec<(Op, u64, Fault)>,
    calls: Vec<Op>,
    injected: Vec<(Op, Fault)>,
    recent_puts: Vec<Path>,
    halted: bool,
}

const RECENT_PUTS: usize = 16;

impl FaultyStore {
    /// No faults until some are asked for. The same seed, faults and sequence of calls give the same outcome.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> Arc<Self> {
        Arc::new(Self { inner, rng: Rng::seeded(seed), state: Mutex::default() })
    }

    /// The store without faults.
    pub fn inner(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner)
    }

    /// Each `op` has `fault`.
    pub fn always(&self, op: Op, fault: Fault) {
        self.sometimes(op, fault, 1.0);
    }

    /// Each `op` has `fault` with this probability, unless an earlier rule struck.
    pub fn sometimes(&self, op: Op, fault: Fault, probability: f64) {
        self.state.lock().rules.push((op, fault, probability));
    }

    /// The `n`-th `op` from now on (the next one is 1) has `fault`.
    pub fn on_nth(&self, op: Op, n: u64, fault: Fault) {
        let mut state = self.state.lock();
        let at = count(&state, op).saturating_add(n);
        state.script.push((op, at, fault));
    }

    /// Ends all faults.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.rules.clear();
        state.script.clear();
        state.halted = false;
    }

    /// How many calls of `op` there were.
    pub fn calls(&self, op: Op) -> u64 {
        count(&self.state.lock(), op)
    }

    /// The faults that struck, in order.
    pub fn injected(&self) -> Vec<(Op, Fault)> {
        self.state.lock().injected.clone()
    }

    /// Counts the call and decides its fault.
    fn decide(&self, op: Op) -> Option<Fault> {
        let mut state = self.state.lock();
        state.calls.push(op);
        let nth = count(&state, op);
        let scripted = state.script.iter().find(|(o, at, _)| *o == op && *at == nth);
        let mut struck = scripted.map(|(.., fault)| *fault);
        for (o, fault, probability) in &state.rules {
            // Draw for each rule of this op, struck or not, so that scripts do not shift the sequence.
            if *o == op && self.unit() < *probability {
                struck = struck.or(Some(*fault));
            }
        }
        if struck == Some(Fault::Halt) {
            state.halted = true;
        }
        if state.halted {
            struck = Some(Fault::ErrorBefore);
        }
        if let Some(fault) = struck {
            state.injected.push((op, fault));
        }
        struck
    }

    /// Uniform in [0, 1).
    fn unit(&self) -> f64 {
        const SCALE: u32 = 1 << 30;
        let drawn = u32::try_from(self.rng.below(u64::from(SCALE))).unwrap_or(0);
        f64::from(drawn) / f64::from(SCALE)
    }

    fn remember_put(&self, key: &Path) {
        let recent = &mut self.state.lock().recent_puts;
        recent.push(key.clone());
        let excess = recent.len().saturating_sub(RECENT_PUTS);
        recent.drain(..excess);
    }

    fn recent_puts(&self) -> Vec<Path> {
        self.state.lock().recent_puts.clone()
    }
}

fn count(state: &State, op: Op) -> u64 {
    u64::try_from(state.calls.iter().filter(|o| **o == op).count()).unwrap_or(u64::MAX)
}

fn transient(key: &Path) -> Error {
    Reason::Throttled.into_error(key.as_ref(), "injected: slow down")
}

fn lost_reply() -> Error {
    timed_out("injected: the reply was lost")
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[cfg(test)]
mod tests;
