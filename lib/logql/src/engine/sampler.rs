//! Takes samples from entries while a source reads them.
//!
//! Each thread that brings entries works on a set of samples of its own; the sets are united at the
//! end. Memory is that of the samples, whatever the lines were.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use skald_model::StreamEntries;
use skald_vector::CancelFlag;

use super::extract::{Extraction, SampleSet, Windows};
use crate::error::QueryError;
use crate::source::EntrySink;

/// The sink of one range aggregation.
#[derive(Debug)]
pub(super) struct Sampler {
    pub(super) extraction: Arc<Extraction>,
    pub(super) windows: Windows,
    pub(super) cancel: CancelFlag,
    pub(super) max_samples: usize,
    pub(super) state: Mutex<State>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Sets that no thread works on.
    idle: Vec<SampleSet>,
    error: Option<QueryError>,
    /// How often the source began anew; what older threads bring back is void.
    round: usize,
}

// === impl Sampler ===

impl Sampler {
    /// All samples; call it when nobody brings entries any more.
    pub(super) fn finish(&self) -> Result<SampleSet, QueryError> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let mut sets = std::mem::take(&mut state.idle).into_iter();
        drop(state);
        let mut all = sets.next().unwrap_or_default();
        for set in sets {
            all.unite(set, self.max_samples)?;
        }
        Ok(all)
    }
}

impl EntrySink for Sampler {
    fn take(&self, streams: Vec<StreamEntries>) -> ControlFlow<()> {
        let mut state = self.state.lock();
        if state.error.is_some() {
            return ControlFlow::Break(());
        }
        let (mut set, round) = (state.idle.pop().unwrap_or_default(), state.round);
        drop(state);
        let max = self.max_samples;
        let added = set.add(&self.extraction, &streams, self.windows, &self.cancel, max);
        let mut state = self.state.lock();
        if state.round != round {
            return ControlFlow::Break(());
        }
        match added {
            Ok(()) => {
                state.idle.push(set);
                ControlFlow::Continue(())
            }
            Err(error) => {
                state.error.get_or_insert(error);
                ControlFlow::Break(())
            }
        }
    }

    fn reset(&self) {
        let mut state = self.state.lock();
        let round = state.round + 1;
        *state = State { round, ..State::default() };
    }
}
