//! Runs pipelines: into a matrix, or folded into the groups of an aggregation.

use std::collections::HashMap;
use std::sync::Arc;

use skald_model::Labels;
use skald_vector::aggregate::Accumulator;
use skald_vector::{Column, Context, Grid, Grouping, Matrix, NameRemoval, without_metadata};

use super::batches::{self, Batches};
use super::chain::{Chain, folds};
use super::pipeline::Pipeline;
use crate::QueryError;
use crate::eval::{Evaluator, Loaded};
use crate::expr::Aggregate;

/// Bytes that an accumulator takes per step.
const SLOT_BYTES: usize = 48;

/// The groups of an aggregation in order of first appearance.
#[derive(Debug)]
struct Groups<'a> {
    grouping: &'a Grouping,
    drops_names: bool,
    index: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
    /// The labels that were looked up last, whether they were to lose their name, and their group.
    last: Option<(Labels, bool, usize)>,
    groups: Vec<Accumulator>,
}

impl Evaluator {
    /// All columns of a chain, unless its series could collide.
    pub(crate) fn collect(
        &mut self,
        chain: &Chain<'_>,
        grid: Grid,
    ) -> Result<Option<Matrix>, QueryError> {
        let Some(pipeline) = self.pipeline(chain, grid)?.map(Arc::new) else { return Ok(None) };
        let mut out = Matrix::new(grid);
        let mut held = 0usize;
        self.run(&pipeline, |me, mut column, _| {
            if pipeline.drops_names && column.drop_name {
                column.labels = without_metadata(&column.labels);
                column.drop_name = false;
            }
            held = held.saturating_add(column.n_samples());
            out.columns.push(column);
            me.check_slots(grid, out.columns.len())?;
            me.check_samples(held)
        })?;
        Ok(Some(out))
    }

    /// An aggregation over a chain, unless it needs all series at once.
    pub(crate) fn fold(
        &mut self,
        a: &Aggregate,
        chain: &Chain<'_>,
        grid: Grid,
    ) -> Result<Option<Matrix>, QueryError> {
        if !folds(a.op) {
            return Ok(None);
        }
        let Some(pipeline) = self.pipeline(chain, grid)?.map(Arc::new) else { return Ok(None) };
        let mut groups = Groups::new(&a.grouping, pipeline.drops_names);
        self.run(&pipeline, |me, mut column, ctx| {
            if column.has_histograms() && pipeline.drops_names && column.drop_name {
                // Remarks on histograms must not name a metric that they no longer are.
                column.labels = without_metadata(&column.labels);
            }
            ctx.annotations.place = Some(a.places.0);
            let at = groups.find(&column)?;
            match groups.groups.get_mut(at) {
                Some(group) => group.add(&column, ctx),
                None => {
                    let labels = groups.labels(&column);
                    let marked = column.drop_name && !pipeline.drops_names;
                    let mut group = Accumulator::new(a.op, labels, marked, grid.n)?;
                    group.add(&column, ctx);
                    groups.groups.push(group);
                    me.check_slots(grid, groups.groups.len())?;
                    me.check_samples(grid.n.saturating_mul(groups.groups.len()))?;
                    me.check_bytes(
                        grid.n.saturating_mul(groups.groups.len()).saturating_mul(SLOT_BYTES),
                    )?;
                }
            }
            Ok(())
        })?;
        self.at(a.places.0);
        let mut out = Matrix::new(grid);
        for group in groups.groups {
            out.push(group.finish(&mut self.ctx));
        }
        Ok(Some(out))
    }

    /// Gives the column of every series that has one to `sink`, in order.
    fn run(
        &mut self,
        pipeline: &Arc<Pipeline>,
        sink: impl FnMut(&mut Self, Column, &mut Context) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut ctx = std::mem::take(&mut self.ctx);
        let names = std::mem::replace(&mut ctx.names, NameRemoval::Delayed);
        // The evaluator's own context only serves to ask whether to stop.
        self.ctx.cancel = ctx.cancel.clone();
        let result = match self.shared(pipeline, &ctx) {
            Some(batches) => self.run_batches(batches, &mut ctx, sink),
            None => self.run_alone(pipeline, &mut ctx, sink),
        };
        ctx.names = names;
        self.ctx = ctx;
        result
    }

    /// The batches of a pipeline, when there is something to be shared, somebody to share it with, and
    /// room for what waits to be folded.
    fn shared(&self, pipeline: &Arc<Pipeline>, ctx: &Context) -> Option<Batches> {
        let pool = self.cpu.as_ref()?;
        let per_batch = batches::size(pipeline)?;
        let waiting = per_batch.saturating_mul(batches::AHEAD);
        let room =
            ctx.max_slots.is_none_or(|max| waiting.saturating_mul(pipeline.grid.n) <= max / 8);
        room.then(|| Batches::start(pool, Arc::clone(pipeline), per_batch, ctx))
    }

    fn run_alone(
        &mut self,
        pipeline: &Pipeline,
        ctx: &mut Context,
        mut sink: impl FnMut(&mut Self, Column, &mut Context) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut samples = Loaded::default();
        for i in 0..pipeline.data.len() {
            pipeline.data.read(i, &mut samples)?;
            self.count_read(samples.n_samples())?;
            if let Some(column) = pipeline.column(&mut samples, ctx)? {
                sink(self, column, ctx)?;
            }
        }
        Ok(())
    }

    fn run_batches(
        &mut self,
        mut batches: Batches,
        ctx: &mut Context,
        mut sink: impl FnMut(&mut Self, Column, &mut Context) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        while let Some(batch) = batches.next() {
            let batch = batch?;
            ctx.seen.merge(&batch.seen);
            for one in batch.series {
                self.count_read(one.n_samples)?;
                ctx.annotations.append(&one.notes);
                if let Some(column) = one.column {
                    sink(self, column, ctx)?;
                }
            }
        }
        Ok(())
    }

    fn count_read(&mut self, n: usize) -> Result<(), QueryError> {
        self.counters.read = self.counters.read.saturating_add(n);
        self.check_samples(n)
    }
}

// === impl Groups ===

impl<'a> Groups<'a> {
    fn new(grouping: &'a Grouping, drops_names: bool) -> Self {
        let (index, key, groups) = (HashMap::new(), Vec::new(), Vec::new());
        Self { grouping, drops_names, index, key, last: None, groups }
    }

    /// The labels by which `column` is grouped.
    fn labels(&self, column: &Column) -> Labels {
        match self.drops_names && column.drop_name {
            true => self.grouping.key(&without_metadata(&column.labels)),
            false => self.grouping.key(&column.labels),
        }
    }

    /// The index of the column's group; one more than there are when it is new.
    fn find(&mut self, column: &Column) -> Result<usize, QueryError> {
        let dropped = self.drops_names && column.drop_name;
        // Neighbours often have the same labels, when only those of the grouping were fetched.
        if let Some((labels, was_dropped, at)) = &self.last
            && *was_dropped == dropped
            && *labels == column.labels
        {
            return Ok(*at);
        }
        self.key.clear();
        self.grouping.write_key(&column.labels, dropped, &mut self.key);
        let at = match self.index.get(&self.key) {
            Some(at) => *at,
            None => {
                let at = self.index.len();
                self.index.insert(self.key.clone(), at);
                at
            }
        };
        self.last = Some((column.labels.clone(), dropped, at));
        Ok(at)
    }
}
