//! What travels along with an evaluation: annotations, the stop flag, and how names are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Annotations, Column, VectorError};

/// A flag that asks an evaluation to stop; clones share it.
#[derive(Clone, Debug)]
pub struct CancelFlag(Arc<AtomicU64>);

/// Not cancelled, and nobody counts.
const GO_ON: u64 = u64::MAX;

impl Default for CancelFlag {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(GO_ON)))
    }
}

impl CancelFlag {
    /// Cancels itself when it was asked `polls` times: to test, without a clock, how much is done between
    /// two questions.
    pub fn after(polls: u64) -> Self {
        Self(Arc::new(AtomicU64::new(polls)))
    }

    /// How many questions are left of those given to [`after`](Self::after).
    pub fn polls_left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn cancel(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            GO_ON => false,
            0 => true,
            _ => {
                let less = |left: u64| left.checked_sub(1);
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err()
            }
        }
    }
}

/// When `__name__` is removed from results that are no longer the metric they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRemoval {
    /// By the operation itself (Prometheus's default).
    #[default]
    Immediate,
    /// Marked, and removed when the query ends.
    Delayed,
}

/// Samples that an evaluation looked at, counted as Prometheus does: a histogram by its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Overlapping windows count their samples each.
    pub total: u64,
    /// A sample counts for the first step that looks at it.
    pub read: u64,
    /// Both again for each step, when asked for.
    pub steps: Option<Vec<(u64, u64)>>,
}

impl Seen {
    /// With counts for each of `n` steps.
    pub fn per_step(n: usize) -> Self {
        Self { steps: Some(vec![(0, 0); n]), ..Self::default() }
    }

    /// Counts of the same kind, all zero.
    pub fn empty(&self) -> Self {
        self.steps.as_ref().map_or_else(Self::default, |steps| Self::per_step(steps.len()))
    }

    /// Adds the counts of `other`, which is of the same kind.
    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.read = self.read.saturating_add(other.read);
        let steps = self.steps.iter_mut().flatten().zip(other.steps.iter().flatten());
        for ((total, read), (more_total, more_read)) in steps {
            *total = total.saturating_add(*more_total);
            *read = read.saturating_add(*more_read);
        }
    }

    /// Adds what one of `n` steps saw, which is what all see; it was read once.
    pub fn add_to_all(&mut self, one: &Self, n: usize) {
        self.total = self.total.saturating_add(one.total.saturating_mul(n as u64));
        self.read = self.read.saturating_add(one.read);
        let mut read = one.read;
        for (total, step_read) in self.steps.iter_mut().flatten().take(n) {
            *total = total.saturating_add(one.total);
            *step_read = step_read.saturating_add(std::mem::take(&mut read));
        }
    }

    #[inline]
    pub fn add(&mut self, step: usize, total: usize, read: usize) {
        let (total, read) = (total as u64, read as u64);
        self.total = self.total.saturating_add(total);
        self.read = self.read.saturating_add(read);
        if let Some((t, r)) = self.steps.as_mut().and_then(|s| s.get_mut(step)) {
            *t = t.saturating_add(total);
            *r = r.saturating_add(read);
        }
    }
}

/// Travels through one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub annotations: Annotations,
    pub cancel: CancelFlag,
    pub names: NameRemoval,
    pub seen: Seen,
    /// Most slots (columns × steps) that one operation may make; no limit when absent.
    pub max_slots: Option<usize>,
}

impl Context {
    /// Fails once the query was cancelled. Called once per column or batch of steps.
    pub fn check(&self) -> Result<(), VectorError> {
        if self.cancel.is_cancelled() { Err(VectorError::Cancelled) } else { Ok(()) }
    }

    /// Fails when `columns` columns of `n` steps are more than one operation may make.
    pub fn check_slots(&self, columns: usize, n: usize) -> Result<(), VectorError> {
        match self.max_slots {
            Some(max) if columns.saturating_mul(n) > max => Err(VectorError::TooManySamples),
            _ => Ok(()),
        }
    }

    /// Drops the metric name (and `__type__`, `__unit__`) of `column`, now or later.
    pub fn drop_name(&self, column: &mut Column) {
        match self.names {
            NameRemoval::Immediate => {
                column.labels = crate::column::without_metadata(&column.labels);
            }
            NameRemoval::Delayed => column.drop_name = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_may_cancel_itself_after_some_questions() {
        let flag = CancelFlag::after(2);
        let asked: Vec<bool> = (0..4).map(|_| flag.clone().is_cancelled()).collect();
        assert_eq!(asked, [false, false, true, true]);
        assert_eq!(flag.polls_left(), 0);
        let flag = CancelFlag::default();
        assert!(!flag.is_cancelled());
        flag.cancel();
        assert!(flag.is_cancelled());
    }
}
