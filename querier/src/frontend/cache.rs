//! Answers of range queries, kept in memory by intervals of time.
//!
//! ```text
//! key: tenant, expression, step, phase of the steps, lookback, interval ─▶ one run of steps with
//!      its series, and the blocks that its steps could look at
//! ```
//!
//! Invariants: what is kept never takes more than the capacity; what was not asked for longest goes
//! first. Whether a run still holds is for its reader to find out: see [`Extent::holds_until`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use skald_model::TenantId;
use skald_promql::{Annotations, MatrixSeries};

use super::shape::Reach;
use super::split::Steps;

/// What one entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tenant: TenantId,
    pub(super) expr: Arc<str>,
    pub(super) step_ms: i64,
    pub(super) phase_ms: i64,
    pub(super) lookback_ms: i64,
    /// Length and number of the interval.
    pub(super) interval: (i64, i64),
}

/// A block's id and its first and last time.
pub(super) type BlockSpan = (String, i64, i64);

/// A run of steps and what they gave.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) steps: Steps,
    pub(super) reach: Reach,
    pub(super) series: Vec<MatrixSeries>,
    pub(super) annotations: Annotations,
    /// The query as written: annotations name places in it.
    pub(super) text: Arc<str>,
    /// The blocks that the steps could look at, sorted.
    pub(super) blocks: Vec<BlockSpan>,
}

/// Shared by all queries. Clones share the entries.
#[derive(Clone, Debug)]
pub(crate) struct ResultsCache {
    lru: Arc<Mutex<Lru>>,
    capacity: usize,
    bytes: Gauge,
}

#[derive(Debug, Default)]
struct Lru {
    entries: HashMap<Arc<Key>, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, Arc<Key>>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    extent: Arc<Extent>,
    used: u64,
    bytes: usize,
}

// === impl ResultsCache ===

impl ResultsCache {
    /// Keeps nothing if `capacity` is 0.
    pub(crate) fn new(capacity: usize, bytes: Gauge) -> Self {
        Self { lru: Arc::default(), capacity, bytes }
    }

    pub(super) fn is_off(&self) -> bool {
        self.capacity == 0
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Extent>> {
        let lru = &mut *self.lru.lock();
        let entry = lru.entries.get_mut(key)?;
        lru.clock += 1;
        if let Some(key) = lru.order.remove(&entry.used) {
            lru.order.insert(lru.clock, key);
        }
        entry.used = lru.clock;
        Some(Arc::clone(&entry.extent))
    }

    /// Replaces what is kept for `key`. One entry takes at most an eighth of the capacity.
    pub(super) fn put(&self, key: Key, extent: Extent) {
        let bytes = extent.size_bytes() + key.expr.len() + 256;
        if bytes > self.capacity / 8 {
            return;
        }
        let lru = &mut *self.lru.lock();
        lru.remove(&key);
        while lru.bytes + bytes > self.capacity
            && let Some((_, oldest)) = lru.order.pop_first()
        {
            lru.remove(&oldest);
        }
        lru.clock += 1;
        lru.bytes += bytes;
        let (key, used) = (Arc::new(key), lru.clock);
        lru.order.insert(used, Arc::clone(&key));
        lru.entries.insert(key, Entry { extent: Arc::new(extent), used, bytes });
        self.bytes.set(i64::try_from(lru.bytes).unwrap_or(i64::MAX));
    }
}

// === impl Lru ===

impl Lru {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

// === impl Extent ===

impl Extent {
    /// The times that its steps look at, both inclusive.
    pub(super) fn looks_at(&self) -> (i64, i64) {
        let Steps { start_ms, end_ms, .. } = self.steps;
        let Reach { past_ms, future_ms } = self.reach;
        (start_ms.saturating_sub(past_ms), end_ms.saturating_add(future_ms))
    }

    /// The last step before which nothing has changed, now that the tenant has `blocks`; `None` if
    /// something has before the first.
    pub(super) fn holds_until(&self, blocks: &[BlockSpan]) -> Option<i64> {
        let now = overlapping(blocks, self.looks_at());
        let gone = self.blocks.iter().filter(|b| !now.contains(b));
        let came = now.iter().filter(|b| !self.blocks.contains(b));
        let Some(change) = gone.chain(came).map(|(_, min, _)| *min).min() else {
            return Some(self.steps.end_ms);
        };
        let Steps { start_ms, step_ms, .. } = self.steps;
        let room = change.saturating_sub(1).saturating_sub(self.reach.future_ms);
        let room = room.saturating_sub(start_ms);
        (room >= 0).then(|| start_ms + room - room % step_ms.max(1))
    }

    /// The points from `from` up to and including `to`.
    pub(super) fn part(&self, from: i64, to: i64) -> Vec<MatrixSeries> {
        part(&self.series, from, to)
    }

    fn size_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|(id, ..)| id.len() + 64).sum();
        let series: usize = self.series.iter().map(super::join::series_bytes).sum();
        series + blocks + self.text.len() + size_of::<Self>()
    }
}

/// Those with data between two times, both inclusive.
pub(super) fn overlapping(blocks: &[BlockSpan], (from, to): (i64, i64)) -> Vec<BlockSpan> {
    blocks.iter().filter(|(_, min, max)| *min <= to && from <= *max).cloned().collect()
}

/// The points from `from` up to and including `to`; series without any are left out.
pub(super) fn part(series: &[MatrixSeries], from: i64, to: i64) -> Vec<MatrixSeries> {
    fn within<T: Clone>(points: &[(i64, T)], from: i64, to: i64) -> Vec<(i64, T)> {
        let first = points.partition_point(|(t, _)| *t < from);
        let end = points.partition_point(|(t, _)| *t <= to);
        points.get(first..end).unwrap_or_default().to_vec()
    }
    let cut = |s: &MatrixSeries| MatrixSeries {
        labels: s.labels.clone(),
        points: within(&s.points, from, to),
        histograms: within(&s.histograms, from, to),
    };
    let parts = series.iter().map(cut);
    parts.filter(|s| !s.points.is_empty() || !s.histograms.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expr: &str) -> Key {
        let (tenant, expr) = (TenantId::single(), expr.into());
        Key { tenant, expr, step_ms: 10, phase_ms: 0, lookback_ms: 1, interval: (100, 0) }
    }

    fn extent(n_points: i64) -> Extent {
        let points = (0..n_points).map(|i| (i * 10, 0.0)).collect();
        let series = vec![MatrixSeries { points, ..MatrixSeries::default() }];
        Extent {
            steps: Steps { start_ms: 0, end_ms: (n_points - 1) * 10, step_ms: 10 },
            reach: Reach { past_ms: 5, future_ms: 3 },
            series,
            annotations: Annotations::default(),
            text: "".into(),
            blocks: vec![("a".to_owned(), 0, 50)],
        }
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let bytes = Gauge::default();
        let cache = ResultsCache::new(20_000, bytes.clone());
        for i in 0..100 {
            cache.put(key(&i.to_string()), extent(60));
            assert!(cache.get(&key("0")).is_some());
            assert!(bytes.get() <= 20_000);
        }
        assert!(cache.get(&key("99")).is_some() && cache.get(&key("1")).is_none());
        let lru = cache.lru.lock();
        assert_eq!(lru.entries.len(), lru.order.len());
        drop(lru);
        cache.put(key("large"), extent(1000));
        assert!(cache.get(&key("large")).is_none());
    }

    #[test]
    fn an_extent_holds_up_to_the_first_change() {
        let e = extent(10);
        let with = |more: &[(&str, i64, i64)]| {
            let mut blocks = e.blocks.clone();
            blocks.extend(more.iter().map(|(id, min, max)| ((*id).to_owned(), *min, *max)));
            e.holds_until(&blocks)
        };
        assert_eq!(with(&[]), Some(90));
        assert_eq!(with(&[("later", 94, 200), ("before", -90, -6)]), Some(90));
        assert_eq!(with(&[("late", 44, 60)]), Some(40));
        assert_eq!(with(&[("late", 43, 60)]), Some(30));
        assert_eq!(with(&[("old", -5, 60)]), None);
        assert_eq!(e.holds_until(&[]), None, "its block is gone");
    }
}
