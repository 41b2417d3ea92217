//! `absent` and `absent_over_time`.

use skald_model::{Labels, LabelsBuilder, MatchOp, Matcher};
use skald_vector::{Bitmap, Column, Grid, Matrix};

use crate::expr::Expr;

/// One at every step that is not in `present`, with the labels that the argument asked for.
pub(super) fn absent(arg: &Expr, grid: Grid, present: &Bitmap) -> Matrix {
    let mut out = Matrix::new(grid);
    let mut column = Column::full(labels(arg), vec![1.0; grid.n]);
    column.present.subtract(present);
    out.push(column);
    out
}

/// The labels that a selector fixes with exactly one `=`.
fn labels(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg {
        Expr::Selector(s) | Expr::Range { selector: s, .. } => &s.matchers,
        _ => return Labels::empty(),
    };
    let mut out = LabelsBuilder::default();
    for m in matchers.iter().filter(|m| m.op == MatchOp::Equal && m.name != Labels::NAME) {
        if matchers.iter().filter(|o| o.name == m.name).count() == 1 {
            out.set(&m.name, &m.value);
        }
    }
    out.build()
}
