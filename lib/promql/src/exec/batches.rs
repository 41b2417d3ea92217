//! Series in batches, computed by as many threads as the CPU pool has free, taken in order.
//!
//! ```text
//! evaluating thread ─┐                  ┌─▶ batch 0 ─▶ batch 1 ─▶ batch 2 … in order, to the fold
//! helpers (0..n)    ─┴─ claim a batch ──┘   (kept until its turn)
//! ```
//!
//! Invariants: what is folded does not depend on who computed it, since batches are taken in order and
//! remarks stay with their series. At most [`AHEAD`] batches wait. Nobody waits for a helper that has
//! not begun: what it would do, the evaluating thread does itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use skald_runtime::CpuPool;
use skald_vector::{CancelFlag, Context, NameRemoval, Seen};

use super::Fetched;
use super::lanes::{Done, Pipelines};
use crate::QueryError;
use crate::eval::Loaded;

/// Batches that may be claimed before the one to be folded next.
pub(super) const AHEAD: usize = 6;
/// Most series, and most slots of columns, of one batch.
const SERIES: usize = 64;
const SLOTS: usize = 1 << 16;
/// Samples and slots of which there should be at least as many to be worth another thread.
const WORTHWHILE: usize = 96 << 10;

/// What became of one series, by lane.
#[derive(Debug, Default)]
pub(super) struct Computed {
    pub lanes: Vec<Done>,
    /// Samples that were decoded for it.
    pub n_samples: usize,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub series: Vec<Computed>,
    /// By lane.
    pub seen: Vec<Seen>,
}

/// The work of one pipeline, shared by its threads.
#[derive(Debug)]
struct Work {
    pipelines: Arc<Pipelines>,
    cancel: CancelFlag,
    /// Which counts are kept, and how much one operation may make.
    seen: Seen,
    max_slots: Option<usize>,
    per_batch: usize,
    n_batches: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The first batch that nobody has claimed.
    next: usize,
    /// Batches that were taken.
    taken: usize,
    done: BTreeMap<usize, Result<Batch, QueryError>>,
    /// Nobody wants more.
    stopped: bool,
}

/// The batches of a pipeline in order. Helpers stop when it is dropped.
#[derive(Debug)]
pub(super) struct Batches {
    work: Arc<Work>,
    samples: Loaded,
}

/// Says that a claimed batch failed unless it is told otherwise: whoever waits must not wait for ever.
struct Claim<'w> {
    work: &'w Work,
    batch: usize,
    result: Option<Result<Batch, QueryError>>,
}

/// How many series make a batch; `None` when sharing does not pay.
pub(super) fn size(pipelines: &Pipelines) -> Option<usize> {
    let data = pipelines.data()?;
    let n = pipelines.slots().max(1);
    let per_batch = (SLOTS / n).clamp(1, SERIES);
    let work = data.n_samples().saturating_add(n.saturating_mul(data.len()));
    (data.len() > per_batch && work >= WORTHWHILE).then_some(per_batch)
}

// === impl Batches ===

impl Batches {
    /// Asks the pool for help with `pipelines`.
    pub(super) fn start(
        pool: &CpuPool,
        pipelines: Arc<Pipelines>,
        per_batch: usize,
        ctx: &Context,
    ) -> Self {
        let n_series = pipelines.data().map_or(0, Fetched::len);
        let n_batches = n_series.div_ceil(per_batch);
        let work = Arc::new(Work {
            pipelines,
            cancel: ctx.cancel.clone(),
            seen: ctx.seen.empty(),
            max_slots: ctx.max_slots,
            per_batch,
            n_batches,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        for _ in 1..n_batches.min(AHEAD) {
            let helper = Arc::clone(&work);
            if !pool.try_start(move || helper.help()) {
                break;
            }
        }
        Self { work, samples: Loaded::default() }
    }

    /// The next batch, computed here unless somebody else does.
    pub(super) fn next(&mut self) -> Option<Result<Batch, QueryError>> {
        let work = Arc::clone(&self.work);
        let mut state = work.state.lock();
        let wanted = state.taken;
        if wanted >= work.n_batches {
            return None;
        }
        loop {
            if let Some(result) = state.done.remove(&wanted) {
                state.taken += 1;
                drop(state);
                work.changed.notify_all();
                return Some(result);
            }
            match state.claim(work.n_batches) {
                Some(batch) => {
                    drop(state);
                    work.finish(batch, &mut self.samples);
                    state = work.state.lock();
                }
                None => work.changed.wait(&mut state),
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        let mut state = self.work.state.lock();
        state.stopped = true;
        state.done.clear();
        drop(state);
        self.work.changed.notify_all();
    }
}

// === impl State ===

impl State {
    fn claim(&mut self, n_batches: usize) -> Option<usize> {
        let batch = self.next;
        let free = batch < n_batches && batch < self.taken.saturating_add(AHEAD);
        free.then(|| {
            self.next += 1;
            batch
        })
    }
}

// === impl Work ===

impl Work {
    /// Computes batches until there are no more to claim.
    fn help(&self) {
        let mut samples = Loaded::default();
        loop {
            let mut state = self.state.lock();
            let batch = loop {
                if state.stopped || state.next >= self.n_batches {
                    return;
                }
                match state.claim(self.n_batches) {
                    Some(batch) => break batch,
                    None => self.changed.wait(&mut state),
                }
            };
            drop(state);
            self.finish(batch, &mut samples);
        }
    }

    fn finish(&self, batch: usize, samples: &mut Loaded) {
        let mut claim = Claim { work: self, batch, result: None };
        claim.result = Some(self.compute(batch, samples));
    }

    fn compute(&self, batch: usize, samples: &mut Loaded) -> Result<Batch, QueryError> {
        let mut ctx = Context {
            cancel: self.cancel.clone(),
            names: NameRemoval::Delayed,
            max_slots: self.max_slots,
            ..Context::default()
        };
        let first = batch.saturating_mul(self.per_batch);
        let mut seen = vec![self.seen.empty(); self.pipelines.all.len()];
        let Some(data) = self.pipelines.data() else { return Ok(Batch::default()) };
        let behind = first.saturating_add(self.per_batch).min(data.len());
        let mut series = Vec::with_capacity(behind.saturating_sub(first));
        for i in first..behind {
            ctx.check()?;
            data.read(i, samples)?;
            let n_samples = samples.n_samples();
            let lanes = self.pipelines.compute(samples, &mut seen, &mut ctx)?;
            series.push(Computed { lanes, n_samples });
        }
        Ok(Batch { series, seen })
    }
}

// === impl Claim ===

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let failed =
            || Err(QueryError::Execution("query evaluation failed unexpectedly".to_owned()));
        let result = self.result.take().unwrap_or_else(failed);
        let mut state = self.work.state.lock();
        if !state.stopped {
            state.done.insert(self.batch, result);
        }
        drop(state);
        self.work.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
