//! Where columns go: into a matrix, or into the groups of an aggregation.

use skald_vector::aggregate::{Accumulator, Gather, GroupIndex, Held};
use skald_vector::{Column, Context, Grid, Matrix, Param, without_metadata};

use super::pipeline::Pipeline;
use crate::QueryError;
use crate::eval::remark_on;
use crate::expr::Aggregate;

/// Bytes that an accumulator takes per step, and a sample.
const SLOT_BYTES: usize = 48;
const SAMPLE_BYTES: usize = 16;

#[derive(Debug)]
pub(super) enum Sink<'e> {
    Series(Matrix, Held),
    /// One value per group and step.
    Fold {
        a: &'e Aggregate,
        grid: Grid,
        index: GroupIndex<'e>,
        groups: Vec<Accumulator>,
    },
    /// More than one, with the parameter when it is a number per step.
    Gather {
        a: &'e Aggregate,
        all: Gather<'e>,
        values: Vec<f64>,
    },
}

impl<'e> Sink<'e> {
    pub(super) fn series(grid: Grid) -> Self {
        Self::Series(Matrix::new(grid), Held::default())
    }

    /// `None` when the parameter is wrong.
    pub(super) fn aggregate(
        a: &'e Aggregate,
        param: Param<'_>,
        pipeline: &Pipeline,
    ) -> Option<Self> {
        let grid = pipeline.grid;
        if !Gather::does(a.op) {
            let index = GroupIndex::new(&a.grouping, pipeline.drops_names);
            return Some(Self::Fold { a, grid, index, groups: Vec::new() });
        }
        let all = Gather::new(a.op, &a.grouping, param, grid).ok()?;
        let values = match param {
            Param::Scalar(values) => values.to_vec(),
            _ => Vec::new(),
        };
        Some(Self::Gather { a, all, values })
    }

    pub(super) fn add(
        &mut self,
        mut column: Column,
        pipeline: &Pipeline,
        ctx: &mut Context,
    ) -> Result<(), QueryError> {
        let gone = pipeline.drops_names && column.drop_name;
        match self {
            Self::Series(out, held) => {
                if gone {
                    remove_name(&mut column);
                }
                held.samples = held.samples.saturating_add(column.n_samples());
                held.bytes = held.samples.saturating_mul(SAMPLE_BYTES);
                held.columns += 1;
                out.columns.push(column);
            }
            Self::Fold { a, grid, index, groups } => {
                if gone && column.has_histograms() {
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
            }
            Self::Gather { a, all, .. } => {
                if gone {
                    remove_name(&mut column);
                }
                ctx.annotations.place = Some(a.places.0);
                all.add(&column, ctx)?;
            }
        }
        Ok(())
    }

    /// What is held so far, of that the columns that were made.
    pub(super) fn held(&self) -> Held {
        match self {
            Self::Series(_, held) => *held,
            Self::Fold { grid, groups, .. } => {
                let samples = grid.n.saturating_mul(groups.len());
                let bytes = samples.saturating_mul(SLOT_BYTES);
                Held { samples, bytes, columns: groups.len() }
            }
            Self::Gather { all, .. } => Held { columns: 0, ..all.held() },
        }
    }

    /// What is held when the answer is made.
    pub(super) fn held_at_end(&self, grid: Grid) -> Held {
        match self {
            Self::Gather { all, .. } => {
                let held = all.held();
                let slots = held.columns.saturating_mul(grid.n);
                let bytes = held.bytes.saturating_add(slots.saturating_mul(size_of::<f64>()));
                Held { bytes, ..held }
            }
            _ => self.held(),
        }
    }

    pub(super) fn finish(self, ctx: &mut Context) -> Result<Matrix, QueryError> {
        match self {
            Self::Series(out, _) => Ok(out),
            Self::Fold { a, grid, groups, .. } => {
                ctx.annotations.place = Some(a.places.0);
                let mut out = Matrix::new(grid);
                for group in groups {
                    ctx.check()?;
                    out.push(group.finish(ctx));
                }
                Ok(out)
            }
            Self::Gather { a, all, values } => {
                remark_on(a, Param::Scalar(&values), ctx);
                ctx.annotations.place = Some(a.places.0);
                Ok(all.finish(ctx)?)
            }
        }
    }
}

/// Takes the name away that was marked.
fn remove_name(column: &mut Column) {
    column.labels = without_metadata(&column.labels);
    column.drop_name = false;
}
