//! Evaluates common subexpressions once: see [`crate::exec::Common`].

use skald_vector::aggregate::Held;
use skald_vector::{Grid, Matrix, Seen};

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
        if let Some(kept) = kept.filter(|kept| self.fits(kept, grid)) {
            self.count_kept();
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
            self.count_kept();
        }
        Ok(out)
    }

    /// Whether `kept` is what would be evaluated now.
    pub(crate) fn fits(&self, kept: &Kept, grid: Grid) -> bool {
        let counts = |seen: &Seen| seen.steps.as_ref().map(Vec::len);
        kept.grid == grid
            && kept.is_range == self.is_range
            && counts(&kept.seen) == counts(&self.ctx.seen)
    }

    pub(crate) fn is_range(&self) -> bool {
        self.is_range
    }

    pub(crate) fn count_kept(&mut self) {
        self.kept = self.common.n_samples().saturating_add(self.siblings.n_samples());
    }

    /// Whether `held`, of which some is only for later, leaves most of what the query may hold.
    pub(crate) fn has_room_beside(&self, held: Held, grid: Grid) -> bool {
        let slots = held.samples.max(grid.n.saturating_mul(held.columns));
        let n = slots.max(held.bytes / (2 * size_of::<f64>()));
        let n =
            n.saturating_add(self.kept).saturating_add(self.waiting).saturating_add(self.loaded);
        n <= self.max_samples.min(self.memory.max_samples()) / 2
    }

    /// Whether a copy of `m` leaves most of what the query may hold.
    fn has_room_for(&self, m: &Matrix) -> bool {
        let n =
            self.kept.saturating_add(m.n_samples().max(m.grid.n.saturating_mul(m.columns.len())));
        n <= self.max_samples.min(self.memory.max_samples()) / 8
    }
}
