//! Duration expressions: in brackets freely, behind `offset` only where nothing else is meant.

use skald_vector::BinaryOp;

use super::modifier::length;
use super::{Parser, Result};
use crate::syntax::ast::{DurationExpr, DurationOp, DurationOperator, Length, NumberLiteral, Span};
use crate::syntax::token::Kind;

/// Seconds that 64 bits of nanoseconds hold.
pub(crate) const MAX_SECONDS: f64 = 9_223_372_036.854_776;
const UNARY: u8 = 3;

fn operator(op: BinaryOp) -> Option<(DurationOperator, u8)> {
    Some(match op {
        BinaryOp::Add => (DurationOperator::Add, 1),
        BinaryOp::Sub => (DurationOperator::Sub, 1),
        BinaryOp::Mul => (DurationOperator::Mul, 2),
        BinaryOp::Div => (DurationOperator::Div, 2),
        BinaryOp::Mod => (DurationOperator::Mod, 2),
        BinaryOp::Pow => (DurationOperator::Pow, UNARY),
        _ => return None,
    })
}

fn wrap(expr: DurationExpr, span: Span) -> DurationExpr {
    DurationExpr::Op(Box::new(match expr {
        DurationExpr::Op(op) => DurationOp { wrapped: true, ..*op },
        number => DurationOp {
            op: DurationOperator::Add,
            lhs: None,
            rhs: Some(number),
            wrapped: true,
            span,
        },
    }))
}

impl Parser<'_> {
    /// What stands in brackets.
    pub(super) fn positive_duration(&mut self) -> Result<Length> {
        let duration = self.duration(0)?;
        self.peek()?;
        if let DurationExpr::Number(n) = &duration
            && n.value <= 0.0
        {
            return Err(self.error(n.span.start, "duration must be greater than 0"));
        }
        Ok(length(duration))
    }

    /// What stands behind `offset`. A signed literal, call or parenthesis stands alone, so that
    /// `a offset 1m + b` is a sum of vectors.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr> {
        let first = self.peek()?;
        let signed = matches!(first.kind, Kind::Op(BinaryOp::Add | BinaryOp::Sub));
        let operand = self.peek_nth(usize::from(signed))?.kind;
        let sign = match operand {
            Kind::LeftParen if !signed => return self.duration(0),
            Kind::LeftParen | Kind::Number | Kind::Duration => self.sign()?,
            Kind::Step | Kind::Range | Kind::MinOf | Kind::MaxOf => self.sign()?,
            _ => return self.duration(0),
        };
        let Some(sign) = sign else { return self.duration_operand() };
        let minus = sign == BinaryOp::Sub;
        match operand {
            Kind::LeftParen => {
                self.next()?;
                let inner = self.duration(0)?;
                self.expect(Kind::RightParen)?;
                let span = inner.span();
                self.apply_sign(minus, first.start, wrap(inner, span))
            }
            Kind::Number | Kind::Duration => {
                let number = self.number()?;
                self.apply_sign(minus, first.start, DurationExpr::Number(number))
            }
            _ => {
                let call = self.duration_operand()?;
                let op = if minus { DurationOperator::Sub } else { DurationOperator::Add };
                let span = Span { start: first.start, end: call.span().end };
                let rhs = Some(call);
                let signed = DurationOp { op, lhs: None, rhs, wrapped: false, span };
                Ok(DurationExpr::Op(Box::new(signed)))
            }
        }
    }

    /// Operators that bind at least as tightly as `least`.
    fn duration(&mut self, least: u8) -> Result<DurationExpr> {
        self.nested(|p| {
            let depth = p.depth;
            let mut lhs = p.duration_operand()?;
            while let Kind::Op(op) = p.peek()?.kind {
                let Some((op, power)) = operator(op).filter(|(_, power)| *power >= least) else {
                    break;
                };
                // Chains count as nesting, so that whatever walks the tree may recurse.
                p.deepen()?;
                let at = p.next()?.start;
                let rhs =
                    p.duration(if op == DurationOperator::Pow { power } else { power + 1 })?;
                lhs = p.duration_binary(op, at, lhs, rhs)?;
            }
            p.depth = depth;
            Ok(lhs)
        })
    }

    fn duration_binary(
        &self,
        op: DurationOperator,
        at: usize,
        lhs: DurationExpr,
        rhs: DurationExpr,
    ) -> Result<DurationExpr> {
        if let DurationExpr::Number(NumberLiteral { value, .. }) = &rhs
            && value.abs() <= 0.0
        {
            match op {
                DurationOperator::Div => return Err(self.error(at, "division by zero")),
                DurationOperator::Mod => return Err(self.error(at, "modulo by zero")),
                _ => {}
            }
        }
        let span = lhs.span().to(rhs.span());
        let (lhs, rhs) = (Some(lhs), Some(rhs));
        Ok(DurationExpr::Op(Box::new(DurationOp { op, lhs, rhs, wrapped: false, span })))
    }

    fn duration_operand(&mut self) -> Result<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number()?;
                self.check_seconds(number.value, token.start)?;
                Ok(DurationExpr::Number(number))
            }
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                let operand = self.duration(UNARY)?;
                self.apply_sign(op == BinaryOp::Sub, token.start, operand)
            }
            Kind::LeftParen => {
                self.next()?;
                let inner = self.duration(0)?;
                let end = self.expect(Kind::RightParen)?.end;
                Ok(wrap(inner, Span { start: token.start, end }))
            }
            Kind::Step => self.duration_call(DurationOperator::Step),
            Kind::Range => self.duration_call(DurationOperator::Range),
            Kind::MinOf => self.duration_call(DurationOperator::MinOf),
            Kind::MaxOf => self.duration_call(DurationOperator::MaxOf),
            _ => Err(self.unexpected()),
        }
    }

    fn duration_call(&mut self, op: DurationOperator) -> Result<DurationExpr> {
        let start = self.next()?.start;
        self.expect(Kind::LeftParen)?;
        let (mut lhs, mut rhs) = (None, None);
        if matches!(op, DurationOperator::MinOf | DurationOperator::MaxOf) {
            lhs = Some(self.duration(0)?);
            self.expect(Kind::Comma)?;
            rhs = Some(self.duration(0)?);
        }
        let end = self.expect(Kind::RightParen)?.end;
        let span = Span { start, end };
        Ok(DurationExpr::Op(Box::new(DurationOp { op, lhs, rhs, wrapped: false, span })))
    }

    fn apply_sign(&self, minus: bool, start: usize, operand: DurationExpr) -> Result<DurationExpr> {
        match operand {
            DurationExpr::Number(mut number) => {
                number.value = if minus { -number.value } else { number.value };
                self.check_seconds(number.value, start)?;
                number.span.start = start;
                Ok(DurationExpr::Number(number))
            }
            op if !minus => Ok(op),
            op => {
                let span = Span { start, end: op.span().end };
                let (op, rhs) = (DurationOperator::Sub, Some(op));
                let signed = DurationOp { op, lhs: None, rhs, wrapped: false, span };
                Ok(DurationExpr::Op(Box::new(signed)))
            }
        }
    }

    fn check_seconds(&self, seconds: f64, at: usize) -> Result<()> {
        if seconds.is_nan() || seconds.abs() > MAX_SECONDS {
            return Err(self.error(at, "duration out of range"));
        }
        Ok(())
    }
}
