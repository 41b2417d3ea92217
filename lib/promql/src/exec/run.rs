//! Runs chains: into a matrix, or into the groups of an aggregation, with others over the same series beside.

use std::sync::Arc;

use skald_vector::aggregate::Held;
use skald_vector::{Context, Grid, Matrix, NameRemoval, Param};

use super::batches::{self, Batches};
use super::chain::{Chain, chain};
use super::lanes::{Lane, Pipelines};
use super::pipeline::Pipeline;
use super::siblings::Member;
use super::sink::Sink;
use super::{Kept, address};
use crate::QueryError;
use crate::eval::{Evaluator, Loaded};
use crate::expr::{Aggregate, Expr};

/// What a chain becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'e, 'p> {
    Series,
    Aggregate(&'e Aggregate, Param<'p>),
}

impl Evaluator {
    /// What `expr`, which is `chain` or an aggregation of it, becomes; `None` when that needs all series at
    /// once or cannot be.
    pub(crate) fn stream(
        &mut self,
        expr: &Expr,
        target: Target<'_, '_>,
        chain: &Chain<'_>,
        grid: Grid,
    ) -> Result<Option<Matrix>, QueryError> {
        let Some(pipeline) = self.pipeline(chain, grid)? else { return Ok(None) };
        let Some(lane) = self.lane(target, &pipeline, None) else { return Ok(None) };
        let others = self.siblings.begin(expr);
        let (mut lanes, mut pipelines) = (vec![lane], vec![pipeline]);
        for other in &others {
            self.add_lane(other, grid, &mut lanes, &mut pipelines)?;
        }
        let pipelines = Arc::new(Pipelines::new(pipelines));
        self.run(&pipelines, &mut lanes)?;
        let mut lanes = lanes.into_iter();
        let Some(Lane { sink, mut ctx, .. }) = lanes.next() else { return Ok(None) };
        let held = sink.held_at_end(grid);
        self.check_held(held)?;
        self.check_slots(grid, held.columns)?;
        ctx.names = self.ctx.names;
        let out = sink.finish(&mut ctx)?;
        self.ctx.seen.merge(&ctx.seen);
        self.ctx.annotations.append(&ctx.annotations);
        self.ctx.annotations.place = ctx.annotations.place;
        for lane in lanes {
            self.keep_sibling(lane, grid);
        }
        Ok(Some(out))
    }

    fn lane<'e>(
        &self,
        target: Target<'e, '_>,
        pipeline: &Pipeline,
        address: Option<usize>,
    ) -> Option<Lane<'e>> {
        let sink = match target {
            Target::Series => Sink::series(pipeline.grid),
            Target::Aggregate(a, param) => Sink::aggregate(a, param, pipeline)?,
        };
        let ctx = Context {
            cancel: self.ctx.cancel.clone(),
            names: NameRemoval::Delayed,
            seen: self.ctx.seen.empty(),
            max_slots: self.ctx.max_slots,
            ..Context::default()
        };
        Some(Lane { sink, ctx, address })
    }

    /// Adds what `member` asks of the same series, unless it cannot be done on the way.
    fn add_lane<'m>(
        &mut self,
        member: &'m Member,
        grid: Grid,
        lanes: &mut Vec<Lane<'m>>,
        pipelines: &mut Vec<Pipeline>,
    ) -> Result<(), QueryError> {
        let mut number = Vec::new();
        let target = match &*member.expr {
            Expr::Aggregate(a) => Target::Aggregate(
                a,
                match &a.param {
                    Some(Expr::Number(v)) => {
                        number.resize(grid.n, *v);
                        Param::Scalar(&number)
                    }
                    Some(Expr::Text(label)) => Param::Label(label),
                    _ => Param::None,
                },
            ),
            _ => Target::Series,
        };
        let Some(chain) = streamed(&member.expr) else { return Ok(()) };
        let Some(pipeline) = self.pipeline(&chain, grid)? else { return Ok(()) };
        let same = pipelines.first().is_some_and(|p| Arc::ptr_eq(&p.data, &pipeline.data));
        if same && let Some(lane) = self.lane(target, &pipeline, Some(member.address)) {
            lanes.push(lane);
            pipelines.push(pipeline);
        }
        Ok(())
    }

    /// Keeps what a lane made until it is asked for.
    fn keep_sibling(&mut self, lane: Lane<'_>, grid: Grid) {
        let Lane { sink, mut ctx, address: Some(address) } = lane else { return };
        ctx.names = self.ctx.names;
        let held = sink.held_at_end(grid);
        if !self.has_room_beside(held, grid) {
            return;
        }
        let Ok(matrix) = sink.finish(&mut ctx) else { return };
        let kept = Kept { matrix, seen: ctx.seen, grid, is_range: self.is_range() };
        self.siblings.keep(address, kept, ctx.annotations);
        self.count_kept();
    }

    /// Gives the columns of every series that has some to the lanes, in order.
    fn run(
        &mut self,
        pipelines: &Arc<Pipelines>,
        lanes: &mut Vec<Lane<'_>>,
    ) -> Result<(), QueryError> {
        match self.shared(pipelines) {
            Some(batches) => self.run_batches(batches, pipelines, lanes),
            None => self.run_alone(pipelines, lanes),
        }
    }

    /// The batches of a run, when there is something to be shared, somebody to share it with, and room for
    /// what waits to be taken.
    fn shared(&self, pipelines: &Arc<Pipelines>) -> Option<Batches> {
        let pool = self.cpu.as_ref()?;
        let per_batch = batches::size(pipelines)?;
        let waiting = per_batch.saturating_mul(batches::AHEAD).saturating_mul(pipelines.slots());
        let room = self.ctx.max_slots.is_none_or(|max| waiting <= max / 8);
        room.then(|| Batches::start(pool, Arc::clone(pipelines), per_batch, &self.ctx))
    }

    fn run_alone(
        &mut self,
        pipelines: &Pipelines,
        lanes: &mut Vec<Lane<'_>>,
    ) -> Result<(), QueryError> {
        let mut samples = Loaded::default();
        let Some(data) = pipelines.data() else { return Ok(()) };
        for i in 0..data.len() {
            data.read(i, &mut samples)?;
            self.count_read(samples.n_samples())?;
            let mut failed = false;
            pipelines.each(&mut samples, |at, pipeline, samples| {
                let Some(Lane { sink, ctx, .. }) = lanes.get_mut(at) else { return Ok(()) };
                let added = match pipeline.column(samples, ctx) {
                    Ok(Some(column)) => sink.add(column, pipeline, ctx),
                    other => other.map(|_| ()),
                };
                failed |= at > 0 && added.is_err();
                if at == 0 { added } else { Ok(()) }
            })?;
            self.check_lanes(pipelines, lanes, failed)?;
        }
        Ok(())
    }

    fn run_batches(
        &mut self,
        mut batches: Batches,
        pipelines: &Pipelines,
        lanes: &mut Vec<Lane<'_>>,
    ) -> Result<(), QueryError> {
        while let Some(batch) = batches.next() {
            let batch = batch?;
            for (lane, seen) in lanes.iter_mut().zip(&batch.seen) {
                lane.ctx.seen.merge(seen);
            }
            for one in batch.series {
                self.count_read(one.n_samples)?;
                let mut failed = false;
                for (at, done) in one.lanes.into_iter().enumerate() {
                    let (Some(pipeline), Some(lane)) = (pipelines.all.get(at), lanes.get_mut(at))
                    else {
                        continue;
                    };
                    let Lane { sink, ctx, .. } = lane;
                    ctx.annotations.append(&done.notes);
                    let added = match done.column {
                        Ok(Some(column)) => sink.add(column, pipeline, ctx),
                        other => other.map(|_| ()),
                    };
                    match at {
                        0 => added?,
                        _ => failed |= added.is_err(),
                    }
                }
                self.check_lanes(pipelines, lanes, failed)?;
            }
        }
        Ok(())
    }

    /// Fails when the first lane holds too much. The others are given up when one failed, or when there is no
    /// room for all.
    fn check_lanes(
        &mut self,
        pipelines: &Pipelines,
        lanes: &mut Vec<Lane<'_>>,
        failed: bool,
    ) -> Result<(), QueryError> {
        let Some(first) = lanes.first() else { return Ok(()) };
        let held = first.sink.held();
        let grid = pipelines.all.first().map_or(Grid::instant(0), |p| p.grid);
        self.check_held(held)?;
        self.check_slots(grid, held.columns)?;
        if lanes.len() > 1 {
            let all = lanes.iter().map(|lane| lane.sink.held());
            let sum = all.fold(Held::default(), |a, b| Held {
                samples: a.samples.saturating_add(b.samples),
                bytes: a.bytes.saturating_add(b.bytes),
                columns: a.columns.saturating_add(b.columns),
            });
            if failed || !self.has_room_beside(sum, grid) {
                pipelines.drop_others();
                lanes.truncate(1);
            }
        }
        Ok(())
    }

    fn count_read(&mut self, n: usize) -> Result<(), QueryError> {
        self.counters.read = self.counters.read.saturating_add(n);
        self.check_samples(n)
    }

    /// What was made of `expr` on the way of something else.
    pub(crate) fn made_beside(&mut self, expr: &Expr, grid: Grid) -> Option<Matrix> {
        let (kept, remarks) = self.siblings.take(address(expr))?;
        self.count_kept();
        if !self.fits(&kept, grid) {
            return None;
        }
        self.ctx.seen.merge(&kept.seen);
        self.ctx.annotations.append(&remarks);
        self.ctx.annotations.place = remarks.place;
        Some(kept.matrix)
    }
}

/// The chain that goes from the source to what `expr` is, when there is one.
pub(super) fn streamed(expr: &Expr) -> Option<Chain<'_>> {
    match expr {
        Expr::Aggregate(a) => chain(&a.expr),
        _ => chain(expr),
    }
}
