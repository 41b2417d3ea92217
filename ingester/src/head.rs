//! The recent data of one tenant: a metrics head and a logs head, each behind a lock of its own.
//!
//! A head is an [`Index`](crate::index::Index) plus columns of buffers. A flush *cuts* it: the
//! buffers move into an immutable snapshot, which readers still see until its blocks are committed;
//! index and newest samples stay.
//!
//! Invariants: whatever is in a head or its snapshot is in the WAL or will be before anybody is told
//! that it is stored; every series touched since a cut has its labels in the WAL behind that cut.

pub(crate) mod logs;
pub(crate) mod metrics;

#[cfg(test)]
mod tests;

use parking_lot::RwLock;

use crate::index::Ref;

/// Series visited before a reader lets writers in.
const STEP: usize = if cfg!(test) { 16 } else { 4096 };

/// A generation that no head reaches: the labels may be behind no cut at all.
pub(crate) const NEVER: u32 = u32::MAX;

/// Whether a cut counts for forgetting series: cuts in quick succession find idle what is only slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ageing {
    Counts,
    TooSoon,
}

/// Where a head stands in the WAL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogState {
    /// Counts the cuts.
    pub(crate) generation: u32,
    /// The first record since the last cut.
    pub(crate) first_seq: Option<u64>,
    /// When that was applied.
    pub(crate) first_ms: i64,
    /// The last record applied, 0 before any.
    pub(crate) last_seq: u64,
}

impl LogState {
    /// Notes a record of this head.
    pub(crate) fn note(&mut self, seq: u64, now_ms: i64) {
        if self.first_seq.is_none() {
            self.first_seq = Some(seq);
            self.first_ms = now_ms;
        }
        self.last_seq = self.last_seq.max(seq);
    }

    /// Begins the next generation.
    pub(crate) fn cut(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.first_seq = None;
    }
}

/// What reading both kinds of heads has in common.
pub(crate) trait Cuttable {
    fn log(&self) -> &LogState;
}

/// Visits the series that `begin` chose, letting writers in between the steps.
///
/// Series keep their numbers and data stays where it is until the next cut. Should one come in
/// between, all is begun again and done at one go: the state is that of one moment, give or take
/// what was pushed meanwhile.
pub(crate) fn visit<H: Cuttable, T>(
    lock: &RwLock<H>,
    begin: impl Fn(&H) -> (Vec<Ref>, T),
    visit: impl Fn(&H, &[Ref], &mut T),
) -> T {
    let head = lock.read();
    let generation = head.log().generation;
    let (refs, mut state) = begin(&head);
    let mut steps = refs.chunks(STEP);
    visit(&head, steps.next().unwrap_or_default(), &mut state);
    drop(head);
    for step in steps {
        let head = lock.read();
        if head.log().generation != generation {
            let (refs, mut state) = begin(&head);
            visit(&head, &refs, &mut state);
            return state;
        }
        visit(&head, step, &mut state);
    }
    state
}
