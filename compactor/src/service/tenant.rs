//! One tenant: plan, merge, commit, until nothing is left to do; then garbage collection.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use skald_blocks::BlockMeta;
use skald_catalog::{Change, CommitError, Signal, View};
use skald_model::{Chain, TenantId};
use skald_runtime::crash_point;
use tokio::time::Instant;
use tracing::{debug, info};

use super::{CompactError, Inner, Report};
use crate::merge::{Job, MergeError};
use crate::meta;
use crate::metrics::{BySignal, Expiry};
use crate::plan::{Effort, Merge, Plan, Rules, over_size, plan};
use crate::rules::{LogRules, SampleRules};

/// Conflicts with others after which a tenant is left to the next round.
const MAX_CONFLICTS: u64 = 10;

impl Inner {
    pub(super) async fn tenant(
        &self,
        tenant: &TenantId,
        effort: Effort,
    ) -> Result<Report, CompactError> {
        let mut report = Report { tenants: 1, ..Report::default() };
        let mut over = Default::default();
        while report.conflicts < MAX_CONFLICTS {
            // The view is let go at once: holding it would keep its blocks from being deleted.
            let (next, drops, rules) = {
                let view = self.parts.catalog.refresh(tenant).await?;
                let (next, rules) = self.next_plan(tenant, effort, &view);
                let drops = next.drops.iter().filter_map(|id| view.block(id)).cloned().collect();
                // Only where all is merged: copies that replicas flushed must count once.
                let of = |signal| over_size(&view.blocks, signal, rules.max_bytes(signal));
                if next == Plan::default() {
                    over = [of(Signal::Metrics), of(Signal::Logs)];
                }
                (next, drops, rules)
            };
            // What is not enough for all that could be merged is not enough for routine either.
            if effort == Effort::Routine || next == Plan::default() {
                self.backlog.note(tenant, &next, rules.now_ms, &self.metrics);
            }
            if next == Plan::default() {
                break;
            }
            self.drop_expired(tenant, Expiry::Period, drops, &mut report).await?;
            for merge in next.merges {
                self.merge(tenant, merge, &rules, &mut report).await?;
            }
        }
        let rules = {
            let view = self.parts.catalog.refresh(tenant).await?;
            self.rules(tenant, effort, &view)
        };
        for drops in over {
            self.drop_expired(tenant, Expiry::Bytes, drops, &mut report).await?;
        }
        self.rewrites(tenant, &rules, &mut report).await?;
        let collected = self.parts.catalog.gc(tenant, &self.gc_options()).await?;
        report.blocks_deleted = count(collected.deleted_blocks.len());
        report.orphans_deleted = count(collected.deleted_orphans.len());
        self.metrics.blocks_deleted.inc_by(report.blocks_deleted);
        self.metrics.orphans_deleted.inc_by(report.orphans_deleted);
        Ok(report)
    }

    /// What is to be done of a tenant next, and by which rules.
    pub(super) fn next_plan(
        &self,
        tenant: &TenantId,
        effort: Effort,
        view: &View,
    ) -> (Plan, Rules) {
        let rules = self.rules(tenant, effort, view);
        (plan(&view.blocks, &self.quarantine.of(tenant), &rules), rules)
    }

    pub(super) fn rules(&self, tenant: &TenantId, effort: Effort, view: &View) -> Rules {
        let limits = self.parts.overrides.get(tenant);
        let now = self.parts.clock.now_ns();
        let metrics = limits.compactor_blocks_retention_period;
        let settle_ms = self.config.delete_settle.as_millis();
        let logs = LogRules::new(&limits, view, now, settle_ms);
        let samples = SampleRules::new(&limits, view, now, settle_ms);
        let now_ms = now / 1_000_000;
        Rules {
            effort,
            now_ms,
            max_block_size: self.config.max_block_size.0,
            min_blocks: self.config.min_blocks_to_merge,
            max_blocks: self.config.max_blocks_per_merge,
            metrics_cutoff_ms: (!metrics.is_zero())
                .then(|| now_ms.saturating_sub(metrics.as_millis())),
            logs_cutoff_ns: logs.oldest_cutoff(),
            metrics_max_bytes: limits.compactor_blocks_retention_bytes.0,
            logs_max_bytes: limits.retention_bytes.0,
            logs: Arc::new(logs),
            samples: Arc::new(samples),
            retention_key: format!("{:?} {}", limits.retention_stream, limits.retention_period),
        }
    }

    async fn drop_expired(
        &self,
        tenant: &TenantId,
        why: Expiry,
        drops: Vec<Arc<skald_catalog::BlockMeta>>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        if drops.is_empty() {
            return Ok(());
        }
        let n_drops = count(drops.len());
        crash_point!("retention.drop");
        let bytes: u64 = drops.iter().map(|block| block.size_bytes).sum();
        let removes = drops.iter().map(|block| block.id.clone()).collect();
        let change = Change { removes, ..Change::default() };
        match self.parts.catalog.commit(tenant, change).await {
            Ok(_) => {
                crash_point!("retention.dropped");
                info!(%tenant, blocks = n_drops, bytes, reason = ?why, "removed blocks past the retention");
                report.blocks_expired += n_drops;
                self.metrics.expired(why, n_drops, bytes);
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => {
                report.conflicts += 1;
                Ok(())
            }
            Err(err) => Err(CompactError::Commit(err)),
        }
    }

    /// Carries out one merge. A damaged input goes to quarantine, and the next plan does without it.
    pub(super) async fn merge(
        &self,
        tenant: &TenantId,
        merge: Merge,
        rules: &Rules,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let Some(inputs) = self.inputs(tenant, &merge, report) else {
            return Ok(());
        };
        let job = Job {
            store: Arc::clone(&self.parts.store),
            tenant: tenant.clone(),
            cpu: self.parts.cpu.clone(),
            clock: Arc::clone(&self.parts.clock),
            rng: self.parts.rng.clone(),
            cutoff: rules.cutoff(merge.signal),
            rules: Arc::clone(&rules.logs),
            samples: Arc::clone(&rules.samples),
            memory: usize::try_from(self.config.merge_memory.0).unwrap_or(usize::MAX),
            max_block: rules.max_block_size,
            lines: self.config.log_lines,
        };
        let start = Instant::now();
        let mut written = Vec::new();
        let merged = job.run(&inputs, &mut written).await;
        self.metrics.merge_seconds.observe(start.elapsed().as_secs_f64());
        match merged {
            Ok(()) => self.swap(tenant, &inputs, written, report).await,
            Err(err) => {
                self.discard(tenant, &written).await;
                self.failed(tenant, err, report).await
            }
        }
    }

    /// What the catalog says of the inputs, as the block reader wants it.
    fn inputs(
        &self,
        tenant: &TenantId,
        merge: &Merge,
        report: &mut Report,
    ) -> Option<Vec<BlockMeta>> {
        let mut inputs = Vec::with_capacity(merge.inputs.len());
        for input in &merge.inputs {
            match meta::from_catalog(input) {
                Ok(input) => inputs.push(input),
                Err(err) => {
                    self.quarantine.add(tenant, &input.id, &err.to_string(), &self.metrics);
                    report.blocks_quarantined += 1;
                }
            }
        }
        (inputs.len() == merge.inputs.len()).then_some(inputs)
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        err: MergeError,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let Some(block) = err.damaged_block() else {
            self.metrics.merge("server_error");
            return Err(err.into());
        };
        let block = block.to_string();
        let view = self.parts.catalog.refresh(tenant).await?;
        if view.block(&block).is_none() {
            // Not damaged: another compactor has replaced it meanwhile.
            self.metrics.merge("conflict");
            report.conflicts += 1;
            return Ok(());
        }
        self.metrics.merge("damaged");
        report.blocks_quarantined += 1;
        self.quarantine.add(tenant, &block, &Chain(&err).to_string(), &self.metrics);
        Ok(())
    }

    /// Commits the outputs in place of the inputs.
    async fn swap(
        &self,
        tenant: &TenantId,
        inputs: &[BlockMeta],
        written: Vec<BlockMeta>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let change = Change {
            adds: written.iter().map(meta::to_catalog).collect(),
            removes: inputs.iter().map(|input| input.id.to_string()).collect(),
            ..Change::default()
        };
        crash_point!("merge.commit");
        match self.parts.catalog.commit(tenant, change).await {
            Ok(_) => {
                crash_point!("merge.committed");
                self.count_merge(tenant, inputs, &written, report);
                Ok(())
            }
            Err(CommitError::Conflict { block }) => {
                debug!(%tenant, block, "merge given up: somebody else changed its blocks");
                self.metrics.merge("conflict");
                report.conflicts += 1;
                self.discard(tenant, &written).await;
                Ok(())
            }
            Err(err) => {
                self.metrics.merge("server_error");
                // Unless refused for certain the commit may have landed: then the outputs are in use.
                if matches!(err, CommitError::Fenced { .. } | CommitError::Invalid(_)) {
                    self.discard(tenant, &written).await;
                }
                Err(CompactError::Commit(err))
            }
        }
    }

    fn count_merge(
        &self,
        tenant: &TenantId,
        inputs: &[BlockMeta],
        written: &[BlockMeta],
        report: &mut Report,
    ) {
        let signal = inputs.first().map_or("", |input| input.signal.as_str());
        let bytes = |blocks: &[BlockMeta]| blocks.iter().map(|b| b.size_bytes).sum::<u64>();
        let (n_inputs, n_written) = (count(inputs.len()), count(written.len()));
        let (read, wrote) = (bytes(inputs), bytes(written));
        info!(%tenant, signal, n_inputs, n_written, read, wrote, "merged blocks");
        let metrics = &self.metrics;
        metrics.merge("ok");
        metrics.blocks_merged.get_or_create(&BySignal { signal }).inc_by(n_inputs);
        metrics.blocks_written.get_or_create(&BySignal { signal }).inc_by(n_written);
        metrics.read_bytes.inc_by(read);
        metrics.written_bytes.inc_by(wrote);
        report.merges += 1;
        report.blocks_merged += n_inputs;
        report.blocks_written += n_written;
    }

    /// Deletes outputs that no commit names. What cannot be deleted is an orphan, collected later.
    async fn discard(&self, tenant: &TenantId, written: &[BlockMeta]) {
        for block in written {
            let path = skald_blocks::path(tenant, block.id);
            if let Err(err) = self.parts.store.delete(&path).await {
                debug!(%tenant, %path, error = %Chain(&err), "could not delete an unused block");
            }
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
