//! Blocks of which lines go although nothing is to be merged: each is written anew on its own. Then
//! requests to delete that no block meets any more are finished.

use std::sync::Arc;

use skald_blocks::{FooterCache, LogReader};
use skald_catalog::{BlockMeta, Change, CommitError, DeleteRequest, Signal, View};
use skald_model::TenantId;
use skald_runtime::crash_point;
use tracing::info;

use super::{CompactError, Inner, Report};
use crate::merge::MergeError;
use crate::meta;
use crate::plan::{Merge, Rules};
use crate::rules::{Clean, Due, LogRules};

const FOOTER_BYTES: usize = 8 << 20;
/// How long finished requests are listed.
const FINISHED_MS: i64 = 30 * 86_400_000;

impl Inner {
    /// Writes blocks of `tenant` anew whose lines go.
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
        self.finish(tenant, &rules.logs, &clean).await?;
        self.clean.lock().insert(tenant.clone(), clean);
        Ok(())
    }

    /// Looks at every block, and writes those anew of which lines go.
    async fn look(
        &self,
        tenant: &TenantId,
        rules: &Rules,
        clean: &mut Clean,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let view = self.parts.catalog.refresh(tenant).await?;
        let logs = &rules.logs;
        clean.keep(|block| view.block(block).is_some());
        for block in log_blocks(&view) {
            if self.quarantine.of(tenant).contains(&block.id) {
                continue;
            }
            let due: Vec<&Due> = logs
                .deletes()
                .iter()
                .filter(|due| due.concerns(block) && !clean.has(block, &due.request.id))
                .collect();
            let passed = logs.cutoffs_passed(block);
            let key = format!("retention {} {passed}", rules.retention_key);
            let expires = passed > 0 && !clean.has(block, &key);
            if due.is_empty() && !expires {
                continue;
            }
            match self.has_rows_that_go(tenant, block, logs, &due, expires).await? {
                Some(true) => {
                    crash_point!("rewrite.begin");
                    let merge = Merge { signal: Signal::Logs, inputs: vec![Arc::clone(block)] };
                    self.merge(tenant, merge, rules, report).await?;
                }
                Some(false) => {
                    due.iter().for_each(|due| clean.add(block, &due.request.id));
                    if expires {
                        clean.add(block, &key);
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What the block's directory says; `None` when the block is gone meanwhile.
    async fn has_rows_that_go(
        &self,
        tenant: &TenantId,
        block: &BlockMeta,
        logs: &LogRules,
        due: &[&Due],
        expires: bool,
    ) -> Result<Option<bool>, CompactError> {
        let Ok(meta) = meta::from_catalog(block) else { return Ok(None) };
        let cache = Arc::new(FooterCache::new(FOOTER_BYTES));
        let store = Arc::clone(&self.parts.store);
        let looked = async {
            let reader = LogReader::open(store, tenant, &meta, cache).await?;
            for due in due {
                if due.meets(&reader).await? {
                    return Ok(true);
                }
            }
            Ok(expires && logs.has_expired_stream(block, &reader).await?)
        };
        match looked.await {
            Ok(found) => Ok(Some(found)),
            // The next merge or round finds out what is wrong with it.
            Err(e) => match MergeError::reading(meta.id, e) {
                MergeError::Damaged { .. } => Ok(None),
                other => Err(other.into()),
            },
        }
    }

    /// Notes requests that no block meets any more, and forgets those finished long ago.
    async fn finish(
        &self,
        tenant: &TenantId,
        logs: &LogRules,
        clean: &Clean,
    ) -> Result<(), CompactError> {
        let view = self.parts.catalog.refresh(tenant).await?;
        let now_ms = self.parts.clock.now_ms();
        let open = |due: &&Due| {
            let meets = |b: &&Arc<BlockMeta>| due.concerns(b) && !clean.has(b, &due.request.id);
            log_blocks(&view).any(|b| meets(&b))
        };
        let finished: Vec<DeleteRequest> = logs
            .deletes()
            .iter()
            .filter(|due| view.deletes.contains_key(&due.request.id) && !open(due))
            .map(|due| DeleteRequest { finished_ms: now_ms, ..due.request.clone() })
            .collect();
        let old = |d: &&DeleteRequest| d.finished_ms != 0 && now_ms - d.finished_ms > FINISHED_MS;
        let forget_deletes: Vec<String> =
            view.deletes.values().filter(old).map(|d| d.id.clone()).collect();
        if finished.is_empty() && forget_deletes.is_empty() {
            return Ok(());
        }
        let n_finished = finished.len();
        crash_point!("rewrite.finish");
        let change = Change { deletes: finished, forget_deletes, ..Change::default() };
        match self.parts.catalog.commit(tenant, change).await {
            Ok(_) => {
                crash_point!("rewrite.finished");
                info!(%tenant, requests = n_finished, "delete requests were carried out");
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => Ok(()),
            Err(err) => Err(CompactError::Commit(err)),
        }
    }
}

fn log_blocks(view: &View) -> impl Iterator<Item = &Arc<BlockMeta>> {
    view.blocks.iter().filter(|block| block.signal() == Signal::Logs)
}
