//! Chains over the same series at the same steps: what a query asks of one selector under several functions is
//! computed in one pass, in which each series is read once.
//!
//! The first lane is what is evaluated now. The others will be asked for later, and are done on the way as
//! long as there is room to keep what they make: nothing fails because of them.

use std::sync::atomic::{AtomicBool, Ordering};

use skald_vector::{Annotations, Column, Context, Seen};

use super::Fetched;
use super::pipeline::Pipeline;
use super::sink::Sink;
use crate::QueryError;
use crate::eval::Loaded;

/// The pipelines of all lanes, shared by threads. There is at least one, and all have the same data and grid.
#[derive(Debug)]
pub(super) struct Pipelines {
    pub all: Vec<Pipeline>,
    only_first: AtomicBool,
}

/// Where the columns of one pipeline go.
#[derive(Debug)]
pub(super) struct Lane<'e> {
    pub sink: Sink<'e>,
    /// Remarks and counts of this lane alone. Names are only marked.
    pub ctx: Context,
    /// It is asked for later, by what has this address.
    pub address: Option<usize>,
}

/// What became of one series in one lane.
#[derive(Debug)]
pub(super) struct Done {
    pub column: Result<Option<Column>, QueryError>,
    pub notes: Annotations,
}

// === impl Pipelines ===

impl Pipelines {
    pub(super) fn new(all: Vec<Pipeline>) -> Self {
        Self { all, only_first: AtomicBool::new(false) }
    }

    /// Stops the work for all lanes but the first.
    pub(super) fn drop_others(&self) {
        self.only_first.store(true, Ordering::Relaxed);
    }

    /// Those that are worked for.
    fn wanted(&self) -> &[Pipeline] {
        let n = if self.only_first.load(Ordering::Relaxed) { 1 } else { self.all.len() };
        self.all.get(..n).unwrap_or(&self.all)
    }

    pub(super) fn data(&self) -> Option<&Fetched> {
        self.all.first().map(|p| &*p.data)
    }

    /// Most slots that the column of a series takes, in all lanes.
    pub(super) fn slots(&self) -> usize {
        self.all.iter().map(Pipeline::slots).sum()
    }

    /// Gives each lane's column of the series in `samples` to `sink`, with remarks in `ctx`, which must say
    /// that names are removed later.
    pub(super) fn each(
        &self,
        samples: &mut Loaded,
        mut sink: impl FnMut(usize, &Pipeline, &mut Loaded) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        // Windows take stale markers out of the samples, which instant selectors look at.
        for first in [true, false] {
            let lanes = self.wanted().iter().enumerate();
            for (lane, pipeline) in lanes.filter(|(_, p)| p.sees_stale() == first) {
                sink(lane, pipeline, samples)?;
            }
        }
        Ok(())
    }

    /// What becomes of the series in `samples`, by lane, with counts in `seen`.
    pub(super) fn compute(
        &self,
        samples: &mut Loaded,
        seen: &mut [Seen],
        ctx: &mut Context,
    ) -> Result<Vec<Done>, QueryError> {
        let nothing = || Done { column: Ok(None), notes: Annotations::default() };
        let mut out: Vec<Done> = Vec::with_capacity(self.all.len());
        out.resize_with(self.all.len(), nothing);
        self.each(samples, |lane, pipeline, samples| {
            let (Some(done), Some(seen)) = (out.get_mut(lane), seen.get_mut(lane)) else {
                return Ok(());
            };
            std::mem::swap(&mut ctx.seen, seen);
            done.column = pipeline.column(samples, ctx);
            std::mem::swap(&mut ctx.seen, seen);
            done.notes = std::mem::take(&mut ctx.annotations);
            Ok(())
        })?;
        Ok(out)
    }
}
