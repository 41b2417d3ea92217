//! Calls of functions that PromQL has and Loki has not.

use super::{Parser, Result};
use crate::ast::{Arg, Call, Expr, Function, MetricExpr, Param};
use crate::lexer::{Span, Tok};

impl Parser<'_> {
    /// After the name of the function.
    pub(super) fn function(
        &mut self,
        name: &str,
        function: Function,
        start: Span,
    ) -> Result<MetricExpr> {
        self.expect_op("(")?;
        let signature = function.signature();
        let mut args = Vec::new();
        while !self.is_op(")") {
            if !args.is_empty() {
                self.expect_op(",")?;
            }
            let last = signature.params.last().filter(|_| signature.repeats);
            let Some(param) = signature.params.get(args.len()).or(last) else {
                let most = signature.params.len();
                let what = format!("{name} takes at most {most} arguments");
                return Err(self.error_here(what));
            };
            args.push(self.arg(name, *param)?);
        }
        if args.len() < signature.required {
            let least = signature.required;
            let what = format!("{name} takes at least {least} arguments, not {}", args.len());
            return Err(self.error_here(what));
        }
        self.expect_op(")")?;
        self.called(name, function, args, start)
    }

    fn called(
        &self,
        name: &str,
        function: Function,
        args: Vec<Arg>,
        start: Span,
    ) -> Result<MetricExpr> {
        let call = Call { name: name.to_owned(), function, args, span: self.span_from(start) };
        let expr = MetricExpr::Call(Box::new(call));
        self.check_depth(expr.depth())?;
        Ok(expr)
    }

    fn arg(&mut self, name: &str, param: Param) -> Result<Arg> {
        if param == Param::Text {
            return Ok(Arg::Text(self.string()?));
        }
        let span = self.span();
        let wanted = if param == Param::Scalar { "a number" } else { "a vector" };
        match self.nested(|p| p.expr(0))? {
            Expr::Metric(expr) if expr.is_scalar() == (param == Param::Scalar) => {
                Ok(Arg::Metric(expr))
            }
            _ => Err(self.error_at(span, format!("{name} needs {wanted} here"))),
        }
    }

    /// `vector(5)`, or a number that is computed.
    pub(super) fn computed_vector(&mut self, start: Span) -> Result<MetricExpr> {
        let signed = matches!(self.token(1).tok, Tok::Op("-" | "+"));
        let number = usize::from(signed) + 1;
        let closed = matches!(self.token(number + 1).tok, Tok::Op(")"));
        if closed && matches!(self.token(number).tok, Tok::Number(_)) {
            self.advance();
            let value = self.signed_number()?;
            self.expect_op(")")?;
            return Ok(MetricExpr::Constant(value));
        }
        self.expect_op("(")?;
        let arg = self.arg("vector", Param::Scalar)?;
        self.expect_op(")")?;
        if let Arg::Metric(MetricExpr::Literal(value)) = arg {
            return Ok(MetricExpr::Constant(value));
        }
        self.called("vector", Function::ToVector, vec![arg], start)
    }
}
