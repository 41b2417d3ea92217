//! The state of a tenant after a commit, and how a commit changes it.
//!
//! Invariants: `blocks` is ordered by id and ids are unique; an id is in at most one of `blocks` and
//! `removed`; a removed id never comes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skald_model::TenantId;
use skald_proto::catalog::{
    BlockMeta, Checkpoint, Commit, DeleteRequest, MetricMetadata, RemovedBlock, Signal,
};

use crate::frame;

/// One tenant's blocks after commit `number`. Holding it pins its blocks in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub tenant: TenantId,
    /// 0 for a tenant without commits.
    pub number: u64,
    /// Ordered by id.
    pub blocks: Vec<Arc<BlockMeta>>,
    /// Replica → every record of this tenant with a WAL number up to this is in blocks.
    pub watermarks: BTreeMap<String, u64>,
    /// Replica → its highest epoch that ever committed.
    pub epochs: BTreeMap<String, u64>,
    /// By metric name.
    pub metadata: Arc<BTreeMap<String, MetricMetadata>>,
    /// Blocks whose objects wait for their deletion, by id.
    pub removed: BTreeMap<String, RemovedBlock>,
    /// Requests to delete lines or samples, by id.
    pub deletes: BTreeMap<String, DeleteRequest>,
    /// When this state was read first.
    pub loaded_at_ms: i64,
}

// === impl View ===

impl View {
    pub(crate) fn empty(tenant: &TenantId, loaded_at_ms: i64) -> Self {
        Self {
            tenant: tenant.clone(),
            number: 0,
            blocks: Vec::new(),
            watermarks: BTreeMap::new(),
            epochs: BTreeMap::new(),
            metadata: Arc::default(),
            removed: BTreeMap::new(),
            deletes: BTreeMap::new(),
            loaded_at_ms,
        }
    }

    pub fn block(&self, id: &str) -> Option<&Arc<BlockMeta>> {
        self.position(id).ok().map(|i| &self.blocks[i])
    }

    /// Requests to delete lines, or samples, that are not carried out yet.
    pub fn open_deletes(&self, signal: Signal) -> impl Iterator<Item = &DeleteRequest> {
        let of_metrics = signal == Signal::Metrics;
        let is_asked = move |d: &&DeleteRequest| {
            d.finished_ms == 0 && (d.signal() == Signal::Metrics) == of_metrics
        };
        self.deletes.values().filter(is_asked)
    }

    /// 0 when the replica never committed one.
    pub fn watermark(&self, replica: &str) -> u64 {
        self.watermarks.get(replica).copied().unwrap_or_default()
    }

    fn position(&self, id: &str) -> Result<usize, usize> {
        self.blocks.binary_search_by(|b| b.id.as_str().cmp(id))
    }

    /// Whether the id was used before.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.position(id).is_ok() || self.removed.contains_key(id)
    }

    /// Becomes the state after `commit`, which must be the next one.
    ///
    /// Removing a block puts it on the list of removed ones; removing it once more, when its objects
    /// are deleted, takes it off that list. Every reader comes to the same state.
    pub(crate) fn apply(&mut self, commit: Commit) {
        debug_assert_eq!(commit.number, self.number + 1);
        self.number = commit.number;
        for id in commit.removes {
            match self.position(&id) {
                Ok(i) => {
                    let signal = self.blocks.remove(i).signal;
                    let entry = RemovedBlock { id: id.clone(), removed_ms: commit.time_ms, signal };
                    self.removed.insert(id, entry);
                }
                Err(_) => {
                    self.removed.remove(&id);
                }
            }
        }
        for block in commit.adds {
            if let Err(i) = self.position(&block.id)
                && !self.removed.contains_key(&block.id)
            {
                self.blocks.insert(i, Arc::new(block));
            }
        }
        raise(&mut self.watermarks, commit.watermark);
        if let Some(author) = commit.author {
            raise(&mut self.epochs, [(author.replica, author.epoch)]);
        }
        for id in &commit.forget_deletes {
            self.deletes.remove(id);
        }
        self.deletes.extend(commit.deletes.into_iter().map(|d| (d.id.clone(), d)));
        if !commit.metadata.is_empty() {
            let all = Arc::make_mut(&mut self.metadata);
            all.extend(commit.metadata.into_iter().map(|m| (m.name.clone(), m)));
        }
    }

    pub(crate) fn to_checkpoint(&self) -> Checkpoint {
        let pairs = |map: &BTreeMap<String, u64>| -> HashMap<String, u64> {
            map.iter().map(|(k, v)| (k.clone(), *v)).collect()
        };
        Checkpoint {
            version: frame::version(self.deletes.values(), false),
            number: self.number,
            blocks: self.blocks.iter().map(|b| BlockMeta::clone(b)).collect(),
            watermark: pairs(&self.watermarks),
            epochs: pairs(&self.epochs),
            metadata: self.metadata.values().cloned().collect(),
            removed: self.removed.values().cloned().collect(),
            deletes: self.deletes.values().cloned().collect(),
        }
    }

    pub(crate) fn from_checkpoint(
        tenant: &TenantId,
        checkpoint: Checkpoint,
        loaded_at_ms: i64,
    ) -> Self {
        let mut blocks: Vec<_> = checkpoint.blocks.into_iter().map(Arc::new).collect();
        blocks.sort_by(|a, b| a.id.cmp(&b.id));
        blocks.dedup_by(|a, b| a.id == b.id);
        let metadata = checkpoint.metadata.into_iter().map(|m| (m.name.clone(), m));
        Self {
            tenant: tenant.clone(),
            number: checkpoint.number,
            blocks,
            watermarks: checkpoint.watermark.into_iter().collect(),
            epochs: checkpoint.epochs.into_iter().collect(),
            metadata: Arc::new(metadata.collect()),
            removed: checkpoint.removed.into_iter().map(|r| (r.id.clone(), r)).collect(),
            deletes: checkpoint.deletes.into_iter().map(|d| (d.id.clone(), d)).collect(),
            loaded_at_ms,
        }
    }
}

/// Takes the larger value of each key.
fn raise(map: &mut BTreeMap<String, u64>, with: impl IntoIterator<Item = (String, u64)>) {
    for (key, value) in with {
        let entry = map.entry(key).or_default();
        *entry = value.max(*entry);
    }
}
