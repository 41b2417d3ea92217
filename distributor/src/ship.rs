//! Ships the parts of a push: each to all replicas of its partition at once, until a write quorum has it.
//!
//! A replica that does not know a series answers so and gets those items again with their labels, at
//! most twice. Once a quorum has answered, the last replica goes on in the background; the push holds
//! its bytes of the in-flight budget until that one has answered too.

mod decide;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use skald_model::{ErrorKind, TenantId};
use skald_ring::{Refresher, Replica};
use skald_rpc::ingester::{PushOutcome, PushRequest};
use skald_rpc::{IngesterApi, RpcError};
use skald_runtime::MemoryPermit;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::batches::Part;
use crate::cache::SeriesCache;
use crate::metrics::{Metrics, NoQuorum};
use crate::rejects::Rejects;
use crate::source::Source;
use decide::{Decision, Failed, decide, worse};

/// Times that items are sent again with their labels.
const MAX_RESENDS: usize = 2;

/// Finds the ingester behind a replica: in this process or a client of another.
pub trait IngesterDirectory: Debug + Send + Sync {
    /// Never fails: an address that leads nowhere shows as an error of each call.
    fn ingester(&self, replica: &Replica) -> Arc<dyn IngesterApi>;
}

/// A push on its way.
#[derive(Debug)]
pub(crate) struct Shipment {
    pub(crate) tenant: TenantId,
    pub(crate) view_version: u64,
    pub(crate) tag: u32,
    pub(crate) parts: Vec<Part>,
    pub(crate) source: Source,
    /// Returned when the last replica has answered.
    pub(crate) _permit: MemoryPermit,
}

/// What quorums have stored and refused, and the worst error of those partitions that had none.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) outcome: PushOutcome,
    pub(crate) rejects: Rejects,
    pub(crate) error: Option<RpcError>,
    /// A partition had no quorum, and one of its replicas said that the view is old.
    pub(crate) is_stale: bool,
}

/// Sends shipments. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Shipper {
    pub(crate) directory: Arc<dyn IngesterDirectory>,
    pub(crate) cache: Arc<SeriesCache>,
    pub(crate) background: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    pub(crate) refresher: Refresher,
    pub(crate) metrics: Metrics,
}

// === impl Shipper ===

impl Shipper {
    /// Sends all parts. Dropping the future stops nothing that was sent already.
    pub(crate) async fn ship(&self, shipment: Arc<Shipment>) -> Stored {
        let each = |at| self.push_part(Arc::clone(&shipment), at);
        let answers = join_all((0..shipment.parts.len()).map(each)).await;
        let mut stored = Stored::default();
        for (part, answer) in shipment.parts.iter().zip(answers) {
            match answer {
                Ok(outcome) => {
                    self.cache.announce(&part.fresh, shipment.tag);
                    stored.rejects.merge(&outcome.rejections);
                    add(&mut stored.outcome, &outcome);
                }
                Err(Failed { error, reason }) => {
                    self.metrics.no_quorum(reason);
                    stored.is_stale |= reason == NoQuorum::stale;
                    stored.error = Some(worse(stored.error.take(), error));
                }
            }
        }
        stored
    }

    async fn push_part(&self, shipment: Arc<Shipment>, at: usize) -> Result<PushOutcome, Failed> {
        let replicas = &shipment.parts[at].partition.replicas;
        if let [only] = replicas.as_slice() {
            let answer = self.push_replica(&shipment, at, only).await;
            return match decide(1, &[answer]) {
                Decision::Stored(outcome) => Ok(outcome),
                Decision::Failed(failed) => Err(failed),
                Decision::Wait => Err(Failed::internal("one answer of one")),
            };
        }
        let mut pending = FuturesUnordered::new();
        for i in 0..replicas.len() {
            let (this, shipment) = (self.clone(), Arc::clone(&shipment));
            pending.push(skald_runtime::spawn("push-replica", async move {
                let replica = &shipment.parts[at].partition.replicas[i];
                this.push_replica(&shipment, at, replica).await
            }));
        }
        let mut answers = Vec::with_capacity(replicas.len());
        while let Some(joined) = pending.next().await {
            let failed = |e| Err(RpcError::new(ErrorKind::Internal, format!("push task: {e}")));
            answers.push(joined.unwrap_or_else(failed));
            match decide(replicas.len(), &answers) {
                Decision::Wait => {}
                Decision::Stored(outcome) => {
                    pending.into_iter().for_each(|rest| self.leave_in_background(rest));
                    return Ok(outcome);
                }
                Decision::Failed(failed) => return Err(failed),
            }
        }
        Err(Failed::internal("all replicas answered without a decision"))
    }

    /// Lets the push to a last replica end on its own, unless too many do.
    fn leave_in_background(&self, rest: JoinHandle<Result<PushOutcome, RpcError>>) {
        match Arc::clone(&self.background).try_acquire_owned() {
            Ok(slot) => {
                skald_runtime::spawn("push-rest", async move {
                    // Its failure was counted where it happened; the quorum has the data.
                    drop(rest.await);
                    drop(slot);
                });
            }
            Err(_) => {
                self.metrics.background_dropped.inc();
                rest.abort();
            }
        }
    }

    /// One replica's answer within the deadline.
    async fn push_replica(
        &self,
        shipment: &Shipment,
        at: usize,
        replica: &Replica,
    ) -> Result<PushOutcome, RpcError> {
        let answer = tokio::time::timeout(self.timeout, self.send(shipment, at, replica)).await;
        let answer = answer.unwrap_or_else(|_| {
            let message = format!(
                "ingester {} did not answer within {:?} (setting distributor.push_timeout)",
                replica.id, self.timeout
            );
            Err(RpcError::new(ErrorKind::Timeout, message))
        });
        if let Err(e) = &answer {
            self.metrics.replica_failures.inc();
            if e.kind == ErrorKind::Conflict {
                // Although the others may have taken it.
                self.refresher.hint(shipment.view_version);
            }
            tracing::debug!(instance = %replica.id, error = %e, "push to replica failed");
        }
        answer
    }

    /// Sends a part, and again with labels what the replica does not know.
    async fn send(
        &self,
        shipment: &Shipment,
        at: usize,
        replica: &Replica,
    ) -> Result<PushOutcome, RpcError> {
        let ingester = self.directory.ingester(replica);
        let part = &shipment.parts[at];
        let mut batch = part.batch.clone();
        // Positions in the part of the items of `batch`, once it is not the whole part.
        let mut positions: Option<Vec<u32>> = None;
        let mut total = PushOutcome::default();
        for _ in 0..=MAX_RESENDS {
            let request = PushRequest {
                tenant: shipment.tenant.clone(),
                partition: part.partition.id,
                view_version: shipment.view_version,
                batch: batch.clone(),
            };
            let mut outcome = ingester.push(request).await?;
            let mut unknown = std::mem::take(&mut outcome.unknown_series);
            add(&mut total, &outcome);
            total.rejections.append(&mut outcome.rejections);
            if unknown.is_empty() {
                return Ok(total);
            }
            unknown.sort_unstable();
            unknown.dedup();
            self.metrics.label_resends.inc_by(unknown.len() as u64);
            let again = with_labels(shipment, part, &batch, &unknown, positions.as_deref());
            let (bytes, at) = again.ok_or_else(|| {
                let message = format!("ingester {} asked for items that were not sent", replica.id);
                RpcError::new(ErrorKind::Internal, message)
            })?;
            (batch, positions) = (bytes, Some(at));
        }
        let message = format!("ingester {} does not take the labels it asked for", replica.id);
        Err(RpcError::new(ErrorKind::Unavailable, message))
    }
}

/// The unknown items of `batch` with their labels, and their positions in the part.
fn with_labels(
    shipment: &Shipment,
    part: &Part,
    batch: &[u8],
    unknown: &[u32],
    positions: Option<&[u32]>,
) -> Option<(Bytes, Vec<u32>)> {
    let in_part = |n: &u32| match positions {
        None => Some(*n),
        Some(positions) => positions.get(usize::try_from(*n).ok()?).copied(),
    };
    let wanted: Vec<u32> = unknown.iter().map(in_part).collect::<Option<_>>()?;
    let item = |n: &u32| part.items.get(usize::try_from(*n).ok()?).copied();
    let items: Vec<_> = wanted.iter().map(item).collect::<Option<_>>()?;
    // The batch asks for labels in the order of its items.
    let mut labels = items.into_iter();
    let next = |_| labels.next().and_then(|item| shipment.source.labels(item));
    let bytes = skald_codec::batch::with_labels(batch, unknown, next).ok()?;
    Some((bytes.into(), wanted))
}

/// Adds the counts of `from`.
fn add(to: &mut PushOutcome, from: &PushOutcome) {
    to.samples += from.samples;
    to.histograms += from.histograms;
    to.exemplars += from.exemplars;
    to.entries += from.entries;
}
