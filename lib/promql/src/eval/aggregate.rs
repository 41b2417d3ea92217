//! Aggregations: over series as they come where the argument is a chain, else over all of them.

use skald_vector::aggregate::{Gather, remark_on_parameters};
use skald_vector::{Grid, Param, aggregate};

use super::{Evaluator, Val};
use crate::QueryError;
use crate::exec::chain;
use crate::expr::Aggregate;

impl Evaluator {
    pub(super) fn aggregate(&mut self, a: &Aggregate, grid: Grid) -> Result<Val, QueryError> {
        let param = match &a.param {
            None => None,
            Some(p) => Some(self.eval(p, grid)?),
        };
        let param = match &param {
            Some(Val::Scalar(v)) => Param::Scalar(v),
            Some(Val::Text(label)) => Param::Label(label),
            _ => Param::None,
        };
        if let Some(chain) = chain(&a.expr) {
            let out = match Gather::does(a.op) {
                true => self.gather(a, &chain, param, grid)?,
                false => self.fold(a, &chain, grid)?,
            };
            if let Some(out) = out {
                return self.held(out);
            }
        }
        let input = self.vector(&a.expr, grid)?;
        self.remark_on(a, param);
        self.at(a.places.0);
        let out = aggregate(a.op, &a.grouping, &input, param, &mut self.ctx)?;
        self.held(out)
    }

    /// Remarks on the parameter of an aggregation. Behind those of the input: of equal remarks the last
    /// place counts.
    pub(crate) fn remark_on(&mut self, a: &Aggregate, param: Param<'_>) {
        if let Param::Scalar(values) = param {
            self.at(a.places.1);
            remark_on_parameters(a.op, values, &mut self.ctx);
        }
    }
}
