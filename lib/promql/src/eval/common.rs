//! Evaluates common subexpressions once: see [`crate::exec::Common`].

use skald_vector::{Grid, Matrix};

use super::{Evaluator, Val};
use crate::QueryError;
use crate::exec::Kept;
use crate::expr::Expr;

impl Evaluator {
    /// Evaluates what stands in the query several times, unless `kept` has it.
    pub(super) fn eval_common(
        &mut self,
        expr: &Expr,
        grid: Grid,
        class: u64,
        kept: Option<Kept>,
    ) -> Result<Val, QueryError> {
        let per_step = self.ctx.seen.steps.is_some();
        let same = |k: &Kept| {
            k.grid == grid && k.is_range == self.is_range && k.seen.steps.is_some() == per_step
        };
        if let Some(kept) = kept.filter(same) {
            self.kept = self.common.n_samples();
            self.ctx.seen.merge(&kept.seen);
            return self.held(kept.matrix);
        }
        let counts = self.ctx.seen.empty();
        let seen = std::mem::replace(&mut self.ctx.seen, counts);
        let before = std::mem::take(&mut self.ctx.annotations);
        self.ctx.annotations.place = before.place;
        let out = self.eval_once(expr, grid);
        let seen_here = std::mem::replace(&mut self.ctx.seen, seen);
        self.ctx.seen.merge(&seen_here);
        let remarks = std::mem::replace(&mut self.ctx.annotations, before);
        self.ctx.annotations.append(&remarks);
        self.ctx.annotations.place = remarks.place;
        let out = out?;
        if let Val::Vector(matrix) = &out
            && remarks.is_empty()
            && self.common.wants(class)
            && self.has_room_for(matrix)
        {
            let (matrix, is_range) = (matrix.clone(), self.is_range);
            self.common.keep(class, Kept { matrix, seen: seen_here, grid, is_range });
            self.kept = self.common.n_samples();
        }
        Ok(out)
    }

    /// Whether a copy of `m` leaves most of what the query may hold.
    fn has_room_for(&self, m: &Matrix) -> bool {
        let n =
            self.kept.saturating_add(m.n_samples().max(m.grid.n.saturating_mul(m.columns.len())));
        n <= self.max_samples.min(self.memory.max_samples()) / 8
    }
}
