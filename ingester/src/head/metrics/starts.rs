//! Start timestamps of samples that are not sealed yet. Few series have any, so they stand apart.

use super::SeriesData;

/// When a sample is of, and when its counter began to count: 0 = unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) ts: i64,
    pub(crate) start: i64,
}

/// The start timestamps beside the buffers of one series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    /// Of the tail.
    pub(super) floats: Steps,
    /// Of the histograms that came in order.
    pub(super) histograms: Steps,
    /// Late samples that have one, by time.
    pub(super) late: Vec<(i64, i64)>,
}

/// The start from each of these times on, ascending; unknown before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(Vec<(i64, i64)>);

impl From<i64> for Stamp {
    fn from(ts: i64) -> Self {
        Self { ts, start: 0 }
    }
}

// === impl Steps ===

impl Steps {
    /// Notes the start of a sample newer than all before.
    pub(super) fn push(&mut self, stamp: Stamp) {
        if stamp.start != self.0.last().map_or(0, |(_, start)| *start) {
            // Most series have one start between two chunks.
            self.0.reserve_exact(1);
            self.0.push((stamp.ts, stamp.start));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn at(&self, ts: i64) -> i64 {
        let after = self.0.partition_point(|(t, _)| *t <= ts);
        after.checked_sub(1).and_then(|i| self.0.get(i)).map_or(0, |(_, start)| *start)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

// === impl Starts ===

impl Starts {
    /// Notes the start of a late sample, of which there is none at this time yet.
    pub(super) fn insert_late(&mut self, stamp: Stamp) {
        let at = self.late.partition_point(|(t, _)| *t < stamp.ts);
        self.late.insert(at, (stamp.ts, stamp.start));
    }

    pub(super) fn of_late(&self, ts: i64) -> i64 {
        let found = self.late.binary_search_by_key(&ts, |(t, _)| *t);
        found.ok().and_then(|i| self.late.get(i)).map_or(0, |(_, start)| *start)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let entries =
            self.floats.0.capacity() + self.histograms.0.capacity() + self.late.capacity();
        size_of::<Self>() + entries * size_of::<(i64, i64)>()
    }
}

// === impl SeriesData ===

impl SeriesData {
    /// What is known of start timestamps of samples that are not sealed.
    pub(super) fn starts(&self) -> Option<&Starts> {
        self.extra.as_ref()?.starts.as_deref()
    }

    /// The same to note `stamp` in; `None` when there is nothing to note.
    pub(super) fn starts_for(&mut self, stamp: Stamp) -> Option<&mut Starts> {
        if stamp.start == 0 && self.starts().is_none() {
            return None;
        }
        Some(self.extra_mut().starts.get_or_insert_with(Box::default))
    }
}
