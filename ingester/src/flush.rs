//! From heads to blocks, exactly once.
//!
//! ```text
//! cut (both heads, one moment) → encode part → put block → … → commit {adds, watermark = cut} → drop snapshot → truncate WAL
//! ```
//!
//! A flush that fails is kept in the tenant as [`Pending`] and resumed where it stood; until it is
//! committed readers see its snapshot and no new cut is made. Blocks that were put and never
//! committed (a crash in between) are orphans, which the compactor collects; replay makes new ones.
//! A commit whose outcome is unknown is repeated with the same blocks, which the catalog recognises.

mod encode;
mod schedule;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use skald_blocks::{BlockId, Encoded, WriterOptions, put_block};
use skald_catalog::{Change, CommitError};
use skald_model::{Chain, MetricMetadata, Signal};
use skald_runtime::crash_point;
use tokio::time::Instant;
use tracing::{info, warn};

use self::encode::{Cursor, encode_logs, encode_metrics};
use crate::error::Error;
use crate::head::Ageing;
use crate::head::logs::LogsSnapshot;
use crate::head::metrics::MetricsSnapshot;
use crate::ingester::Ingester;
use crate::tenant::{NO_SEQ, Part, Tenant};

/// A flush that is not committed yet.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Every record of the tenant up to this is in the snapshots or in blocks.
    watermark: u64,
    metrics: Option<(Arc<MetricsSnapshot>, Cursor)>,
    logs: Option<(Arc<LogsSnapshot>, Cursor)>,
    metadata: Vec<MetricMetadata>,
    /// Encoded, not stored yet.
    encoded: Option<Encoded>,
    /// Stored.
    blocks: Vec<skald_catalog::BlockMeta>,
    /// Cut while serving, so that labels behind the cut stand behind it in the WAL too.
    releases_hold: bool,
}

/// When a tenant was cut last, and when a failing flush is tried again.
#[derive(Debug)]
pub(crate) struct Retry {
    failures: u32,
    not_before: Option<Instant>,
    last_cut: Instant,
    /// The last cut that counted for forgetting series.
    last_aged: Instant,
}

/// Cuts that count for forgetting series are at least this far apart, or a flush interval if shorter.
const AGEING: Duration = Duration::from_secs(300);

impl Retry {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { failures: 0, not_before: None, last_cut: now, last_aged: now }
    }

    fn note_cut(&mut self, flush_interval: Duration) -> Ageing {
        self.last_cut = Instant::now();
        let since = self.last_cut.saturating_duration_since(self.last_aged);
        if since < flush_interval.min(AGEING) {
            return Ageing::TooSoon;
        }
        self.last_aged = self.last_cut;
        Ageing::Counts
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|t| t <= now)
    }
}

/// Whether records are still being replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Replay,
    Serving,
}

impl Ingester {
    /// Makes one attempt to flush a tenant: resumes a flush that failed, else cuts.
    ///
    /// Cancel-safe: a flush that was begun goes on with the next call.
    pub(crate) async fn flush_tenant(
        &self,
        tenant: &Arc<Tenant>,
        phase: Phase,
    ) -> Result<(), Error> {
        let mut flush = Arc::clone(&tenant.flush).lock_owned().await;
        if flush.is_none() {
            let (ingester, target) = (self.clone(), Arc::clone(tenant));
            // The guard goes along: a cut must be noted even if nobody waits for it any more.
            let work = move || {
                *flush = ingester.cut(&target, phase);
                flush
            };
            flush = self.0.encoders.run(work).await?;
        }
        let Some(pending) = flush.as_mut() else { return Ok(()) };
        crash_point!("flush.cut");
        let started = Instant::now();
        let result = self.advance(tenant, pending).await;
        self.0.metrics.flushed(result.is_ok(), started.elapsed().as_secs_f64());
        match result {
            Ok(number) => {
                crash_point!("flush.committed");
                let mut retry = tenant.retry.lock();
                (retry.failures, retry.not_before) = (0, None);
                drop(retry);
                let done = flush.take();
                self.finish(tenant, number, done);
                crash_point!("flush.finished");
                info!(tenant = tenant.id.as_str(), number, elapsed = ?started.elapsed(), "flushed");
                Ok(())
            }
            Err(e) => {
                if let Error::Commit(CommitError::Fenced { recorded, .. }) = &e {
                    self.0.fenced_by.store(*recorded, Ordering::Release);
                    self.0.fenced.trigger();
                }
                let mut retry = tenant.retry.lock();
                let wait = self.backoff(retry.failures);
                retry.failures += 1;
                retry.not_before = Some(Instant::now() + wait);
                let tenant = tenant.id.as_str();
                warn!(tenant, ?wait, error = %Chain(&e), "flush failed and will be repeated");
                Err(e)
            }
        }
    }

    /// Takes everything out of both heads at one moment.
    fn cut(&self, tenant: &Tenant, phase: Phase) -> Option<Pending> {
        let mut metrics = tenant.metrics.write();
        let mut logs = tenant.logs.write();
        let ageing = tenant.retry.lock().note_cut(self.0.config.flush_interval.0);
        let firsts = [metrics.log.first_seq, logs.log.first_seq];
        let watermark = metrics.log.last_seq.max(logs.log.last_seq);
        let metrics_snapshot = metrics.cut(ageing);
        let logs_snapshot = logs.cut(ageing);
        let metadata: Vec<MetricMetadata> =
            std::mem::take(&mut metrics.changed_metadata).into_values().collect();
        tenant.account(&self.0.memory, Part::Metrics, metrics.bytes());
        tenant.account(&self.0.memory, Part::Logs, logs.bytes());
        if metrics_snapshot.is_none() && logs_snapshot.is_none() && metadata.is_empty() {
            if phase == Phase::Serving {
                tenant.release();
            }
            return None;
        }
        let bytes = metrics_snapshot.as_ref().map_or(0, |s| s.bytes)
            + logs_snapshot.as_ref().map_or(0, |s| s.bytes);
        tenant.account(&self.0.memory, Part::Flushing, bytes);
        tenant.note_stored(logs.stored_bytes());
        tenant.note_stored_flushing(logs_snapshot.as_ref().map_or(0, |s| s.stored_bytes));
        tenant.set_flushing(firsts.into_iter().flatten().min().unwrap_or(NO_SEQ));
        Some(Pending {
            watermark,
            metrics: metrics_snapshot.map(|s| (s, Cursor::default())),
            logs: logs_snapshot.map(|s| (s, Cursor::default())),
            metadata,
            encoded: None,
            blocks: Vec::new(),
            releases_hold: phase == Phase::Serving,
        })
    }

    /// Encodes, stores and commits what is left of a flush; answers the commit's number.
    async fn advance(&self, tenant: &Arc<Tenant>, pending: &mut Pending) -> Result<u64, Error> {
        loop {
            if pending.encoded.is_none() {
                pending.encoded = self.encode_next(tenant, pending).await?;
            }
            let Some(encoded) = &pending.encoded else { break };
            crash_point!("flush.encoded");
            put_block(&self.0.deps.store, &tenant.id, encoded).await?;
            crash_point!("flush.stored");
            self.0.metrics.stored(encoded.meta.size_bytes);
            pending.blocks.push(catalog_meta(&encoded.meta));
            pending.encoded = None;
        }
        crash_point!("flush.all_stored");
        match self.0.wal.commit(pending.watermark).await {
            // A full disk must not keep the WAL from being truncated. Should these records be lost,
            // their numbers are not given out again (`raise_seq`).
            Ok(()) | Err(skald_wal::Error::DiskFull { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let change = Change {
            adds: pending.blocks.clone(),
            removes: Vec::new(),
            watermark: Some(pending.watermark),
            metadata: pending.metadata.iter().map(catalog_metadata).collect(),
            ..Change::default()
        };
        Ok(self.0.deps.catalog.commit(&tenant.id, change).await?)
    }

    /// The next block of a flush; `None` when all of it is encoded.
    async fn encode_next(
        &self,
        tenant: &Arc<Tenant>,
        pending: &mut Pending,
    ) -> Result<Option<Encoded>, Error> {
        let max = usize::try_from(self.0.config.max_block_bytes.0).unwrap_or(usize::MAX);
        let pool = &self.0.encoders;
        if let Some((snapshot, cursor)) = &mut pending.metrics
            && !cursor.at_end(snapshot.data.len())
        {
            let (tenant, source, from) = (Arc::clone(tenant), Arc::clone(snapshot), *cursor);
            let options = self.writer_options();
            let work = move || encode_metrics(&tenant, &source, from, options, max);
            let (encoded, next) = pool.run(work).await??;
            *cursor = next;
            if encoded.is_some() {
                return Ok(encoded);
            }
        }
        if let Some((snapshot, cursor)) = &mut pending.logs
            && !cursor.at_end(snapshot.data.len())
        {
            let (tenant, source, from) = (Arc::clone(tenant), Arc::clone(snapshot), *cursor);
            let options = self.writer_options();
            let max = usize::try_from(self.0.config.max_log_block_bytes.0).unwrap_or(usize::MAX);
            let work = move || encode_logs(&tenant, &source, from, options, max);
            let (encoded, next) = pool.run(work).await??;
            *cursor = next;
            return Ok(encoded);
        }
        Ok(None)
    }

    fn writer_options(&self) -> WriterOptions {
        let id = BlockId::new(self.0.deps.clock.now_ms(), self.0.deps.rng.next_u128());
        let sources = vec![self.0.deps.replica.clone()];
        let lines = self.0.config.log_lines;
        WriterOptions { sources, lines, ..WriterOptions::new(id) }
    }

    /// Drops the snapshots of a committed flush and tells readers its number, at one moment.
    fn finish(&self, tenant: &Tenant, number: u64, done: Option<Pending>) {
        let mut metrics = tenant.metrics.write();
        let mut logs = tenant.logs.write();
        let old = (metrics.flushing.take(), logs.flushing.take());
        metrics.manifest_version = metrics.manifest_version.max(number);
        logs.manifest_version = logs.manifest_version.max(number);
        tenant.set_flushing(NO_SEQ);
        if done.as_ref().is_some_and(|p| p.releases_hold) {
            tenant.release();
        }
        drop(logs);
        drop(metrics);
        tenant.account(&self.0.memory, Part::Flushing, 0);
        tenant.note_stored_flushing(0);
        // The last owners: freeing millions of buffers takes its time, not under the locks.
        drop((old, done));
    }

    /// Deletes the part of the WAL that no tenant needs.
    pub(crate) async fn truncate(&self) -> Result<(), Error> {
        // Read first: a record appended during the scan has a larger number.
        let mut first = self.0.wal.last_seq() + 1;
        for tenant in self.all_tenants() {
            first = first.min(tenant.first_needed());
        }
        let wal = self.0.wal.clone();
        crash_point!("flush.truncate");
        self.0.encoders.run(move || wal.truncate_before(first)).await??;
        crash_point!("flush.truncated");
        Ok(())
    }
}

fn catalog_meta(meta: &skald_blocks::BlockMeta) -> skald_catalog::BlockMeta {
    let signal = match meta.signal {
        Signal::Metrics => skald_catalog::Signal::Metrics,
        Signal::Logs => skald_catalog::Signal::Logs,
    };
    skald_catalog::BlockMeta {
        id: meta.id.to_string(),
        signal: signal.into(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        n_series: meta.n_series,
        n_rows: meta.n_rows,
        size_bytes: meta.size_bytes,
        crc32c: meta.crc32c,
        level: meta.level,
        format_version: meta.format_version,
        sources: meta.sources.clone(),
    }
}

fn catalog_metadata(m: &MetricMetadata) -> skald_catalog::MetricMetadata {
    skald_catalog::MetricMetadata {
        name: m.name.clone(),
        kind: m.kind.clone(),
        help: m.help.clone(),
        unit: m.unit.clone(),
    }
}
