//! The metrics head of a tenant.
//!
//! Per series: the newest sample (kept over flushes, so that a retry is recognised), and the buffers
//! of [`SeriesData`]. Samples come in order, or late within the out-of-order window.

mod append;
mod data;
mod encode;
mod find;
mod list;
mod read;
mod span;
mod starts;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use skald_codec::batch::Samples;
use skald_model::{Labels, MetricMetadata, SeriesId};

pub(crate) use self::append::{Conflict, Window};
pub(crate) use self::data::SeriesData;
pub(crate) use self::encode::EncodedSelection;
pub(crate) use self::read::{Selection, chunks_of};
use self::span::Span;
pub(crate) use self::starts::Stamp;
use super::{Ageing, Cuttable, LogState};
use crate::index::{Index, Ref, retain_mapped};

/// Cuts without new data after which a series is forgotten.
pub(crate) const IDLE_CUTS: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct MetricsHead {
    pub(crate) index: Index,
    newest: Vec<Newest>,
    data: Vec<SeriesData>,
    pub(crate) log: LogState,
    /// What a flush took and did not commit yet.
    pub(crate) flushing: Option<Arc<MetricsSnapshot>>,
    /// At this commit everything flushed so far is visible.
    pub(crate) manifest_version: u64,
    pub(crate) metadata: BTreeMap<String, MetricMetadata>,
    pub(crate) changed_metadata: BTreeMap<String, MetricMetadata>,
    data_bytes: usize,
    span: Span,
    scratch: Scratch,
}

/// Buffers taken out of a head, by `Ref`.
#[derive(Debug)]
pub(crate) struct MetricsSnapshot {
    pub(crate) data: Vec<SeriesData>,
    pub(crate) bytes: usize,
    span: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    ts: i64,
    /// The value's bits, or a hash of the histogram.
    bits: u64,
    /// Of floats: see [`tail::Last`].
    step: u32,
    kind: Kind,
    /// Cuts that took data of the series, as far as is known; 2 stands for more.
    cuts: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Nothing,
    Float,
    Histogram,
}

/// Buffers that live as long as the head, so that appending allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    ts: Vec<i64>,
    values: Vec<f64>,
    starts: Vec<i64>,
    bytes: Vec<u8>,
    samples: Samples,
}

impl Cuttable for MetricsHead {
    fn log(&self) -> &LogState {
        &self.log
    }
}

// === impl MetricsHead ===

impl MetricsHead {
    /// Adds a series; its labels are logged in this generation.
    pub(crate) fn create(&mut self, id: SeriesId, labels: &Labels) -> Option<Ref> {
        let r = self.index.insert(id, labels, self.log.generation)?;
        self.newest.push(Newest::default());
        self.data.push(SeriesData::default());
        Some(r)
    }

    /// Bytes of index and buffers, the snapshot's not included.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes()
            + self.data_bytes
            + self.data.len() * (size_of::<SeriesData>() + size_of::<Newest>())
    }

    /// Notes that data of the series may have been flushed before the start.
    pub(crate) fn set_flushed(&mut self, r: Ref) {
        self.newest[r as usize].cuts = 2;
    }

    /// What [`Self::bytes`] is made of.
    pub(crate) fn size(&self) -> Vec<(&'static str, usize)> {
        let mut parts = self.index.size().to_vec();
        let n = self.data.len();
        parts.push(("newest samples", n * size_of::<Newest>()));
        parts.push(("buffer headers", n * size_of::<SeriesData>()));
        parts.push(("buffers", self.data_bytes));
        parts
    }

    /// Bytes that a cut would take.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Takes all buffers; `None` when there are none. Must not run while a snapshot is outstanding.
    pub(crate) fn cut(&mut self, ageing: Ageing) -> Option<Arc<MetricsSnapshot>> {
        debug_assert!(self.flushing.is_none());
        let mut n_idle = 0;
        let mut any = false;
        for (r, data) in (0..).zip(&self.data) {
            let active = !data.is_empty();
            let cuts = &mut self.newest[r as usize].cuts;
            *cuts = (*cuts + u8::from(active)).min(2);
            any |= active;
            n_idle += usize::from(self.index.note_cut(r, active, ageing) >= IDLE_CUTS);
        }
        if worth_evicting(n_idle, self.index.len()) {
            self.evict();
        }
        self.log.cut();
        if !any {
            return None;
        }
        let fresh = std::iter::repeat_with(SeriesData::default).take(self.data.len()).collect();
        let data = std::mem::replace(&mut self.data, fresh);
        let bytes = std::mem::take(&mut self.data_bytes) + data.len() * size_of::<SeriesData>();
        let snapshot =
            Arc::new(MetricsSnapshot { data, bytes, span: std::mem::take(&mut self.span) });
        self.flushing = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }

    fn evict(&mut self) {
        // The index cannot be asked while it changes.
        let idle: Vec<bool> =
            (0..).take(self.index.len()).map(|r| self.index.idle(r) >= IDLE_CUTS).collect();
        let remap = self.index.retain(|r| !idle[r as usize]);
        retain_mapped(&mut self.newest, &remap);
        retain_mapped(&mut self.data, &remap);
    }

    /// Keeps metadata of at most `max` names (0 = any number); answers how many names were refused.
    pub(crate) fn keep_metadata(&mut self, all: &[MetricMetadata], max: u64) -> u64 {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut refused = 0;
        for m in all {
            match self.metadata.get(&m.name) {
                Some(known) if known == m => continue,
                None if max > 0 && self.metadata.len() >= max => {
                    refused += 1;
                    continue;
                }
                _ => {}
            }
            self.metadata.insert(m.name.clone(), m.clone());
            self.changed_metadata.insert(m.name.clone(), m.clone());
        }
        refused
    }
}

/// Renumbering costs time in proportion to all series, so a large head waits for an eighth of them.
pub(crate) fn worth_evicting(n_idle: usize, n_all: usize) -> bool {
    const SMALL: usize = 10_000;
    n_idle > 0 && (n_all < SMALL || n_idle >= n_all / 8)
}
