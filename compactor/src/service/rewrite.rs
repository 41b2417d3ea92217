//! Blocks of which lines or samples go although nothing is to be merged: each is written anew on its own.
//! Then requests to delete that no block meets any more are finished.

use std::sync::Arc;

use skald_blocks::{BlockId, FooterCache, LogReader, MetricReader};
use skald_catalog::{BlockMeta, Change, CommitError, DeleteRequest, Signal, deleted_times};
use skald_model::TenantId;
use skald_runtime::crash_point;
use tracing::info;

use super::{CompactError, Inner, Report};
use crate::merge::MergeError;
use crate::meta;
use crate::plan::{Merge, Rules};
use crate::rules::{Clean, Due, concerns};

const FOOTER_BYTES: usize = 8 << 20;
/// How long finished requests are listed.
const FINISHED_MS: i64 = 30 * 86_400_000;

impl Inner {
    /// Writes blocks of `tenant` anew of which something goes.
    pub(super) async fn rewrites(
        &self,
        tenant: &TenantId,
        rules: &Rules,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let mut clean = self.clean.lock().remove(tenant).unwrap_or_default();
        let before = report.blocks_written;
        self.look(tenant, rules, &mut clean, report).await?;
        if report.blocks_written > before {
            // What was written says what it was written without.
            self.look(tenant, rules, &mut clean, report).await?;
        }
        self.finish(tenant, rules, &clean).await?;
        self.clean.lock().insert(tenant.clone(), clean);
        Ok(())
    }

    /// Looks at every block, and writes those anew of which something goes.
    async fn look(
        &self,
        tenant: &TenantId,
        rules: &Rules,
        clean: &mut Clean,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let view = self.parts.catalog.refresh(tenant).await?;
        clean.keep(|block| view.block(block).is_some());
        for block in &view.blocks {
            if self.quarantine.of(tenant).contains(&block.id) {
                continue;
            }
            let (asked, found) = match block.signal() {
                Signal::Logs => self.lines_that_go(tenant, block, rules, clean).await?,
                Signal::Metrics => self.samples_that_go(tenant, block, rules, clean).await?,
                Signal::Unspecified => continue,
            };
            match found {
                Some(true) => {
                    crash_point!("rewrite.begin");
                    let merge = Merge { signal: block.signal(), inputs: vec![Arc::clone(block)] };
                    self.merge(tenant, merge, rules, report).await?;
                }
                Some(false) => asked.iter().for_each(|key| clean.add(block, key)),
                None => {}
            }
        }
        Ok(())
    }

    /// What was looked for in a log block that was not before, and whether it is there.
    async fn lines_that_go(
        &self,
        tenant: &TenantId,
        block: &BlockMeta,
        rules: &Rules,
        clean: &Clean,
    ) -> Result<(Vec<String>, Option<bool>), CompactError> {
        let logs = &rules.logs;
        let due: Vec<_> = logs.deletes().iter().filter(|due| is_open(due, block, clean)).collect();
        let mut asked: Vec<String> = due.iter().map(|due| due.request.id.clone()).collect();
        let passed = logs.cutoffs_passed(block);
        let key = format!("retention {} {passed}", rules.retention_key);
        let expires = passed > 0 && !clean.has(block, &key);
        if expires {
            asked.push(key);
        }
        if asked.is_empty() {
            return Ok((asked, Some(false)));
        }
        let Ok(meta) = meta::from_catalog(block) else { return Ok((asked, None)) };
        let store = Arc::clone(&self.parts.store);
        let looked = async {
            let reader = LogReader::open(store, tenant, &meta, footers()).await?;
            for due in &due {
                if due.meets(&reader).await? {
                    return Ok(true);
                }
            }
            Ok(expires && logs.has_expired_stream(block, &reader).await?)
        };
        Ok((asked, unless_gone(meta.id, looked.await)?))
    }

    /// As [`Self::lines_that_go`], of a metric block.
    async fn samples_that_go(
        &self,
        tenant: &TenantId,
        block: &BlockMeta,
        rules: &Rules,
        clean: &Clean,
    ) -> Result<(Vec<String>, Option<bool>), CompactError> {
        let due = rules.samples.deletes().iter().filter(|due| is_open(due, block, clean));
        let due: Vec<_> = due.collect();
        let asked: Vec<String> = due.iter().map(|due| due.request.id.clone()).collect();
        if asked.is_empty() {
            return Ok((asked, Some(false)));
        }
        let Ok(meta) = meta::from_catalog(block) else { return Ok((asked, None)) };
        let store = Arc::clone(&self.parts.store);
        let looked = async {
            let reader = MetricReader::open(store, tenant, &meta, footers()).await?;
            for due in &due {
                if due.meets(&reader).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok((asked, unless_gone(meta.id, looked.await)?))
    }

    /// Notes requests that no block meets any more, and forgets those finished long ago.
    async fn finish(
        &self,
        tenant: &TenantId,
        rules: &Rules,
        clean: &Clean,
    ) -> Result<(), CompactError> {
        let view = self.parts.catalog.refresh(tenant).await?;
        let now_ms = self.parts.clock.now_ms();
        let is_met = |request: &DeleteRequest| {
            let meets = |b: &Arc<BlockMeta>| concerns(request, b) && !clean.has(b, &request.id);
            view.blocks.iter().any(meets)
        };
        let lines = rules.logs.deletes().iter().map(|due| &due.request);
        let due = lines.chain(rules.samples.deletes().iter().map(|due| &due.request));
        let finished: Vec<DeleteRequest> = due
            .filter(|request| view.deletes.contains_key(&request.id) && !is_met(request))
            .map(|request| DeleteRequest { finished_ms: now_ms, ..request.clone() })
            .collect();
        let old = |d: &&DeleteRequest| d.finished_ms != 0 && now_ms - d.finished_ms > FINISHED_MS;
        let forget_deletes: Vec<String> =
            view.deletes.values().filter(old).map(|d| d.id.clone()).collect();
        if finished.is_empty() && forget_deletes.is_empty() {
            return Ok(());
        }
        crash_point!("rewrite.finish");
        let change = Change { deletes: finished.clone(), forget_deletes, ..Change::default() };
        match self.parts.catalog.commit(tenant, change).await {
            Ok(_) => {
                crash_point!("rewrite.finished");
                finished.iter().for_each(|request| audit(tenant, request));
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => Ok(()),
            Err(err) => Err(CompactError::Commit(err)),
        }
    }
}

/// Says that a request was carried out; that it was made, queriers say.
fn audit(tenant: &TenantId, request: &DeleteRequest) {
    let of_samples = request.signal() == Signal::Metrics;
    let times = deleted_times(request);
    info!(
        target: "audit",
        event = "delete_processed",
        %tenant,
        id = request.id,
        deletes = if of_samples { "samples" } else { "lines" },
        query = request.query,
        start = times.start,
        end = times.end.saturating_sub(1),
        "audit"
    );
}

fn footers() -> Arc<FooterCache> {
    Arc::new(FooterCache::new(FOOTER_BYTES))
}

/// What was found; `None` when the block is gone meanwhile, or damaged: the next merge or round finds out.
fn unless_gone(
    block: BlockId,
    found: Result<bool, skald_blocks::Error>,
) -> Result<Option<bool>, CompactError> {
    match found.map_err(|e| MergeError::reading(block, e)) {
        Ok(found) => Ok(Some(found)),
        Err(MergeError::Damaged { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Whether the block may meet a request and was not looked at for it.
fn is_open<W>(due: &Due<W>, block: &BlockMeta, clean: &Clean) -> bool {
    concerns(&due.request, block) && !clean.has(block, &due.request.id)
}
