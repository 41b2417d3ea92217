//! Adding a commit to a tenant's log.
//!
//! Commit n + 1 is created where nothing is, on top of a view of exactly n, so that of all who try one
//! wins. Neither "already exists" nor an error says who: the object is read, and its uuid tells. Ours
//! means success; somebody else's is applied and the next number tried; none means trying again. A
//! stalled author might create a number that was used and deleted long ago, therefore a success counts
//! only above the boundary, and only within ten minutes.

use std::collections::HashMap;

use bytes::Bytes;
use skald_model::{Chain, TenantId};
use skald_proto::catalog::{BlockMeta, Commit, DeleteRequest, MetricMetadata};
use skald_runtime::crash_point;
use tracing::{debug, warn};

use crate::catalog::{Cached, Catalog, Stamp, Tenant};
use crate::frame::{self, Hint};
use crate::{CommitError, Error, View, path};

/// What a commit changes. An empty one commits nothing.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// New blocks, whose objects are stored already.
    pub adds: Vec<BlockMeta>,
    /// Ids of blocks that go.
    pub removes: Vec<String>,
    /// New watermark of the author's replica: every record of this tenant with a WAL number up to it
    /// is in blocks of this or an earlier commit.
    pub watermark: Option<u64>,
    /// Metadata seen; what the log has already is left out.
    pub metadata: Vec<MetricMetadata>,
    /// Requests to delete lines or samples: new ones, and those of the same id instead of what is there.
    pub deletes: Vec<DeleteRequest>,
    /// Ids of requests that are withdrawn or forgotten.
    pub forget_deletes: Vec<String>,
}

/// A commit on its way.
struct Attempt<'a> {
    catalog: &'a Catalog,
    tenant: &'a TenantId,
    state: &'a Tenant,
    change: Change,
    /// Removed blocks whose objects are deleted.
    forgets: Vec<String>,
    uuid: Bytes,
    started: Stamp,
    failures: u32,
    /// The view was read since the start.
    is_fresh: bool,
}

/// Who has the number.
enum Outcome {
    Ours(Commit),
    Theirs(Commit),
    Nobody,
}

impl Catalog {
    /// Commits `change` and answers its number; the current number if there is nothing to change.
    ///
    /// Adds go on top of whatever others committed. Removes fail with `Conflict` if one of the blocks
    /// is gone. A change whose added blocks are all known and whose removed ones are all gone counts as
    /// committed: after an error of unknown outcome the caller repeats it with the same blocks.
    /// If cancelled, it may or may not have been committed.
    pub async fn commit(&self, tenant: &TenantId, change: Change) -> Result<u64, CommitError> {
        let all = change.adds.iter().map(|b| &b.id).chain(&change.removes);
        let mut ids = std::collections::HashSet::new();
        for id in all {
            if !path::is_block_id(id) {
                return Err(CommitError::Invalid(format!("{id:?} is not a block id")));
            }
            if !ids.insert(id) {
                return Err(CommitError::Invalid(format!("block {id} occurs twice")));
            }
        }
        self.commit_all(tenant, change, Vec::new()).await
    }

    /// As [`commit`](Self::commit), and takes deleted blocks off the list of removed ones.
    pub(crate) async fn commit_all(
        &self,
        tenant: &TenantId,
        change: Change,
        forgets: Vec<String>,
    ) -> Result<u64, CommitError> {
        let state = self.tenant(tenant);
        let _turn = state.committing.lock().await;
        let attempt = Attempt {
            catalog: self,
            tenant,
            state: &state,
            change,
            forgets,
            uuid: Bytes::copy_from_slice(&self.inner.rng.next_u128().to_be_bytes()),
            started: self.inner.now(),
            failures: 0,
            is_fresh: false,
        };
        attempt.run().await
    }
}

// === impl Attempt ===

impl Attempt<'_> {
    async fn run(mut self) -> Result<u64, CommitError> {
        let mut base = self.base().await?;
        loop {
            let view = &base.view;
            let number = view.number + 1;
            self.check_deadline(number)?;
            self.check_fence(view)?;
            match self.is_landed(view) {
                Ok(true) => return Ok(view.number),
                Ok(false) => {}
                // Only a view read since says who lost.
                Err(CommitError::Conflict { .. }) if !self.is_fresh => {
                    base = self.fresh_base().await?;
                    continue;
                }
                Err(e) => return Err(e),
            }
            let Some(commit) = self.build(view, number) else {
                return Ok(view.number);
            };
            match self.create(commit).await? {
                Outcome::Ours(commit) => {
                    crash_point!("commit.created");
                    self.check_deadline(number)?;
                    self.check_boundary(number).await?;
                    crash_point!("commit.checked");
                    let after = self.follow(&base, commit);
                    self.write_checkpoint(&after.view).await;
                    return Ok(number);
                }
                Outcome::Theirs(commit) => {
                    debug!(tenant = %self.tenant, number, "commit number was taken, rebasing");
                    base = self.follow(&base, commit);
                }
                Outcome::Nobody => {}
            }
        }
    }

    /// The view to start from. It may be old: then its next number is taken.
    async fn base(&mut self) -> Result<Cached, CommitError> {
        if let Some(cached) = self.state.cached()
            && cached.verified_at.elapsed(&self.catalog.inner) < crate::load::VERIFY_EVERY
        {
            return Ok(cached);
        }
        self.fresh_base().await
    }

    async fn fresh_base(&mut self) -> Result<Cached, CommitError> {
        self.is_fresh = true;
        loop {
            match self.catalog.load_newer(self.tenant, self.state.cached()).await {
                Ok(next) => return Ok(self.state.publish(next)),
                Err(e) => self.failed(e, 0).await?,
            }
        }
    }

    /// The view after `commit`, published.
    fn follow(&self, base: &Cached, commit: Commit) -> Cached {
        let mut view = View::clone(&base.view);
        view.apply(commit);
        view.loaded_at_ms = self.catalog.inner.clock.now_ms();
        let Cached { fresh_at, verified_at, .. } = *base;
        let next = Cached { view: view.into(), fresh_at, verified_at };
        self.state.publish(next.clone());
        // Not the published one: a reader may be ahead, and the next number follows from this one.
        next
    }

    /// Counts a failed request and waits; gives up after too many, or when waiting cannot help.
    async fn failed(&mut self, error: Error, number: u64) -> Result<(), CommitError> {
        self.failures += 1;
        let inner = &self.catalog.inner;
        if !error.is_transient() || self.failures >= inner.config.commit_attempts {
            return Err(error.into());
        }
        debug!(tenant = %self.tenant, number, error = %Chain(&error), "commit request failed");
        inner.back_off(self.failures).await;
        self.check_deadline(number)
    }

    fn check_deadline(&self, number: u64) -> Result<(), CommitError> {
        let inner = &self.catalog.inner;
        if self.started.elapsed(inner) >= inner.config.commit_timeout.0 {
            return Err(CommitError::Expired { number });
        }
        Ok(())
    }

    fn check_fence(&self, view: &View) -> Result<(), CommitError> {
        let author = &self.catalog.author;
        let recorded = view.epochs.get(&author.replica).copied().unwrap_or(0);
        if author.epoch < recorded {
            let (replica, epoch) = (author.replica.clone(), author.epoch);
            return Err(CommitError::Fenced { replica, epoch, recorded });
        }
        Ok(())
    }

    /// Whether the change was made already, by an earlier call; an error if it cannot be made.
    fn is_landed(&self, view: &View) -> Result<bool, CommitError> {
        let Change { adds, removes, .. } = &self.change;
        let gone = removes.iter().find(|id| view.block(id).is_none());
        let known = adds.iter().find(|b| view.knows(&b.id));
        let all_gone = removes.iter().all(|id| view.block(id).is_none());
        if !adds.is_empty() && all_gone && adds.iter().all(|b| view.knows(&b.id)) {
            return Ok(true);
        }
        match gone.or(known.map(|b| &b.id)) {
            Some(block) => Err(CommitError::Conflict { block: block.clone() }),
            None => Ok(false),
        }
    }

    /// The commit that makes the change on top of `view`; `None` if nothing is left of it.
    fn build(&self, view: &View, number: u64) -> Option<Commit> {
        let Change { adds, removes, watermark, metadata, .. } = &self.change;
        let author = &self.catalog.author;
        let watermark = watermark.filter(|&seq| seq > view.watermark(&author.replica));
        let forgets = self.forgets.iter().filter(|id| view.removed.contains_key(*id));
        let removes: Vec<String> = removes.iter().chain(forgets).cloned().collect();
        let metadata = self.new_metadata(view, metadata);
        let is_new = |d: &&DeleteRequest| view.deletes.get(&d.id) != Some(*d);
        let deletes: Vec<_> = self.change.deletes.iter().filter(is_new).cloned().collect();
        let is_there = |id: &&String| view.deletes.contains_key(*id);
        let forget_deletes: Vec<_> =
            self.change.forget_deletes.iter().filter(is_there).cloned().collect();
        let no_deletes = deletes.is_empty() && forget_deletes.is_empty();
        let empty = adds.is_empty() && removes.is_empty() && metadata.is_empty() && no_deletes;
        if empty && watermark.is_none() {
            return None;
        }
        Some(Commit {
            version: frame::version(deletes.iter(), !forget_deletes.is_empty()),
            number,
            commit_uuid: self.uuid.clone(),
            author: Some(author.as_ref().clone()),
            time_ms: self.catalog.inner.clock.now_ms(),
            adds: adds.clone(),
            removes,
            watermark: watermark.map(|seq| (author.replica.clone(), seq)).into_iter().collect(),
            metadata,
            deletes,
            forget_deletes,
        })
    }

    /// What the log does not have yet, one entry per name, up to the limit of names.
    fn new_metadata(&self, view: &View, seen: &[MetricMetadata]) -> Vec<MetricMetadata> {
        let mut room = self.catalog.inner.config.max_metadata.saturating_sub(view.metadata.len());
        let mut new = HashMap::new();
        for metadata in seen {
            match view.metadata.get(&metadata.name) {
                Some(known) if known == metadata => continue,
                Some(_) => {}
                None if new.contains_key(&metadata.name) => {}
                None if room == 0 => continue,
                None => room -= 1,
            }
            new.insert(&metadata.name, metadata);
        }
        let mut new: Vec<_> = new.into_values().cloned().collect();
        new.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        new
    }

    /// Tries to create `commit` and finds out who has its number.
    async fn create(&mut self, commit: Commit) -> Result<Outcome, CommitError> {
        let number = commit.number;
        let at = path::commit(self.tenant, number);
        let bytes = frame::encode_commit(&commit);
        if bytes.len() > frame::MAX_COMMIT {
            let size = bytes.len();
            return Err(CommitError::Invalid(format!("{size} bytes in one commit")));
        }
        crash_point!("commit.create");
        let error = match self.catalog.inner.objects.create(&at, bytes).await {
            Ok(()) => return Ok(Outcome::Ours(commit)),
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(error.into());
        }
        loop {
            match self.catalog.read_commit(self.tenant, number).await {
                Ok(Some(found)) if found.commit_uuid == self.uuid => {
                    return Ok(Outcome::Ours(found));
                }
                Ok(Some(found)) => return Ok(Outcome::Theirs(found)),
                Ok(None) => {
                    self.failed(error, number).await?;
                    return Ok(Outcome::Nobody);
                }
                Err(e) => self.failed(e, number).await?,
            }
        }
    }

    /// Fails if commit `number` may have been created in place of a deleted one.
    async fn check_boundary(&mut self, number: u64) -> Result<(), CommitError> {
        loop {
            match self.catalog.boundary(self.tenant).await {
                Ok(boundary) if number > boundary => return Ok(()),
                Ok(_) => {
                    self.state.forget();
                    return Err(CommitError::Expired { number });
                }
                Err(e) => self.failed(e, number).await?,
            }
        }
    }

    /// Whoever crosses the interval writes the checkpoint. Without one, readers read more commits.
    async fn write_checkpoint(&self, view: &View) {
        let inner = &self.catalog.inner;
        if !view.number.is_multiple_of(inner.config.checkpoint_interval) {
            return;
        }
        let bytes = frame::encode_checkpoint(&view.to_checkpoint());
        if bytes.len() > frame::MAX_CHECKPOINT {
            warn!(tenant = %self.tenant, bytes = bytes.len(), "checkpoint is too large, not written");
            return;
        }
        let at = path::checkpoint(self.tenant, view.number);
        crash_point!("checkpoint.create");
        if let Err(e) = inner.objects.create(&at, bytes).await {
            warn!(tenant = %self.tenant, error = %Chain(&e), "checkpoint not written");
            return;
        }
        crash_point!("checkpoint.created");
        let hint = frame::encode_hint(Hint { checkpoint: view.number });
        if let Err(e) = inner.objects.overwrite(&path::hint(self.tenant), hint).await {
            debug!(tenant = %self.tenant, error = %Chain(&e), "hint not written");
        }
        crash_point!("checkpoint.hinted");
    }
}
