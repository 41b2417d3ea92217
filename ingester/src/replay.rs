//! Reading the WAL back at start.
//!
//! A record up to the tenant's watermark in the manifest is in blocks already: only its labels are
//! learnt, since later records may name those series by id alone. All others are applied without
//! limits, because the log holds accepted samples only. When memory gets short the largest tenants
//! are flushed in the middle; the log is then kept whole until their next flush.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use skald_limits::Limits;
use skald_model::{Chain, TenantId};
use skald_runtime::{CpuPool, Scope, crash_point};
use skald_wal::{Record, Replay, Summary};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::apply::{Applied, Mode, Rules, apply_metrics, plan_logs, store_logs};
use crate::error::Error;
use crate::head::NEVER;
use crate::ingester::Ingester;
use crate::parsed::{LogsBatch, MetricsBatch, Parsed};
use crate::tenant::{Part, Tenant};

/// Bits of a sequence number below the milliseconds of the start.
const SEQ_BITS: u32 = 20;

/// What stops a replay for a while.
enum Wait {
    Tenant(TenantId),
    Room,
}

impl Ingester {
    /// Applies what the log holds; the ingester serves from then on. To be called once.
    ///
    /// Waits for the object store as long as it is away: without the watermarks nobody knows which
    /// records are flushed. Dropping the future leaves the log as it was.
    pub async fn replay(&self, replay: Replay) -> Result<(), Error> {
        let started = Instant::now();
        let n = self.0.wal.size_bytes();
        self.0.metrics.replay_bytes.set(i64::try_from(n).unwrap_or(i64::MAX));
        let summary = match Scope::current() {
            Some(_) => self.replay_in_turns(&replay).await,
            None => self.replay_on_a_thread(replay).await?,
        };
        self.raise_seq();
        self.0.metrics.replayed_bytes.set(self.0.metrics.replay_bytes.get());
        self.0.replaying.store(false, Ordering::Release);
        crash_point!("replay.done");
        let elapsed = started.elapsed();
        let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        self.0.metrics.replay_milliseconds.set(millis);
        info!(
            records = summary.records,
            bytes = summary.bytes,
            corrupt = summary.corrupt,
            elapsed = ?elapsed,
            "write-ahead log replayed"
        );
        Ok(())
    }

    async fn replay_on_a_thread(&self, replay: Replay) -> Result<Summary, Error> {
        let (ingester, handle) = (self.clone(), Handle::current());
        let pool = CpuPool::new(1);
        let replayed = pool.run(move || {
            replay.run::<Infallible>(&mut |record| {
                if ingester.find_tenant(record.tenant).is_none() {
                    handle.block_on(ingester.restore_tenant(record.tenant));
                }
                ingester.replay_record(&record);
                if ingester.is_crowded() {
                    handle.block_on(ingester.make_room());
                }
                Ok(())
            })
        });
        let Ok(summary) = replayed.await?;
        Ok(summary)
    }

    /// Where no thread may wait, reading begins anew after each wait.
    async fn replay_in_turns(&self, replay: &Replay) -> Summary {
        let mut done = 0;
        loop {
            let replayed = replay.run(&mut |record| {
                if record.seq <= done {
                    return Ok(());
                }
                if self.find_tenant(record.tenant).is_none() {
                    return Err(Wait::Tenant(record.tenant.clone()));
                }
                self.replay_record(&record);
                done = record.seq;
                if self.is_crowded() { Err(Wait::Room) } else { Ok(()) }
            });
            match replayed {
                Ok(summary) => return summary,
                Err(Wait::Tenant(id)) => self.restore_tenant(&id).await,
                Err(Wait::Room) => self.make_room().await,
            }
        }
    }

    fn is_crowded(&self) -> bool {
        self.0.memory.used() / 3 >= self.0.memory_limit / 4
    }

    /// Makes new sequence numbers larger than any watermark this replica ever committed.
    ///
    /// The log alone does not know them: it may be new, or may have lost its end to a power failure
    /// with `fsync: os`. So numbers begin at the time of the start, in milliseconds times 2^20, which
    /// no replica overtakes by counting records.
    fn raise_seq(&self) {
        let now = u64::try_from(self.0.deps.clock.now_ms()).unwrap_or(0);
        let watermarks = self.all_tenants();
        let known = watermarks.iter().map(|t| t.watermark.load(Ordering::Acquire)).max();
        self.0.wal.raise_seq(known.unwrap_or(0).max(now << SEQ_BITS));
    }

    /// Applies a record of a known tenant.
    fn replay_record(&self, record: &Record<'_>) {
        let n = i64::try_from(record.payload.len()).unwrap_or(0);
        self.0.metrics.replayed_bytes.inc_by(n);
        let Some(tenant) = self.find_tenant(record.tenant) else { return };
        let parsed = match Parsed::parse(&Bytes::copy_from_slice(record.payload)) {
            Ok(parsed) => parsed,
            Err(e) => {
                // Its checksum is right, so this release wrote it wrongly or a newer one wrote it.
                self.0.metrics.replay_invalid_records.inc();
                let (seq, tenant) = (record.seq, record.tenant.as_str());
                error!(seq, tenant, error = %Chain(&e), "record of the write-ahead log skipped");
                return;
            }
        };
        if record.seq <= tenant.watermark.load(Ordering::Acquire) {
            self.0.metrics.replay_skipped_records.inc();
            crash_point!("replay.skipped");
            match parsed {
                Parsed::Metrics(batch) => learn_series(&tenant, &batch),
                Parsed::Logs(batch) => learn_streams(&tenant, &batch),
            }
            // Later records may need these labels.
            tenant.first_seen(record.seq);
            return;
        }
        self.0.metrics.replay_records.inc();
        tenant.first_seen(record.seq);
        self.apply_record(&tenant, parsed, record);
        crash_point!("replay.applied");
    }

    fn apply_record(&self, tenant: &Tenant, parsed: Parsed, record: &Record<'_>) {
        let seq = record.seq;
        let limits: Arc<Limits> = self.0.deps.limits.get(&tenant.id);
        let rules = Rules { tenant: &tenant.id, limits: &limits, mode: Mode::Replay };
        let now_ms = self.0.deps.clock.now_ms();
        let applied = match parsed {
            Parsed::Metrics(batch) => {
                let mut head = tenant.metrics.write();
                let known = head.index.len();
                let applied = apply_metrics(&mut head, &batch, &rules);
                for r in (0..).take(head.index.len()).skip(known) {
                    head.set_flushed(r);
                }
                head.log.note(seq, now_ms);
                tenant.account(&self.0.memory, Part::Metrics, head.bytes());
                applied
            }
            Parsed::Logs(batch) => {
                let mut head = tenant.logs.write();
                let planned = plan_logs(&head, &batch, &rules);
                // The lines stay in the log.
                store_logs(&mut head, &batch, &record.keep());
                let generation = head.log.generation;
                planned.relog.iter().for_each(|(_, r)| head.index.set_logged(*r, generation));
                head.log.note(seq, now_ms);
                tenant.account(&self.0.memory, Part::Logs, head.bytes());
                tenant.note_stored(head.stored_bytes());
                planned
            }
        };
        note_gaps(tenant, &applied, seq);
    }

    /// Finds out what of a tenant is flushed. Tries until the store answers.
    async fn restore_tenant(&self, id: &TenantId) {
        let mut attempt = 0;
        let view = loop {
            match self.0.deps.catalog.refresh(id).await {
                Ok(view) => break view,
                Err(e) => {
                    let wait = self.backoff(attempt);
                    attempt += 1;
                    let tenant = id.as_str();
                    warn!(tenant, ?wait, error = %Chain(&e), "manifest is not readable, replay waits");
                    sleep(wait).await;
                }
            }
        };
        let tenant = self.tenant(id);
        tenant.watermark.store(view.watermark(&self.0.deps.replica), Ordering::Release);
        crash_point!("replay.restored");
        // Only a second replay of the same tenant could have set it.
        let _ = tenant.baseline.set(view.number);
    }
}

/// Notes what needs labels from before a cut, and what needs labels that are not there.
fn note_gaps(tenant: &Tenant, applied: &Applied, seq: u64) {
    if !applied.relog.is_empty() {
        tenant.hold_all();
    }
    let n_unknown = applied.outcome.unknown_series.len();
    if n_unknown > 0 {
        let tenant = tenant.id.as_str();
        error!(seq, tenant, series = n_unknown, "labels of series are missing in the log");
    }
}

fn learn_series(tenant: &Tenant, batch: &MetricsBatch) {
    let mut head = tenant.metrics.write();
    for item in &batch.items {
        if let Some(labels) = &item.labels
            && head.index.find(item.id).is_none()
            && let Some(r) = head.create(item.id, labels)
        {
            head.index.set_logged(r, NEVER);
            head.set_flushed(r);
        }
    }
}

fn learn_streams(tenant: &Tenant, batch: &LogsBatch) {
    let mut head = tenant.logs.write();
    for item in &batch.items {
        if let Some(labels) = &item.labels
            && head.index.find(item.id).is_none()
            && let Some(r) = head.create(item.id, labels)
        {
            head.index.set_logged(r, NEVER);
        }
    }
}
