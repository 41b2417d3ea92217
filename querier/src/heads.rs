//! Asks ingesters: every readable partition, as many of its replicas as make a quorum.
//!
//! Invariant: the answer of a partition meets every acknowledged write, or the request fails naming
//! the partition, or says that it lacks it where the client allowed that. Data is never silently left out, also not by a process that does not see the
//! coordinator: ingesters say which partitions there are. A replica that lost its data and rebuilds counts
//! among the replicas of its partition, but is not asked.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use skald_model::ErrorKind;
use skald_ring::{Coordinator, Partition, Refresher, Replica, View, quorum};
use skald_rpc::ingester::Head;
use skald_rpc::{IngesterApi, RpcError};
use tracing::debug;

use crate::Error;
use crate::metrics::{Metrics, NoQuorum};
use crate::scope::Scope;

/// How often all is asked again because partitions were added meanwhile.
const ROUNDS: u32 = 3;

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

/// An ingester with the number of its partition.
type Placed = (u32, Arc<dyn IngesterApi>);

/// Who is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ingesters {
    coordinator: Arc<dyn Coordinator>,
    refresher: Refresher,
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
        let refresher = Refresher::new(Arc::clone(&coordinator));
        Self { coordinator, refresher, directory, metrics }
    }

    /// Calls replicas of every readable partition and returns as soon as each has its quorum.
    pub(crate) async fn ask<T: Send>(
        &self,
        scope: &Scope,
        call: impl Fn(Arc<dyn IngesterApi>) -> BoxFuture<'static, Result<Head<T>, RpcError>> + Sync,
    ) -> Result<Heads<T>, Error> {
        let mut rounds = ROUNDS;
        let answers = loop {
            let view = self.view()?;
            let partitions = view.readable().map(|p| self.ask_partition(scope, &view, p, &call));
            let answers = try_join_all(partitions).await?;
            if !self.misses_some(scope, &view, &answers).await? {
                break answers;
            }
            if rounds == 0 {
                let message = "the partitions of the cluster change all the time: retry";
                return Err(Error::Unavailable(message.to_owned()));
            }
            rounds -= 1;
        };
        let newest = answers.iter().flatten().map(|head| head.manifest_version).max();
        let manifest_version = newest.unwrap_or(0);
        let data = |heads: Vec<Head<T>>| heads.into_iter().map(|head| head.data).collect();
        let partitions = answers.into_iter().map(data).collect();
        Ok(Heads { manifest_version, partitions })
    }

    /// Whether somebody knows of partitions that `view` does not have, and this process by now. An error if it cannot
    /// learn of them: a writer may have, and there may be data.
    async fn misses_some<T>(
        &self,
        scope: &Scope,
        view: &View,
        answers: &[Vec<Head<T>>],
    ) -> Result<bool, Error> {
        let asked: BTreeSet<u32> = view.readable().map(|p| p.id).collect();
        let own = self.coordinator.view();
        if own.version != view.version && own.readable().any(|p| !asked.contains(&p.id)) {
            return Ok(true);
        }
        let said = answers.iter().flatten().map(|head| &head.readable);
        let newer = said.filter(|said| said.view_version > own.version);
        let missed = newer.filter_map(|said| {
            let id = said.partitions.iter().find(|id| !asked.contains(id))?;
            Some((*id, said.view_version))
        });
        let Some((id, theirs)) = missed.max_by_key(|(_, version)| *version) else {
            return Ok(false);
        };
        if self.refresher.other(own.version).await.is_some() {
            return Ok(true);
        }
        self.metrics.no_quorum(NoQuorum::stale);
        let message = format!(
            "partition {id} is read in view {theirs} of the cluster, and this process knows view {} only: \
             it does not see the coordinator",
            own.version
        );
        if scope.partial.is_allowed() {
            scope.partial.lacks(id, message);
            return Ok(false);
        }
        Err(Error::Unavailable(message))
    }

    /// The cluster as far as it is known; an error when nothing is, because there may be recent data.
    fn view(&self) -> Result<Arc<View>, Error> {
        let view = self.coordinator.view();
        if view.version == 0 {
            return Err(Error::Unavailable("the cluster is not known yet: retry".to_owned()));
        }
        if view.readable().next().is_none() {
            let message = "no partition is active yet: wait until the ingesters of one are ready";
            return Err(Error::Unavailable(message.to_owned()));
        }
        Ok(view)
    }

    /// Asks a partition, and once more if its replicas turn out to be others than the view says.
    async fn ask_partition<T: Send>(
        &self,
        scope: &Scope,
        view: &View,
        partition: &Partition,
        call: &(impl Fn(Arc<dyn IngesterApi>) -> BoxFuture<'static, Result<Head<T>, RpcError>> + Sync),
    ) -> Result<Vec<Head<T>>, Error> {
        let mut failed = match self.ask_replicas(scope, view, partition, call).await {
            Ok(answers) => return Ok(answers),
            Err(failed) => failed,
        };
        if failed.reason() == NoQuorum::stale
            && let Some(view) = self.refresher.other(view.version).await
            && let Some(now) = view.readable().find(|p| p.id == partition.id)
            && now.replicas != partition.replicas
        {
            self.metrics.no_quorum(failed.reason());
            match self.ask_replicas(scope, &view, now, call).await {
                Ok(answers) => return Ok(answers),
                Err(again) => failed = again,
            }
        }
        self.metrics.no_quorum(failed.reason());
        // Whoever asks is told what is wrong with the question.
        let is_refusal = |e: &RpcError| {
            matches!(e.kind, ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::LimitExceeded)
        };
        let is_refused = failed.errors.iter().any(is_refusal);
        let answers = std::mem::take(&mut failed.answers);
        let error = failed.into_error(partition);
        if is_refused || !scope.partial.is_allowed() {
            return Err(error);
        }
        scope.partial.lacks(partition.id, error.to_string());
        Ok(answers)
    }

    /// Asks all replicas that can answer, until enough have.
    async fn ask_replicas<T: Send>(
        &self,
        scope: &Scope,
        view: &View,
        partition: &Partition,
        call: &(impl Fn(Arc<dyn IngesterApi>) -> BoxFuture<'static, Result<Head<T>, RpcError>> + Sync),
    ) -> Result<Vec<Head<T>>, Failed<T>> {
        let needed = quorum::read(partition.replicas.len());
        let one = |replica: &Replica| {
            let id = replica.id.clone();
            let answer = call(self.directory.ingester(replica));
            async move { (id, answer.await) }
        };
        // What a replica lacks that rebuilds, another one of the quorum must have.
        let complete: Vec<&Replica> = partition.replicas.iter().filter(|r| !r.rebuilding).collect();
        let n_complete = complete.len();
        let mut failed = Failed { needed, n_complete, answers: Vec::new(), errors: Vec::new() };
        if n_complete < needed && !scope.partial.is_allowed() {
            return Err(failed);
        }
        let mut pending: FuturesUnordered<_> = complete.into_iter().map(one).collect();
        // Some of it is better than nothing only where that is allowed.
        let least = if scope.partial.is_allowed() { 1 } else { needed };
        let mut answers = Vec::with_capacity(needed);
        while answers.len() < needed && answers.len() + pending.len() >= least {
            match pending.next().await {
                Some((_, Ok(head))) => {
                    scope.add_head();
                    answers.push(head);
                }
                Some((replica, Err(error))) => {
                    self.metrics.replica_failures.inc();
                    debug!(partition = partition.id, %replica, %error, "replica did not answer");
                    if error.kind == ErrorKind::Conflict {
                        self.refresher.hint(view.version);
                    }
                    failed.errors.push(error);
                }
                None => break,
            }
        }
        if answers.len() >= needed {
            return Ok(answers);
        }
        failed.answers = answers;
        Err(failed)
    }

    /// Whether one answer is all there is to get: one partition of which one replica is asked.
    pub(crate) fn is_one(&self) -> bool {
        let view = self.coordinator.view();
        let mut partitions = view.readable();
        let first = partitions.next();
        first.is_some_and(|p| quorum::read(p.replicas.len()) == 1) && partitions.next().is_none()
    }

    /// All replicas of all readable partitions, for live tails: what arrives from now on arrives at those
    /// that rebuild, too.
    pub(crate) fn all(&self) -> Result<Vec<Placed>, Error> {
        let view = self.view()?;
        let partition = |p: &Arc<Partition>| {
            let ingesters: Vec<_> =
                p.replicas.iter().map(|r| (p.id, self.directory.ingester(r))).collect();
            ingesters
        };
        Ok(view.readable().flat_map(partition).collect())
    }
}

/// A partition of which too few replicas answered.
#[derive(Debug)]
struct Failed<T> {
    needed: usize,
    /// Replicas that do not rebuild.
    n_complete: usize,
    /// Of those that did, where that is of use to somebody.
    answers: Vec<Head<T>>,
    errors: Vec<RpcError>,
}

// === impl Failed ===

impl<T> Failed<T> {
    fn reason(&self) -> NoQuorum {
        if self.n_complete < self.needed {
            return NoQuorum::rebuilding;
        }
        if self.errors.iter().any(|e| e.kind == ErrorKind::Conflict) {
            return NoQuorum::stale;
        }
        match self.errors.last().map(|e| e.kind) {
            Some(ErrorKind::Invalid | ErrorKind::NotFound) => NoQuorum::invalid,
            Some(ErrorKind::LimitExceeded) => NoQuorum::limit,
            Some(ErrorKind::Timeout) => NoQuorum::timeout,
            Some(ErrorKind::Internal | ErrorKind::Corrupt) => NoQuorum::internal,
            _ => NoQuorum::unavailable,
        }
    }

    fn into_error(self, partition: &Partition) -> Error {
        let (id, needed, n) = (partition.id, self.needed, partition.replicas.len());
        let n_rebuild = n - self.n_complete;
        if self.n_complete < needed {
            return Error::Unavailable(format!(
                "partition {id}: {n_rebuild} of its {n} replicas rebuild after they lost their data, \
                 and {needed} complete ones are needed"
            ));
        }
        let cause = self.errors.last().map_or("no replica", |e| e.message.as_str());
        match self.errors.last().map(|e| e.kind) {
            // Every replica would refuse it alike.
            Some(kind @ (ErrorKind::Invalid | ErrorKind::LimitExceeded)) => {
                Error::of_kind(kind, cause)
            }
            _ => {
                let rebuild = match n_rebuild {
                    0 => String::new(),
                    n => format!(" ({n} more rebuild after they lost their data)"),
                };
                Error::Unavailable(format!(
                    "partition {id}: only {} of the {needed} replicas needed can answer{rebuild}: {cause}",
                    self.n_complete.saturating_sub(self.errors.len()),
                ))
            }
        }
    }
}
