//! What travels along with an evaluation: annotations, the stop flag, and how names are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Annotations, Column, VectorError};

/// A flag that asks an evaluation to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
