//! Garbage collection: objects of removed blocks, old commits and checkpoints, and orphans.
//!
//! Safe when several run at once and when interrupted anywhere:
//! - A removed id never comes back, so its objects may be deleted by anybody at any time after the
//!   delay. Only then a commit takes it off the list of removed blocks.
//! - The boundary moves before the commits below it are deleted, and none above the newest readable
//!   checkpoint are.
//! - An orphan must be unreferenced in two scans a day apart, and old, by the clock of the store; what is
//!   too much to be orphans is left for people to look at.

use std::collections::{BTreeMap, HashMap};

use object_store::ObjectMeta;
use object_store::path::Path;
use skald_model::{Chain, TenantId};
use skald_runtime::crash_point;
use tracing::{error, info, warn};

use crate::catalog::{Catalog, Tenant};
use crate::frame::{self, Hint};
use crate::{Change, Error, View, path};

const HOUR_MS: i64 = 3_600_000;
/// So many orphans are believed in any case; beyond it, one in a hundred blocks.
const FEW_ORPHANS: usize = 100;

/// How long what is not needed is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcOptions {
    /// Objects of blocks removed at least this long ago are deleted. Must exceed the longest query plus
    /// the longest staleness of a view. Default 12 h.
    pub deletion_delay_ms: i64,
    /// Commits and checkpoints behind the newest checkpoint are kept this long. Must exceed an hour
    /// (except in tests): readers look for missing commits that often. Default 7 d.
    pub commit_retention_ms: i64,
    /// Unreferenced objects must be this old. Default 48 h.
    pub orphan_age_ms: i64,
    /// … and have been seen unreferenced by a scan this long ago. Default 24 h.
    pub orphan_scan_gap_ms: i64,
    /// Only report what would be deleted.
    pub dry_run: bool,
}

/// What a collection did, or would do if it is a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    pub deleted_blocks: Vec<String>,
    /// Due, but held by a query of this process.
    pub pinned_blocks: Vec<String>,
    pub deleted_orphans: Vec<String>,
    pub deleted_commits: u64,
    pub deleted_checkpoints: u64,
    /// Blocks whose objects could not be deleted; they stay on the list.
    pub failed_blocks: Vec<String>,
    /// There were too many orphans to believe: none was deleted.
    pub halted: bool,
}

/// When this process first saw an orphan, by the clock of the store.
pub(crate) type Sightings = HashMap<String, i64>;

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            deletion_delay_ms: 12 * HOUR_MS,
            commit_retention_ms: 7 * 24 * HOUR_MS,
            orphan_age_ms: 48 * HOUR_MS,
            orphan_scan_gap_ms: 24 * HOUR_MS,
            dry_run: false,
        }
    }
}

impl Catalog {
    /// Deletes what `tenant` does not need any more. Cancelling leaves less deleted.
    pub async fn gc(&self, tenant: &TenantId, options: &GcOptions) -> Result<GcReport, Error> {
        let state = self.tenant(tenant);
        let mut sightings = state.sightings.lock().await;
        let view = self.refresh(tenant).await?;
        let mut report = GcReport::default();
        self.delete_removed(&view, &state, options, &mut report).await?;
        let store_now = self.store_now(tenant).await?;
        self.delete_commits(tenant, store_now, options, &mut report).await?;
        self.delete_orphans(tenant, store_now, &mut sightings, options, &mut report).await?;
        if report != GcReport::default() {
            let (blocks, orphans) = (report.deleted_blocks.len(), report.deleted_orphans.len());
            let (commits, dry_run) = (report.deleted_commits, options.dry_run);
            info!(%tenant, blocks, orphans, commits, dry_run, "garbage collected");
        }
        Ok(report)
    }

    async fn delete_removed(
        &self,
        view: &View,
        state: &Tenant,
        options: &GcOptions,
        report: &mut GcReport,
    ) -> Result<(), Error> {
        let now_ms = self.inner.clock.now_ms();
        let due = |removed_ms: i64| removed_ms.saturating_add(options.deletion_delay_ms) <= now_ms;
        for block in view.removed.values().filter(|b| due(b.removed_ms)) {
            if state.is_pinned(&block.id) {
                report.pinned_blocks.push(block.id.clone());
            } else if options.dry_run {
                report.deleted_blocks.push(block.id.clone());
            } else if let Err(e) = self.delete_block(&view.tenant, &block.id).await {
                let tenant = &view.tenant;
                warn!(%tenant, block = block.id, error = %Chain(&e), "block not deleted");
                report.failed_blocks.push(block.id.clone());
            } else {
                report.deleted_blocks.push(block.id.clone());
            }
        }
        if options.dry_run || report.deleted_blocks.is_empty() {
            return Ok(());
        }
        let forgets = report.deleted_blocks.clone();
        crash_point!("gc.blocks");
        let done = self.commit_all(&view.tenant, Change::default(), forgets).await;
        crash_point!("gc.forgotten");
        done.map(|_| ()).map_err(|e| Error::Commit(Box::new(e)))
    }

    async fn delete_block(&self, tenant: &TenantId, id: &str) -> Result<(), Error> {
        let objects = &self.inner.objects;
        let found = objects.list(&path::block(tenant, id), None).await?;
        crash_point!("gc.block");
        objects.delete(found.into_iter().map(|o| o.location).collect()).await?;
        crash_point!("gc.block.deleted");
        Ok(())
    }

    /// The time of day of the store: of an object that is written for it.
    async fn store_now(&self, tenant: &TenantId) -> Result<i64, Error> {
        let at = path::hint(tenant);
        let number = self.refresh(tenant).await?.number;
        let interval = self.inner.config.checkpoint_interval;
        let hint = Hint { checkpoint: number - number % interval };
        self.inner.objects.overwrite(&at, frame::encode_hint(hint)).await?;
        crash_point!("gc.clock");
        Ok(self.inner.objects.head(&at).await?.last_modified.timestamp_millis())
    }

    async fn delete_commits(
        &self,
        tenant: &TenantId,
        store_now: i64,
        options: &GcOptions,
        report: &mut GcReport,
    ) -> Result<(), Error> {
        let listed = self.inner.objects.list(&path::manifest(tenant), None).await?;
        let manifest = Listed::new(tenant, listed);
        let Some(newest) = self.newest_checkpoint(tenant, &manifest).await else {
            return Ok(());
        };
        let is_old = |o: &ObjectMeta| {
            let age = store_now.saturating_sub(o.last_modified.timestamp_millis());
            age >= options.commit_retention_ms
        };
        let behind = manifest.commits.range(..=newest);
        let old: Vec<u64> = behind.take_while(|(_, o)| is_old(o)).map(|(n, _)| *n).collect();
        let Some(&boundary) = old.last() else {
            return Ok(());
        };
        // Of no use to anybody: the commits behind them will be gone.
        let checkpoints: Vec<u64> =
            manifest.checkpoints.keys().copied().filter(|&n| n < boundary).collect();
        report.deleted_commits = old.len() as u64;
        report.deleted_checkpoints = checkpoints.len() as u64;
        if options.dry_run {
            return Ok(());
        }
        crash_point!("gc.boundary");
        self.raise_boundary(tenant, boundary, &manifest).await?;
        crash_point!("gc.boundary.raised");
        let at_checkpoint = |n: u64| path::checkpoint(tenant, n);
        let at_commit = |n: u64| path::commit(tenant, n);
        let at_boundary = |n: u64| path::boundary(tenant, n);
        let objects = &self.inner.objects;
        objects.delete(checkpoints.into_iter().map(at_checkpoint).collect()).await?;
        crash_point!("gc.checkpoints");
        objects.delete(old.into_iter().map(at_commit).collect()).await?;
        crash_point!("gc.commits");
        let surpassed = manifest.boundaries.keys().copied().filter(|&n| n < boundary);
        objects.delete(surpassed.map(at_boundary).collect()).await
    }

    /// The newest checkpoint that can be read.
    async fn newest_checkpoint(&self, tenant: &TenantId, manifest: &Listed) -> Option<u64> {
        for &number in manifest.checkpoints.keys().rev() {
            match self.checkpoint(tenant, number).await {
                Ok(Some(_)) => return Some(number),
                Ok(None) => {}
                Err(e) => {
                    error!(%tenant, error = %Chain(&e), "checkpoint cannot be read, commits are kept");
                    return None;
                }
            }
        }
        None
    }

    async fn raise_boundary(
        &self,
        tenant: &TenantId,
        to: u64,
        manifest: &Listed,
    ) -> Result<(), Error> {
        if manifest.boundaries.keys().any(|&n| n >= to) {
            return Ok(());
        }
        let at = path::boundary(tenant, to);
        match self.inner.objects.create(&at, bytes::Bytes::new()).await {
            Err(Error::Store { source, .. })
                if matches!(*source, object_store::Error::AlreadyExists { .. }) => {}
            other => other?,
        }
        // "Already exists" and success alike are worth nothing if it is not there.
        self.inner.objects.head(&at).await.map(|_| ())
    }

    async fn delete_orphans(
        &self,
        tenant: &TenantId,
        store_now: i64,
        sightings: &mut Sightings,
        options: &GcOptions,
        report: &mut GcReport,
    ) -> Result<(), Error> {
        let listed = self.inner.objects.list(&path::blocks(tenant), None).await?;
        // Read after the listing: what was committed by then is referenced.
        let view = self.refresh(tenant).await?;
        let mut orphans: HashMap<String, Orphan> = HashMap::new();
        for object in listed {
            let Some(id) = path::block_of(tenant, &object.location) else { continue };
            if !view.knows(&id) {
                let orphan = orphans.entry(id).or_default();
                orphan.newest_ms = orphan.newest_ms.max(object.last_modified.timestamp_millis());
                orphan.paths.push(object.location);
            }
        }
        sightings.retain(|id, _| orphans.contains_key(id));
        let ripe = |seen_ms: i64, orphan: &Orphan| {
            store_now.saturating_sub(seen_ms) >= options.orphan_scan_gap_ms
                && store_now.saturating_sub(orphan.newest_ms) >= options.orphan_age_ms
        };
        let mut due: Vec<(String, Orphan)> = Vec::new();
        for (id, orphan) in orphans {
            match sightings.get(&id) {
                Some(&seen_ms) if ripe(seen_ms, &orphan) => due.push((id, orphan)),
                Some(_) => {}
                None => {
                    sightings.insert(id, store_now);
                }
            }
        }
        if due.len() > FEW_ORPHANS.max(view.blocks.len() / 100) {
            report.halted = true;
            error!(%tenant, orphans = due.len(), "too many orphans, none is deleted");
            return Ok(());
        }
        due.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (id, orphan) in due {
            if !options.dry_run {
                crash_point!("gc.orphan");
                self.inner.objects.delete(orphan.paths).await?;
                crash_point!("gc.orphan.deleted");
                sightings.remove(&id);
            }
            report.deleted_orphans.push(id);
        }
        Ok(())
    }
}

/// An unreferenced block.
#[derive(Debug, Default)]
struct Orphan {
    paths: Vec<Path>,
    newest_ms: i64,
}

/// The objects of a manifest log by number.
#[derive(Debug, Default)]
struct Listed {
    commits: BTreeMap<u64, ObjectMeta>,
    checkpoints: BTreeMap<u64, ObjectMeta>,
    boundaries: BTreeMap<u64, ObjectMeta>,
}

impl Listed {
    fn new(tenant: &TenantId, objects: Vec<ObjectMeta>) -> Self {
        let mut this = Self::default();
        for object in objects {
            match path::classify(tenant, &object.location) {
                path::Kind::Commit(n) => this.commits.insert(n, object),
                path::Kind::Checkpoint(n) => this.checkpoints.insert(n, object),
                path::Kind::Boundary(n) => this.boundaries.insert(n, object),
                path::Kind::Other => None,
            };
        }
        this
    }
}
