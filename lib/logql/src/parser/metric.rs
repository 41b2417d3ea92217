//! Expressions: what stands at the top, operators, calls.

use super::{Parser, Result};
use crate::ast::{
    Binary, BinaryOp, Cardinality, Expr, Function, LabelReplace, LogExpr, Matching, MetricExpr,
    RangeOp, VectorAgg, VectorOp, VectorParam,
};
use crate::lexer::{Span, Tok};

impl Parser<'_> {
    /// An expression of operators that bind at least as tight as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Result<Expr> {
        let start = self.span();
        let mut left = self.nested(Self::primary)?;
        while let Some(op) = self.binary_op() {
            let binds = op.precedence();
            if binds < min {
                break;
            }
            self.advance();
            let (return_bool, matching) = self.modifiers(op)?;
            // `^` is right-associative, all others left.
            let next = if op == BinaryOp::Pow { binds } else { binds + 1 };
            let right = self.nested(|p| p.expr(next))?;
            let span = self.span_from(start);
            left = Expr::Metric(self.binary(left, right, op, return_bool, matching, span)?);
        }
        Ok(left)
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        Some(match self.peek() {
            Tok::Op("+") => BinaryOp::Add,
            Tok::Op("-") => BinaryOp::Sub,
            Tok::Op("*") => BinaryOp::Mul,
            Tok::Op("/") => BinaryOp::Div,
            Tok::Op("%") => BinaryOp::Mod,
            Tok::Op("^") => BinaryOp::Pow,
            Tok::Op("==") => BinaryOp::Equal,
            Tok::Op("!=") => BinaryOp::NotEqual,
            Tok::Op(">") => BinaryOp::Greater,
            Tok::Op(">=") => BinaryOp::GreaterEqual,
            Tok::Op("<") => BinaryOp::Less,
            Tok::Op("<=") => BinaryOp::LessEqual,
            Tok::Ident(word) if word.eq_ignore_ascii_case("or") => BinaryOp::Or,
            Tok::Ident(word) if word.eq_ignore_ascii_case("and") => BinaryOp::And,
            Tok::Ident(word) if word.eq_ignore_ascii_case("unless") => BinaryOp::Unless,
            _ => return None,
        })
    }

    /// `[bool] [on(…)|ignoring(…) [group_left(…)|group_right(…)]]`.
    fn modifiers(&mut self, op: BinaryOp) -> Result<(bool, Option<Matching>)> {
        let return_bool = self.is_word("bool");
        if return_bool {
            if !op.is_comparison() {
                return Err(
                    self.error_here("bool modifier can only be used on comparison operators")
                );
            }
            self.advance();
        }
        let on = self.is_word("on");
        if !on && !self.is_word("ignoring") {
            return Ok((return_bool, None));
        }
        self.advance();
        let labels = self.label_list()?;
        let mut out =
            Matching { on, labels, cardinality: Cardinality::OneToOne, include: Vec::new() };
        let left = self.is_word("group_left");
        if left || self.is_word("group_right") {
            if op.is_set() {
                return Err(self.error_here("no grouping allowed for set operations"));
            }
            self.advance();
            out.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            if self.is_op("(") {
                out.include = self.label_list()?;
            }
        }
        Ok((return_bool, Some(out)))
    }

    fn binary(
        &self,
        left: Expr,
        right: Expr,
        op: BinaryOp,
        return_bool: bool,
        matching: Option<Matching>,
        span: Span,
    ) -> Result<MetricExpr> {
        let leg = |expr: Expr, side: &str| match expr {
            Expr::Metric(metric) if op.is_set() && metric.is_scalar() => {
                let text = format!(
                    "unexpected literal for {side} leg of logical/set binary operation ({})",
                    op.as_str()
                );
                Err(self.error_at(span, text))
            }
            Expr::Metric(metric) => Ok(metric),
            Expr::Log(_) => {
                let op = op.as_str();
                let text = format!("unexpected type for {side} leg of binary operation ({op})");
                Err(self.error_at(span, text))
            }
        };
        let left = leg(left, "left")?;
        let right = leg(right, "right")?;
        if let (MetricExpr::Literal(a), MetricExpr::Literal(b)) = (&left, &right) {
            return Ok(MetricExpr::Literal(op.apply(*a, *b)));
        }
        let expr =
            MetricExpr::Binary(Box::new(Binary { op, return_bool, matching, left, right, span }));
        self.check_depth(expr.depth())?;
        Ok(expr)
    }

    pub(super) fn primary(&mut self) -> Result<Expr> {
        let start = self.span();
        match self.peek() {
            Tok::Op("{") => {
                let matchers = self.selector()?;
                let stages = self.stages()?;
                Ok(Expr::Log(LogExpr { matchers, stages, span: self.span_from(start) }))
            }
            Tok::Op("(") => {
                self.advance();
                let inner = self.expr(0)?;
                self.expect_op(")")?;
                Ok(inner)
            }
            Tok::Op("-") if !matches!(self.token(1).tok, Tok::Number(_)) => self.negated(),
            Tok::Number(_) | Tok::Op("+" | "-") => {
                Ok(Expr::Metric(MetricExpr::Literal(self.signed_number()?)))
            }
            Tok::Ident(word) => {
                let word = word.to_ascii_lowercase();
                Ok(Expr::Metric(self.call(&word, start)?))
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// `-vector`, which binds looser than `^` and tighter than all else.
    fn negated(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let inner = self.nested(|p| p.expr(BinaryOp::Pow.precedence()))?;
        let expr = match inner {
            Expr::Metric(MetricExpr::Literal(value)) => MetricExpr::Literal(-value),
            Expr::Metric(inner) => MetricExpr::Negate(Box::new(inner)),
            Expr::Log(_) => return Err(self.error_at(start, "a log query has no sign")),
        };
        self.check_depth(expr.depth())?;
        Ok(Expr::Metric(expr))
    }

    fn call(&mut self, word: &str, start: Span) -> Result<MetricExpr> {
        let calls = matches!(self.token(1).tok, Tok::Op("("));
        let groups = self.is_word_at(1, "by") || self.is_word_at(1, "without");
        if !calls && !groups {
            return Err(self.unexpected("an expression"));
        }
        if let Some((_, op)) = RangeOp::ALL.iter().find(|(name, _)| *name == word) {
            self.advance();
            return self.range_agg(*op, start);
        }
        if let Some((_, op)) = VectorOp::ALL.iter().find(|(name, _)| *name == word) {
            self.advance();
            return Ok(MetricExpr::Vector(Box::new(self.vector_agg(*op, start)?)));
        }
        match word {
            "label_replace" => {
                self.advance();
                self.label_replace(start)
            }
            "vector" => {
                self.advance();
                self.computed_vector(start)
            }
            "approx_topk" => Err(self.error_here("approx_topk is not supported; use topk")),
            _ => match Function::named(word).filter(|_| calls) {
                Some(function) => {
                    self.advance();
                    self.function(word, function, start)
                }
                None => Err(self.error_here(format!(
                    "syntax error: unexpected IDENTIFIER {word}, unknown function"
                ))),
            },
        }
    }

    fn vector_agg(&mut self, op: VectorOp, start: Span) -> Result<VectorAgg> {
        let mut grouping = self.grouping()?;
        self.expect_op("(")?;
        let param = self.vector_param(op)?;
        let inner = match self.expr(0)? {
            Expr::Metric(metric) => metric,
            Expr::Log(log) => {
                let what = format!("syntax error: unexpected log query in {}()", op.as_str());
                return Err(self.error_at(log.span, what));
            }
        };
        self.expect_op(")")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        if grouping.is_some() && matches!(op, VectorOp::Sort | VectorOp::SortDesc) {
            let text = format!("grouping not allowed for {} aggregation", op.as_str());
            return Err(self.error_at(start, text));
        }
        if inner.is_scalar() {
            let text = format!("unexpected literal in {}(), expecting a vector", op.as_str());
            return Err(self.error_at(start, text));
        }
        Ok(VectorAgg { op, param, grouping, inner, span: self.span_from(start) })
    }

    /// What stands before the vector: the `k` of `topk`, a positive whole number without a point, the φ of
    /// `quantile`, the label of `count_values`.
    fn vector_param(&mut self, op: VectorOp) -> Result<Option<VectorParam>> {
        let takes = matches!(
            op,
            VectorOp::Topk
                | VectorOp::Bottomk
                | VectorOp::Limitk
                | VectorOp::Quantile
                | VectorOp::CountValues
                | VectorOp::LimitRatio
        );
        let span = self.span();
        let literal = |tok: &Tok| matches!(tok, Tok::Number(_) | Tok::Str(_));
        let comma = |p: &Self, ahead| matches!(p.token(ahead).tok, Tok::Op(","));
        let has = literal(self.peek()) && comma(self, 1)
            || matches!(self.peek(), Tok::Op("-" | "+")) && comma(self, 2);
        let name = op.as_str();
        if !has {
            let what = format!("parameter required for operation {name}");
            return if takes { Err(self.error_at(span, what)) } else { Ok(None) };
        }
        if !takes {
            let what = format!("unsupported parameter for operation {name}");
            return Err(self.error_at(span, what));
        }
        if op == VectorOp::CountValues {
            let label = self.string()?;
            if label.is_empty() {
                return Err(self.error_at(span, "count_values needs the name of a label"));
            }
            self.expect_op(",")?;
            return Ok(Some(VectorParam::Label(label)));
        }
        let value = self.signed_number()?;
        let end = self.tokens[self.pos - 1].span.end;
        let text = self.query[span.start..end].replace(' ', "");
        self.expect_op(",")?;
        if matches!(op, VectorOp::Quantile | VectorOp::LimitRatio) {
            return Ok(Some(VectorParam::Number(value)));
        }
        match text.parse::<usize>() {
            Ok(k) if k > 0 => Ok(Some(VectorParam::K(k))),
            _ => {
                let what = format!("invalid parameter (must be greater than 0) {name}({text}");
                Err(self.error_at(span, what))
            }
        }
    }

    fn label_replace(&mut self, start: Span) -> Result<MetricExpr> {
        self.expect_op("(")?;
        let inner = match self.expr(0)? {
            Expr::Metric(metric) if !metric.is_scalar() => metric,
            _ => return Err(self.error_at(start, "label_replace() needs a vector")),
        };
        let mut args = [const { String::new() }; 4];
        let mut last = start;
        for arg in &mut args {
            self.expect_op(",")?;
            last = self.span();
            *arg = self.string()?;
        }
        self.expect_op(")")?;
        let [dst, replacement, src, regex] = args;
        skald_model::regex::anchored(&regex).map_err(|e| self.error_at(last, e.to_string()))?;
        let span = self.span_from(start);
        let call = LabelReplace { inner, dst, replacement, src, regex, span };
        Ok(MetricExpr::LabelReplace(Box::new(call)))
    }
}
