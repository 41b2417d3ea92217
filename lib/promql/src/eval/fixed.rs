//! Evaluates what is the same at all times at the first of them.

use std::sync::Arc;

use skald_vector::{Column, Grid, Matrix, Seen};

use super::{Evaluator, Val};
use crate::QueryError;
use crate::expr::Expr;

impl Evaluator {
    /// The value of `expr` at the first step, at every step.
    pub(super) fn fixed(&mut self, expr: &Expr, grid: Grid) -> Result<Val, QueryError> {
        if grid.n == 0 {
            return self.eval(expr, grid);
        }
        let once = Grid { n: 1, ..grid };
        let counts =
            if self.ctx.seen.steps.is_some() { Seen::per_step(1) } else { Seen::default() };
        let outer = std::mem::replace(&mut self.ctx.seen, counts);
        let is_range = std::mem::replace(&mut self.is_range, false);
        let value = self.eval(expr, once);
        self.is_range = is_range;
        let seen = std::mem::replace(&mut self.ctx.seen, outer);
        self.ctx.seen.add_to_all(&seen, grid.n);
        match value? {
            Val::Scalar(v) => {
                self.check_slots(grid, 1)?;
                Ok(Val::Scalar(vec![v.first().copied().unwrap_or(f64::NAN); grid.n]))
            }
            Val::Vector(m) => {
                self.check_slots(grid, m.columns.len())?;
                let mut columns = Vec::with_capacity(m.columns.len());
                for column in m.columns {
                    self.ctx.check()?;
                    columns.push(repeated(column, grid.n));
                }
                self.held(Matrix { grid, columns })
            }
            text @ Val::Text(_) => Ok(text),
        }
    }
}

/// A column of one step as one of `n`.
fn repeated(mut column: Column, n: usize) -> Column {
    if let Some(h) = column.histogram(0).map(Arc::clone) {
        column.histograms = Some(Box::new(vec![Some(h); n]));
    }
    let value = column.values.first().copied().unwrap_or_default();
    let full = Column::full(column.labels, vec![value; n]);
    Column { drop_name: column.drop_name, histograms: column.histograms, ..full }
}
