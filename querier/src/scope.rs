//! One request under way: whose it is, what it may use, what it has read.

mod partial;
mod reads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skald_limits::Limits;
use skald_model::TenantId;

pub(crate) use self::partial::Partial;
pub(crate) use self::reads::{BlockReads, Reads};
use crate::frontend::record::Record;
use crate::memory::QueryMemory;

/// Goes with a request through all layers. Clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) tenant: TenantId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: QueryMemory,
    pub(crate) reads: Reads,
    pub(crate) record: Arc<Record>,
    pub(crate) partial: Partial,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    blocks: AtomicU64,
    heads: AtomicU64,
}

/// What a request has touched so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched {
    /// Blocks read.
    pub(crate) blocks: u64,
    /// Ingesters that answered.
    pub(crate) heads: u64,
}

// === impl Scope ===

impl Scope {
    pub(crate) fn new(tenant: TenantId, limits: Arc<Limits>) -> Self {
        let memory = QueryMemory::new(limits.max_query_memory);
        let (reads, record, counts) = (Reads::default(), Arc::default(), Arc::default());
        let partial = Partial::default();
        Self { tenant, limits, memory, reads, record, partial, counts }
    }

    /// The same request, with its memory counted from zero.
    pub(crate) fn with_fresh_memory(&self) -> Self {
        let memory = self.memory.fresh(self.limits.max_query_memory);
        Self { memory, ..self.clone() }
    }

    /// The same request, for a look whose reads and blocks count for nobody.
    pub(crate) fn uncounted(&self) -> Self {
        Self { reads: Reads::default(), counts: Arc::default(), ..self.clone() }
    }

    /// The same request, for a look at blocks that are counted when they are searched.
    pub(crate) fn without_blocks(&self) -> Self {
        Self { counts: Arc::default(), ..self.clone() }
    }

    /// The same request under other limits.
    pub(crate) fn with_limits(&self, limits: Arc<Limits>) -> Self {
        let memory = self.memory.fresh(limits.max_query_memory);
        Self { limits, memory, ..self.clone() }
    }

    /// The same request, which counts what it reads of each block.
    pub(crate) fn by_block(&self) -> Self {
        Self { reads: self.reads.by_block(), ..self.clone() }
    }

    pub(crate) fn block_reads(&self) -> BlockReads {
        self.reads.blocks()
    }

    /// A part of the same request, whose memory is given back at its end.
    pub(crate) fn piece(&self) -> Self {
        Self { memory: self.memory.part(), ..self.clone() }
    }

    pub(crate) fn add_block(&self) {
        self.counts.blocks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_head(&self) {
        self.counts.heads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn touched(&self) -> Touched {
        Touched {
            blocks: self.counts.blocks.load(Ordering::Relaxed),
            heads: self.counts.heads.load(Ordering::Relaxed),
        }
    }
}
