//! What reading blocks costs a request: all together, and of each block where somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use skald_blocks::{BlockId, ReadStats, StatsSnapshot};

/// Counters of a request. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    all: Arc<ReadStats>,
    by_block: Option<Arc<Mutex<ByBlock>>>,
}

#[derive(Debug, Default)]
struct ByBlock {
    seen: HashSet<BlockId>,
    opened: HashMap<BlockId, Arc<ReadStats>>,
}

/// Blocks that a request met.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockReads {
    /// All of the tenant.
    pub(crate) considered: u64,
    /// Those that were opened, each with what it cost.
    pub(crate) opened: Vec<StatsSnapshot>,
}

// === impl Reads ===

impl Reads {
    /// The same, and from now on of each block.
    pub(super) fn by_block(&self) -> Self {
        Self { all: Arc::clone(&self.all), by_block: Some(Arc::default()) }
    }

    /// Whether somebody wants to know about each block.
    pub(crate) fn are_by_block(&self) -> bool {
        self.by_block.is_some()
    }

    /// A block was listed, whether it is opened or not.
    pub(crate) fn consider(&self, block: BlockId) {
        if let Some(by_block) = &self.by_block {
            by_block.lock().seen.insert(block);
        }
    }

    /// The counters for what is read of a block.
    pub(crate) fn of(&self, block: BlockId) -> Arc<ReadStats> {
        let Some(by_block) = &self.by_block else { return Arc::clone(&self.all) };
        let part = || Arc::new(ReadStats::part_of(&self.all));
        Arc::clone(by_block.lock().opened.entry(block).or_insert_with(part))
    }

    pub(crate) fn snapshot(&self) -> StatsSnapshot {
        self.all.snapshot()
    }

    pub(super) fn blocks(&self) -> BlockReads {
        let Some(by_block) = &self.by_block else { return BlockReads::default() };
        let by_block = by_block.lock();
        BlockReads {
            considered: by_block.seen.len() as u64,
            opened: by_block.opened.values().map(|s| s.snapshot()).collect(),
        }
    }
}

// === impl BlockReads ===

impl BlockReads {
    pub(crate) fn total(&self) -> StatsSnapshot {
        let mut total = StatsSnapshot::default();
        self.opened.iter().for_each(|s| total += *s);
        total
    }
}
