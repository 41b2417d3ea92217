//! A push: check the batch, apply it, log it, wait for the disk, answer.

use bytes::Bytes;
use skald_model::{ErrorKind, Labels, SeriesId};
use skald_rpc::RpcError;
use skald_rpc::ingester::{PushOutcome, PushRequest};
use skald_runtime::crash_point;

use crate::apply::{
    Applied, Mode, Rules, accepted_logs, accepted_metrics, apply_metrics, logs_labels,
    metrics_labels, plan_logs, store_logs,
};
use crate::error::invalid_batch;
use crate::head::NEVER;
use crate::head::metrics::MetricsHead;
use crate::index::Ref;
use crate::ingester::Ingester;
use crate::parsed::{LogsBatch, MetricsBatch, Parsed};
use crate::tenant::{Part, Tenant};

/// WAL record: a batch as it was accepted.
pub(crate) const KIND_BATCH: u8 = 1;
/// WAL record: a batch with labels and no samples.
pub(crate) const KIND_LABELS: u8 = 2;

/// Series whose labels go into one record.
const RELOG_CHUNK: usize = 4096;

/// An applied batch whose record is not yet on stable storage.
struct Logged {
    outcome: PushOutcome,
    /// `None` when nothing had to be logged.
    seq: Option<u64>,
    n_relogged: usize,
}

impl Ingester {
    /// Stores a batch; answers once it is on stable storage.
    pub(crate) async fn store(&self, request: PushRequest) -> Result<PushOutcome, RpcError> {
        self.check(&request)?;
        // Held until the answer: a flush that raises the bar has all that was let in before.
        let _inside = self.0.admission.enter(&request).inspect_err(|e| {
            self.0.metrics.rejected(id_of(e), 1);
        })?;
        let parsed = Parsed::parse(&request.batch).map_err(|e| invalid_batch(&e))?;
        let tenant = self.tenant(&request.tenant);
        let now_ms = self.0.deps.clock.now_ms();
        let limits = self.0.deps.limits.get(&request.tenant);
        let view = self.0.deps.coordinator.view();
        let share = view.shard_len(limits.ingestion_tenant_shard_size) as u64;
        let mode = Mode::Push { share };
        let rules = Rules { tenant: &request.tenant, limits: &limits, mode };
        let (logged, tail) = match parsed {
            Parsed::Metrics(batch) => {
                (self.store_metrics(&tenant, &batch, request.batch, &rules)?, None)
            }
            Parsed::Logs(batch) => {
                let (logged, tail) = self.store_logs(&tenant, batch, &rules)?;
                (logged, tail)
            }
        };
        if let Some(seq) = logged.seq {
            crash_point!("push.logged");
            self.0.wal.commit(seq).await.map_err(|e| wal_error(&e))?;
            crash_point!("push.durable");
        }
        if let Some((batch, streams)) = tail {
            self.0.metrics.tail_dropped.inc_by(tenant.tails.send(&batch, &streams));
        }
        let outcome = &logged.outcome;
        tenant.usage.add(now_ms, outcome.samples + outcome.histograms, outcome.entries);
        self.0.metrics.pushed(outcome, logged.n_relogged);
        Ok(logged.outcome)
    }

    /// Whether there is room for a push.
    fn check(&self, request: &PushRequest) -> Result<(), RpcError> {
        if self.is_stopping() {
            return Err(RpcError::new(
                ErrorKind::Unavailable,
                "err-skald-ingester-stopping: the ingester is shutting down",
            ));
        }
        let max = self.0.config.wal.buffer_size.0;
        if request.batch.len() as u64 + 1024 > max {
            let message = format!(
                "err-skald-wal-record-too-large: batch of {} bytes exceeds ingester.wal.buffer_size ({max})",
                request.batch.len(),
            );
            return Err(RpcError::new(ErrorKind::Invalid, message));
        }
        let (used, limit) = (self.0.memory.used(), self.0.memory_limit);
        if used / 3 >= limit / 4 {
            self.0.flush_soon.notify_one();
        }
        if used + request.batch.len() as u64 > limit {
            self.0.metrics.rejected("err-skald-ingester-memory", 1);
            let message = format!(
                "err-skald-ingester-memory: recent data takes {used} bytes and the limit is {limit}; \
                 retry, or raise ingester.memory_limit (push of tenant {})",
                request.tenant,
            );
            return Err(RpcError::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }

    fn store_metrics(
        &self,
        tenant: &Tenant,
        batch: &MetricsBatch,
        raw: Bytes,
        rules: &Rules<'_>,
    ) -> Result<Logged, RpcError> {
        let now_ms = self.0.deps.clock.now_ms();
        let mut head = tenant.metrics.write();
        let applied = apply_metrics(&mut head, batch, rules);
        crash_point!("push.applied");
        tenant.account(&self.0.memory, Part::Metrics, head.bytes());
        let record = if applied.refused.is_empty() {
            (!batch.items.is_empty() || !batch.metadata.is_empty()).then_some(raw)
        } else {
            accepted_metrics(batch, &applied.refused)
        };
        let log = |head: &mut MetricsHead, kind, bytes: &Bytes| {
            let seq = self.0.wal.append(&tenant.id, kind, &[bytes])?.seq;
            head.log.note(seq, now_ms);
            Ok(seq)
        };
        let mut seq = None;
        for (i, chunk) in applied.relog.chunks(RELOG_CHUNK).enumerate() {
            let labels = metrics_labels(named(chunk, |r| head.index.labels(r)));
            match log(&mut head, KIND_LABELS, &labels) {
                Ok(s) => seq = Some(s),
                Err(e) => {
                    let left = &applied.relog[i * RELOG_CHUNK..];
                    unlog(&mut head, left.iter().map(|(_, r)| *r));
                    unlog_batch(&mut head, batch);
                    return Err(wal_error(&e));
                }
            }
        }
        if let Some(record) = record {
            match log(&mut head, KIND_BATCH, &record) {
                Ok(s) => seq = Some(s),
                Err(e) => {
                    unlog_batch(&mut head, batch);
                    return Err(wal_error(&e));
                }
            }
        }
        let Applied { outcome, relog, .. } = applied;
        Ok(Logged { outcome, seq, n_relogged: relog.len() })
    }

    fn store_logs(
        &self,
        tenant: &Tenant,
        batch: LogsBatch,
        rules: &Rules<'_>,
    ) -> Result<(Logged, Option<Tailed>), RpcError> {
        let now_ms = self.0.deps.clock.now_ms();
        let mut head = tenant.logs.write();
        let planned = plan_logs(&head, &batch, rules);
        let accepted = if planned.refused.is_empty() {
            Some(batch).filter(|batch| !batch.items.is_empty())
        } else {
            accepted_logs(&batch, &planned.refused).map_err(|e| invalid_batch(&e))?
        };
        let mut seq = None;
        for chunk in planned.relog.chunks(RELOG_CHUNK) {
            let labels = logs_labels(named(chunk, |r| head.index.labels(r)));
            let appended = self.0.wal.append(&tenant.id, KIND_LABELS, &[&labels]);
            let s = appended.map_err(|e| wal_error(&e))?.seq;
            head.log.note(s, now_ms);
            let generation = head.log.generation;
            chunk.iter().for_each(|(_, r)| head.index.set_logged(*r, generation));
            seq = Some(s);
        }
        if let Some(batch) = &accepted {
            let appended = self.0.wal.append_kept(&tenant.id, KIND_BATCH, &batch.bytes);
            let (appended, payload) = appended.map_err(|e| wal_error(&e))?;
            head.log.note(appended.seq, now_ms);
            seq = Some(appended.seq);
            store_logs(&mut head, batch, &payload);
            tenant.account(&self.0.memory, Part::Logs, head.bytes());
            tenant.note_stored(head.stored_bytes());
        }
        let tailed = accepted.filter(|_| tenant.tails.len() > 0).map(|batch| {
            let found = |(at, item): (usize, &crate::parsed::LogsItem)| {
                Some((at, head.index.labels(head.index.find(item.id)?)))
            };
            let streams = batch.items.iter().enumerate().filter_map(found).collect();
            (batch, streams)
        });
        drop(head);
        let Applied { outcome, relog, .. } = planned;
        Ok((Logged { outcome, seq, n_relogged: relog.len() }, tailed))
    }
}

/// A batch with the labels of its streams by item.
type Tailed = (LogsBatch, Vec<(usize, Labels)>);

fn named(
    series: &[(SeriesId, Ref)],
    labels: impl Fn(Ref) -> Labels,
) -> impl Iterator<Item = (SeriesId, Labels)> {
    series.iter().map(move |(id, r)| (*id, labels(*r)))
}

/// The labels of these series did not reach the WAL.
fn unlog(head: &mut MetricsHead, series: impl Iterator<Item = Ref>) {
    series.for_each(|r| head.index.set_logged(r, NEVER));
}

/// Nor did those that came with a batch.
fn unlog_batch(head: &mut MetricsHead, batch: &MetricsBatch) {
    for item in batch.items.iter().filter(|i| i.labels.is_some()) {
        if let Some(r) = head.index.find(item.id) {
            head.index.set_logged(r, NEVER);
        }
    }
}

/// The stable id that an error begins with.
fn id_of(e: &RpcError) -> &str {
    e.message.split(':').next().unwrap_or_default()
}

fn wal_error(e: &skald_wal::Error) -> RpcError {
    RpcError::new(e.kind(), format!("write-ahead log: {}", skald_model::Chain(e)))
}
