//! The network between processes: calls take time, get lost, or find nobody.
//!
//! ```text
//! caller ─request, some ms─▶ [cut? lost?] ─▶ gate (epoch) ─▶ a task of the process called
//!        ◀─answer, some ms── [cut? lost?] ◀─────────────────────┘
//! ```
//!
//! Whoever waits for what was lost waits until its deadline, and does not know whether anything was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use skald_ingester::Ingester;
use skald_rpc::Incarnation;
use skald_runtime::{Rng, Scope};

use crate::trace::Trace;

/// A process by its name, and the zone it is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub name: String,
    pub zone: String,
    /// Tells processes of one name apart.
    pub life: u64,
}

/// An ingester that listens.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    pub(crate) incarnation: Incarnation,
    pub(crate) ingester: Ingester,
}

/// How bad the network is at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Longest usual delay of a message.
    pub delay_ms: u64,
    /// Of a thousand messages, so many get lost.
    pub loss: u64,
    /// Of a thousand messages, so many take seconds.
    pub slow: u64,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    pub(crate) request: Duration,
    pub(crate) answer: Duration,
    pub(crate) loses_request: bool,
    pub(crate) loses_answer: bool,
    pub(crate) loses_hint: bool,
    /// Work that nobody waits for any more is stopped.
    pub(crate) cancels: bool,
}

/// The network. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Net(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rng: Rng,
    trace: Trace,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hosts: BTreeMap<String, Host>,
    /// From, to; a name, a zone, or `*`.
    cuts: BTreeSet<(String, String)>,
    weather: Weather,
}

// === impl Weather ===

impl Weather {
    pub fn fair() -> Self {
        Self { delay_ms: 4, loss: 0, slow: 0 }
    }
}

// === impl Place ===

impl Place {
    /// The store of keys.
    pub fn coordinator() -> Self {
        Self { name: "etcd".to_owned(), zone: "etcd".to_owned(), life: 0 }
    }

    fn is(&self, what: &str) -> bool {
        what == "*" || what == self.name || what == self.zone
    }
}

// === impl Net ===

impl Net {
    pub fn new(rng: Rng, trace: Trace) -> Self {
        let (hosts, cuts) = (BTreeMap::new(), BTreeSet::new());
        let state = Mutex::new(State { hosts, cuts, weather: Weather::fair() });
        Self(Arc::new(Inner { rng, trace, state }))
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Lets nothing through from one to the other: names of processes, zones, or `*`.
    pub fn cut(&self, from: &str, to: &str) {
        self.0.state.lock().cuts.insert((from.to_owned(), to.to_owned()));
    }

    pub fn join(&self, from: &str, to: &str) {
        self.0.state.lock().cuts.remove(&(from.to_owned(), to.to_owned()));
    }

    /// Ends all that is wrong.
    pub fn heal(&self) {
        let mut state = self.0.state.lock();
        state.cuts.clear();
        state.weather = Weather::fair();
    }

    pub fn set_weather(&self, weather: Weather) {
        self.0.state.lock().weather = weather;
    }

    pub(crate) fn is_cut(&self, from: &Place, to: &Place) -> bool {
        let state = self.0.state.lock();
        from != to && state.cuts.iter().any(|(f, t)| from.is(f) && to.is(t))
    }

    /// Decides about a call.
    pub(crate) fn roll(&self, from: &Place, to: &Place) -> Dice {
        let weather = self.0.state.lock().weather;
        let rng = &self.0.rng;
        let is_local = from == to;
        let of_thousand = |n: u64| rng.below(1000) < n && !is_local;
        let delay = || {
            let usual = Duration::from_micros(100 + rng.below(weather.delay_ms * 1000 + 1));
            if of_thousand(weather.slow) {
                usual + Duration::from_millis(rng.below(6000))
            } else {
                usual
            }
        };
        Dice {
            request: delay(),
            answer: delay(),
            loses_request: of_thousand(weather.loss),
            loses_answer: of_thousand(weather.loss),
            loses_hint: of_thousand(50 + weather.loss),
            cancels: rng.below(2) == 0,
        }
    }

    pub(crate) fn listen(&self, addr: &str, host: Host) {
        self.0.state.lock().hosts.insert(addr.to_owned(), host);
    }

    /// Takes the process away, from wherever it listened.
    pub(crate) fn hang_up(&self, life: u64) {
        self.0.state.lock().hosts.retain(|_, host| host.place.life != life);
    }

    pub(crate) fn find(&self, addr: &str) -> Option<Host> {
        self.0.state.lock().hosts.get(addr).cloned()
    }
}
