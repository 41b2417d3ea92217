//! The endpoints of one etcd: which of them is asked, and what happens when it does not answer.
//!
//! ```text
//! call ── current endpoint ── connected? ── token? ── request ── answer
//!             ▲                   │ no answer in time, "no leader", nonsense
//!             └─── the next ◀─────┘ connection dropped: the next use makes a new one
//! ```
//!
//! A request is repeated at the next endpoint only when it may be: always if it never left this process,
//! otherwise if it is a read or can be repeated. A compare-and-set that was repeated after it had happened would be
//! told to have failed.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::etcd::auth::Auth;
use crate::etcd::config::EtcdConfig;
use crate::etcd::connection::Connection;
use crate::etcd::fault::{Fault, FaultKind};
use crate::store::StoreError;

/// Whether a request may be sent again when nobody knows whether it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Always,
    /// Only if it never left this process.
    Unsent,
}

/// An answer, and who gave it.
pub(super) struct Answer<T> {
    pub(super) body: T,
    pub(super) from: Place,
}

/// One connection to one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    index: usize,
    generation: u64,
}

pub(super) struct Endpoints {
    all: Vec<Connection>,
    /// The endpoint that is asked first, as an index.
    current: AtomicUsize,
    auth: Auth,
    deadline: Duration,
}

// === impl Endpoints ===

impl Endpoints {
    pub(super) fn new(config: &EtcdConfig) -> Self {
        let connect = |address: &String| Connection::new(address.clone(), config.tls.clone());
        Self {
            all: config.endpoints.iter().map(connect).collect(),
            current: AtomicUsize::new(0),
            auth: Auth::new(config.username.clone(), config.password.clone()),
            deadline: config.request_timeout.0,
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(Connection::address)
    }

    /// Asks the current endpoint, then each of the others once.
    pub(super) async fn call<T, F>(
        &self,
        repeat: Repeat,
        rpc: impl Fn(Channel, MetadataMap) -> F,
    ) -> Result<Answer<T>, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let first = self.current.load(Ordering::Relaxed);
        let mut failed = StoreError::Unavailable("has no endpoint".to_owned());
        for n in 0..self.all.len() {
            let index = (first + n) % self.all.len();
            let fault = match self.attempt(index, &rpc).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let is_repeated = match fault.kind {
                FaultKind::Unsent => true,
                FaultKind::Lost | FaultKind::Nonsense => repeat == Repeat::Always,
                FaultKind::Final => false,
            };
            failed = fault.at(self.all[index].address());
            if !is_repeated {
                break;
            }
        }
        Err(failed)
    }

    /// Drops a connection that failed after its call was answered.
    pub(super) fn leave(&self, place: Place) {
        let next = (place.index + 1) % self.all.len();
        self.all[place.index].drop_if(place.generation);
        // Another call may have left it already.
        let _ =
            self.current.compare_exchange(place.index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn attempt<T, F>(
        &self,
        index: usize,
        rpc: &impl Fn(Channel, MetadataMap) -> F,
    ) -> Result<Answer<T>, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut from = Place { index, generation: 0 };
        let mut is_sent = false;
        let work = async {
            let (generation, channel) = self.all[index].open().await?;
            from.generation = generation;
            let credentials = self.auth.credentials(&channel, None).await?;
            is_sent = true;
            match rpc(channel.clone(), credentials.metadata()).await {
                Err(fault) if self.auth.is_on() && fault.is_token_refused() => {
                    let renewed = self.auth.credentials(&channel, Some(&credentials)).await?;
                    rpc(channel, renewed.metadata()).await
                }
                answered => answered,
            }
        };
        let result = tokio::time::timeout(self.deadline, work).await;
        let fault = match result {
            Ok(Ok(body)) => return Ok(Answer { body, from }),
            Ok(Err(fault)) => fault,
            Err(_elapsed) => Fault::overdue(is_sent),
        };
        if fault.kind != FaultKind::Final {
            self.leave(from);
        }
        Err(fault)
    }
}
