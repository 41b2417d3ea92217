//! Asks ingesters: every readable partition, as many of its replicas as make a quorum.
//!
//! Invariant: the answer of a partition meets every acknowledged write, or the request fails naming
//! the partition. Data is never silently left out.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use skald_model::ErrorKind;
use skald_ring::{Coordinator, Partition, Replica, quorum};
use skald_rpc::ingester::Head;
use skald_rpc::{IngesterApi, RpcError};
use tracing::debug;

use crate::Error;
use crate::metrics::Metrics;
use crate::scope::Scope;

/// Finds the ingester behind a replica of the cluster view: in this process or elsewhere.
pub trait IngesterDirectory: Debug + Send + Sync {
    /// The ingester; connecting happens on its first call.
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi>;
}

/// Answers of all partitions.
#[derive(Debug)]
pub(crate) struct Heads<T> {
    /// The newest manifest commit that any answer relies on.
    pub(crate) manifest_version: u64,
    /// Per partition the answers of its replicas.
    pub(crate) partitions: Vec<Vec<T>>,
}

// === impl Heads ===

impl<T> Heads<T> {
    /// All answers, of all partitions alike.
    pub(crate) fn flat(self) -> Vec<T> {
        self.partitions.into_iter().flatten().collect()
    }
}

/// Who is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ingesters {
    coordinator: Arc<dyn Coordinator>,
    directory: Arc<dyn IngesterDirectory>,
    metrics: Metrics,
}

// === impl Ingesters ===

impl Ingesters {
    pub(crate) fn new(
        coordinator: Arc<dyn Coordinator>,
        directory: Arc<dyn IngesterDirectory>,
        metrics: Metrics,
    ) -> Self {
        Self { coordinator, directory, metrics }
    }

    /// Calls replicas of every readable partition and returns as soon as each has its quorum.
    pub(crate) async fn ask<T: Send>(
        &self,
        scope: &Scope,
        call: impl Fn(Arc<dyn IngesterApi>) -> BoxFuture<'static, Result<Head<T>, RpcError>> + Sync,
    ) -> Result<Heads<T>, Error> {
        let view = self.coordinator.view();
        let partitions = view.readable().map(|p| self.ask_partition(scope, p, &call));
        let answers = try_join_all(partitions).await?;
        let newest = answers.iter().flatten().map(|head| head.manifest_version).max();
        let manifest_version = newest.unwrap_or(0);
        let data = |heads: Vec<Head<T>>| heads.into_iter().map(|head| head.data).collect();
        let partitions = answers.into_iter().map(data).collect();
        Ok(Heads { manifest_version, partitions })
    }

    async fn ask_partition<T: Send>(
        &self,
        scope: &Scope,
        partition: &Partition,
        call: &(impl Fn(Arc<dyn IngesterApi>) -> BoxFuture<'static, Result<Head<T>, RpcError>> + Sync),
    ) -> Result<Vec<Head<T>>, Error> {
        let n = partition.replicas.len();
        let needed = quorum::read(n);
        let one = |replica: &Replica| {
            let id = replica.id.clone();
            let answer = call(self.directory.ingester(replica));
            async move { (id, answer.await) }
        };
        let mut pending: FuturesUnordered<_> = partition.replicas.iter().map(one).collect();
        let mut answers = Vec::with_capacity(needed);
        let mut failed: Option<RpcError> = None;
        while answers.len() < needed {
            match pending.next().await {
                Some((_, Ok(head))) => {
                    scope.add_head();
                    answers.push(head);
                }
                Some((replica, Err(error))) => {
                    self.metrics.replica_failures.inc();
                    debug!(partition = partition.id, %replica, %error, "replica did not answer");
                    failed = Some(error);
                    if answers.len() + pending.len() < needed {
                        break;
                    }
                }
                None => break,
            }
        }
        if answers.len() >= needed {
            return Ok(answers);
        }
        Err(no_quorum(partition.id, answers.len(), needed, failed))
    }

    /// Whether one answer is all there is to get: one partition of which one replica is asked.
    pub(crate) fn is_one(&self) -> bool {
        let view = self.coordinator.view();
        let mut partitions = view.readable();
        let first = partitions.next();
        first.is_some_and(|p| quorum::read(p.replicas.len()) == 1) && partitions.next().is_none()
    }

    /// All replicas of all readable partitions, for calls that have no quorum.
    pub(crate) fn all(&self) -> Vec<(u32, Arc<dyn IngesterApi>)> {
        let view = self.coordinator.view();
        let partition = |p: &Arc<Partition>| {
            let ingesters: Vec<_> =
                p.replicas.iter().map(|r| (p.id, self.directory.ingester(r))).collect();
            ingesters
        };
        view.readable().flat_map(partition).collect()
    }
}

fn no_quorum(partition: u32, got: usize, needed: usize, last: Option<RpcError>) -> Error {
    let cause = last.as_ref().map_or("no replica", |e| e.message.as_str());
    match last.as_ref().map(|e| e.kind) {
        // Every replica would refuse it alike.
        Some(kind @ (ErrorKind::Invalid | ErrorKind::LimitExceeded)) => Error::of_kind(kind, cause),
        _ => Error::Unavailable(format!(
            "partition {partition}: only {got} of the {needed} replicas needed answered: {cause}"
        )),
    }
}
