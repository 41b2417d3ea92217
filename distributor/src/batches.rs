//! One open batch per partition while a push is decoded, and the finished parts that are shipped.

use std::sync::Arc;

use bytes::Bytes;
use skald_codec::batch::{LogsBuilder, MetricsBuilder};
use skald_model::{SeriesId, TenantId};
use skald_ring::{Partition, View, slots};

use crate::buffer::{Buffer, Buffers};
use crate::cache::Key;

/// Set in [`Item::at`] when the position is one in the spill buffer.
const SPILLED: u32 = 1 << 31;

/// Where the labels of a batch's item stand in the push, should an ingester ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    at: u32,
    len: u32,
}

/// The batch of one partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: Arc<Partition>,
    pub(crate) batch: Bytes,
    /// One per item of the batch, in its order.
    pub(crate) items: Vec<Item>,
    /// Items whose labels are in the batch: announced once a quorum has acknowledged it.
    pub(crate) fresh: Vec<Key>,
}

/// A part that is being filled.
#[derive(Debug)]
pub(crate) struct Open<B> {
    pub(crate) builder: B,
    pub(crate) items: Vec<Item>,
    pub(crate) fresh: Vec<Key>,
}

/// The parts of one push. Partitions nothing goes to have none.
#[derive(Debug)]
pub(crate) struct Parts<B> {
    tenant: TenantId,
    view: Arc<View>,
    /// Ids of the writable partitions in the order of the view: what is searched for every series.
    ids: Vec<u32>,
    /// The partitions of this tenant, when those are not all.
    shard: Option<Vec<u32>>,
    open: Vec<Option<Open<B>>>,
    base: i64,
    memory: Memory,
}

/// Where batches are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) buffers: Arc<Buffers>,
    /// About what each will take; 0 when nobody knows.
    pub(crate) n_bytes: usize,
}

/// What both kinds of batch builder can do.
pub(crate) trait Builder {
    fn start(base: i64, memory: &Memory) -> Self;
    fn seal(self, memory: &Memory) -> Bytes;
}

// === impl Item ===

impl Item {
    /// A range of the push's body; positions fit because bodies are below 1 GiB.
    pub(crate) fn in_body(at: usize, len: usize) -> Self {
        let fit = |n: usize| u32::try_from(n).unwrap_or(0) & !SPILLED;
        Self { at: fit(at), len: fit(len) }
    }

    /// A range of the spill buffer.
    pub(crate) fn in_spill(at: usize, len: usize) -> Self {
        let item = Self::in_body(at, len);
        Self { at: item.at | SPILLED, len: item.len }
    }

    /// The bytes this stands for.
    pub(crate) fn of<'a>(self, body: &'a [u8], spill: &'a [u8]) -> Option<&'a [u8]> {
        let from = if self.at & SPILLED == 0 { body } else { spill };
        let at = usize::try_from(self.at & !SPILLED).ok()?;
        from.get(at..at.checked_add(usize::try_from(self.len).ok()?)?)
    }
}

// === impl Parts ===

impl<B: Builder> Parts<B> {
    /// `shard_size` is the tenant's limit `ingestion_tenant_shard_size`.
    pub(crate) fn new(
        tenant: TenantId,
        view: Arc<View>,
        shard_size: usize,
        base: i64,
        memory: Memory,
    ) -> Self {
        let ids: Vec<u32> = view.writable().map(|p| p.id).collect();
        debug_assert!(!ids.is_empty(), "nothing is decoded where nothing can be stored");
        let open = (0..ids.len().max(1)).map(|_| None).collect();
        let n_bytes = memory.n_bytes / ids.len().max(1);
        let shard = view.shard(&tenant, shard_size);
        Self { tenant, view, ids, shard, open, base, memory: Memory { n_bytes, ..memory } }
    }

    /// The part that a series or stream goes to.
    #[inline]
    pub(crate) fn of(&mut self, id: SeriesId) -> &mut Open<B> {
        let at = match self.ids.len() {
            1 => 0,
            _ => {
                let owner = match &self.shard {
                    Some(shard) => slots::owner_of(shard, self.tenant.hash64(), id),
                    None => self.view.owner(&self.tenant, id),
                };
                let found = self.ids.iter().position(|p| *p == owner);
                debug_assert!(found.is_some(), "the owner is a partition of its view");
                found.unwrap_or(0)
            }
        };
        self.open[at].get_or_insert_with(|| Open {
            builder: B::start(self.base, &self.memory),
            items: Vec::new(),
            fresh: Vec::new(),
        })
    }

    /// The finished parts.
    pub(crate) fn finish(self) -> Vec<Part> {
        let parts = self.view.writable().zip(self.open);
        let memory = &self.memory;
        let finish = |(partition, open): (&Arc<Partition>, Option<Open<B>>)| {
            open.map(|open| Part {
                partition: Arc::clone(partition),
                batch: open.builder.seal(memory),
                items: open.items,
                fresh: open.fresh,
            })
        };
        parts.filter_map(finish).collect()
    }
}

impl Builder for MetricsBuilder {
    fn start(base: i64, _memory: &Memory) -> Self {
        Self::new(base)
    }

    fn seal(self, _memory: &Memory) -> Bytes {
        self.finish()
    }
}

impl Builder for LogsBuilder {
    fn start(base: i64, memory: &Memory) -> Self {
        Self::reusing(memory.buffers.take(memory.n_bytes), base, memory.n_bytes)
    }

    fn seal(self, memory: &Memory) -> Bytes {
        let batch = self.into_vec();
        let len = batch.len();
        Buffer::new(batch, len, &memory.buffers).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_find_their_bytes() {
        let (body, spill) = (b"body", b"spill");
        assert_eq!(Item::in_body(1, 2).of(body, spill), Some(&b"od"[..]));
        assert_eq!(Item::in_spill(0, 5).of(body, spill), Some(&b"spill"[..]));
        assert_eq!(Item::in_body(3, 2).of(body, spill), None);
    }
}
