//! Runs pipelines: into a matrix, or folded into the groups of an aggregation.

use std::sync::Arc;

use skald_vector::aggregate::{Accumulator, Gather, GroupIndex};
use skald_vector::{Column, Context, Grid, Matrix, NameRemoval, Param, without_metadata};

use super::batches::{self, Batches};
use super::chain::Chain;
use super::pipeline::Pipeline;
use crate::QueryError;
use crate::eval::{Evaluator, Loaded};
use crate::expr::Aggregate;

/// Bytes that an accumulator takes per step.
const SLOT_BYTES: usize = 48;

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
            remove_name(&mut column, &pipeline);
            held = held.saturating_add(column.n_samples());
            out.columns.push(column);
            me.check_slots(grid, out.columns.len())?;
            me.check_samples(held)
        })?;
        Ok(Some(out))
    }

    /// An aggregation over a chain, unless its series could collide. For what gathers more than a value
    /// per group and step see [`gather`](Self::gather).
    pub(crate) fn fold(
        &mut self,
        a: &Aggregate,
        chain: &Chain<'_>,
        grid: Grid,
    ) -> Result<Option<Matrix>, QueryError> {
        let Some(pipeline) = self.pipeline(chain, grid)?.map(Arc::new) else { return Ok(None) };
        let mut index = GroupIndex::new(&a.grouping, pipeline.drops_names);
        let mut groups: Vec<Accumulator> = Vec::new();
        self.run(&pipeline, |me, mut column, ctx| {
            if column.has_histograms() && pipeline.drops_names && column.drop_name {
                // Remarks on histograms must not name a metric that they no longer are.
                column.labels = without_metadata(&column.labels);
            }
            ctx.annotations.place = Some(a.places.0);
            let at = index.find(&column);
            if let Some(group) = groups.get_mut(at) {
                group.add(&column, ctx);
                return Ok(());
            }
            let marked = column.drop_name && !pipeline.drops_names;
            let mut group = Accumulator::new(a.op, index.labels(&column), marked, grid.n)?;
            group.add(&column, ctx);
            groups.push(group);
            me.check_slots(grid, groups.len())?;
            me.check_samples(grid.n.saturating_mul(groups.len()))?;
            me.check_bytes(grid.n.saturating_mul(groups.len()).saturating_mul(SLOT_BYTES))
        })?;
        self.at(a.places.0);
        let mut out = Matrix::new(grid);
        for group in groups {
            self.ctx.check()?;
            out.push(group.finish(&mut self.ctx));
        }
        Ok(Some(out))
    }

    /// `topk`, `quantile` and their like over a chain, unless its series could collide or the parameter
    /// is wrong.
    pub(crate) fn gather(
        &mut self,
        a: &Aggregate,
        chain: &Chain<'_>,
        param: Param<'_>,
        grid: Grid,
    ) -> Result<Option<Matrix>, QueryError> {
        let Ok(mut all) = Gather::new(a.op, &a.grouping, param, grid) else { return Ok(None) };
        let Some(pipeline) = self.pipeline(chain, grid)?.map(Arc::new) else { return Ok(None) };
        self.run(&pipeline, |me, mut column, ctx| {
            remove_name(&mut column, &pipeline);
            ctx.annotations.place = Some(a.places.0);
            all.add(&column, ctx)?;
            me.check_held(all.held())
        })?;
        self.remark_on(a, param);
        self.at(a.places.0);
        let held = all.held();
        self.check_slots(grid, held.columns)?;
        let columns = held.columns.saturating_mul(grid.n).saturating_mul(size_of::<f64>());
        self.check_bytes(held.bytes.saturating_add(columns))?;
        Ok(Some(all.finish(&mut self.ctx)?))
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

/// Takes the name away that was marked, where names are to go at once.
fn remove_name(column: &mut Column, pipeline: &Pipeline) {
    if pipeline.drops_names && column.drop_name {
        column.labels = without_metadata(&column.labels);
        column.drop_name = false;
    }
}
