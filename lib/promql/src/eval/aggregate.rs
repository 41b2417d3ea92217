//! Aggregations: over series as they come where the argument is a chain, else over all of them.

use skald_vector::aggregate::remark_on_parameters;
use skald_vector::{Context, Grid, Param, aggregate};

use super::{Evaluator, Val};
use crate::QueryError;
use crate::exec::{Target, chain};
use crate::expr::{Aggregate, Expr};

impl Evaluator {
    pub(super) fn aggregate(
        &mut self,
        expr: &Expr,
        a: &Aggregate,
        grid: Grid,
    ) -> Result<Val, QueryError> {
        let param = match &a.param {
            None => None,
            Some(p) => Some(self.eval(p, grid)?),
        };
        let param = match &param {
            Some(Val::Scalar(v)) => Param::Scalar(v),
            Some(Val::Text(label)) => Param::Label(label),
            _ => Param::None,
        };
        if let Some(chain) = chain(&a.expr)
            && let Some(out) = self.stream(expr, Target::Aggregate(a, param), &chain, grid)?
        {
            return self.held(out);
        }
        let input = self.vector(&a.expr, grid)?;
        remark_on(a, param, &mut self.ctx);
        self.at(a.places.0);
        let out = aggregate(a.op, &a.grouping, &input, param, &mut self.ctx)?;
        self.held(out)
    }
}

/// Remarks on the parameter of an aggregation. Behind those of the input: of equal remarks the last place
/// counts.
pub(crate) fn remark_on(a: &Aggregate, param: Param<'_>, ctx: &mut Context) {
    if let Param::Scalar(values) = param {
        ctx.annotations.place = Some(a.places.1);
        remark_on_parameters(a.op, values, ctx);
    }
}
