//! What follows an operand: ranges and subqueries, `offset`, `@`, `anchored` and `smoothed`.

use skald_vector::BinaryOp;

use super::{Context, Parser, Result};
use crate::syntax::ast::{
    At, DurationExpr, Expr, Extension, Length, MatrixSelector, Span, SubqueryExpr,
};
use crate::syntax::token::Kind;

const NOT_SELECTOR: &str =
    "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Result<Expr> {
        let depth = self.depth;
        loop {
            expr = match self.peek()?.kind {
                Kind::LeftBracket => {
                    // Subqueries of subqueries are an error that only the check finds.
                    self.deepen()?;
                    self.range(expr)?
                }
                Kind::Offset => self.offset(expr)?,
                Kind::At => self.at(expr)?,
                Kind::Anchored => self.extension(expr, Extension::Anchored)?,
                Kind::Smoothed => self.extension(expr, Extension::Smoothed)?,
                _ => break,
            };
        }
        self.depth = depth;
        Ok(expr)
    }

    fn range(&mut self, expr: Expr) -> Result<Expr> {
        let open = self.next()?;
        let context = Context {
            place: "subquery or range selector",
            expected: "number, duration, step(), or range()",
        };
        let range = self.within(context, Self::positive_duration)?;
        if self.eat(Kind::Colon)?.is_some() {
            return self.subquery(expr, range);
        }
        let Some(close) = self.eat(Kind::RightBracket)? else {
            let place = "subquery or range";
            return Err(self.unexpected_in(Context { place, expected: "\":\" or \"]\"" }));
        };
        let problem = match &expr {
            Expr::Vector(s) if s.offset.is_set() => "no offset modifiers allowed before range",
            Expr::Vector(s) if s.at.is_some() => "no @ modifiers allowed before range",
            Expr::Vector(_) => "",
            _ => "ranges only allowed for vector selectors",
        };
        let (Expr::Vector(selector), "") = (expr, problem) else {
            return Err(self.error(open.start, problem));
        };
        let span = Span { start: selector.span.start, end: close.end };
        Ok(Expr::Matrix(Box::new(MatrixSelector { selector: *selector, range, span })))
    }

    /// Behind the colon.
    fn subquery(&mut self, expr: Expr, range: Length) -> Result<Expr> {
        let place = "subquery selector";
        let mut step = None;
        if self.peek()?.kind != Kind::RightBracket {
            let expected = "number, duration, step(), range(), or \"]\"";
            step = Some(self.within(Context { place, expected }, Self::positive_duration)?);
        }
        let Some(close) = self.eat(Kind::RightBracket)? else {
            return Err(self.unexpected_in(Context { place, expected: "\"]\"" }));
        };
        let span = Span { start: expr.span().start, end: close.end };
        let offset = Length::default();
        Ok(Expr::Subquery(Box::new(SubqueryExpr { expr, range, step, offset, at: None, span })))
    }

    fn offset(&mut self, mut expr: Expr) -> Result<Expr> {
        self.next()?;
        let context = Context { place: "offset", expected: "number, duration, step(), or range()" };
        let duration = self.within(context, Self::offset_duration)?;
        let (start, end) = (expr.span().start, duration.span().end);
        let slot = match &mut expr {
            Expr::Vector(s) => {
                s.span.end = end;
                &mut s.offset
            }
            Expr::Matrix(m) => {
                m.span.end = end;
                &mut m.selector.offset
            }
            Expr::Subquery(s) => {
                s.span.end = end;
                &mut s.offset
            }
            _ => return Err(self.error(start, format!("offset modifier {NOT_SELECTOR}"))),
        };
        if slot.is_set() {
            return Err(self.error(start, "offset may not be set multiple times"));
        }
        *slot = length(duration);
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Result<Expr> {
        self.next()?;
        let start = expr.span().start;
        let context = Context { place: "@", expected: "timestamp" };
        let (seconds, at, end) = self.within(context, Self::time)?;
        // Beyond 64 bits of seconds.
        if seconds.is_nan() || seconds.abs() >= 9_223_372_036_854_775_808.0 {
            let shown = match seconds {
                s if s.is_nan() => "NaN".to_owned(),
                s if s.is_infinite() => if s > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
                s => format!("{s:.6}"),
            };
            let text = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(self.error(start, text));
        }
        let slot = match &mut expr {
            Expr::Vector(s) => {
                s.span.end = end;
                &mut s.at
            }
            Expr::Matrix(m) => {
                m.span.end = end;
                &mut m.selector.at
            }
            Expr::Subquery(s) => {
                s.span.end = end;
                &mut s.at
            }
            _ => return Err(self.error(start, format!("@ modifier {NOT_SELECTOR}"))),
        };
        if slot.is_some() {
            return Err(self.error(start, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        Ok(expr)
    }

    /// A time as seconds (0 when it is `start()` or `end()`) and as what it means.
    fn time(&mut self) -> Result<(f64, At, usize)> {
        let bound = match self.peek()?.kind {
            Kind::Start => Some(At::Start),
            Kind::End => Some(At::End),
            _ => None,
        };
        if let Some(at) = bound {
            self.next()?;
            self.expect(Kind::LeftParen)?;
            let end = self.expect(Kind::RightParen)?.end;
            return Ok((0.0, at, end));
        }
        let sign = self.sign()?;
        if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected());
        }
        let number = self.number()?;
        let minus = sign == Some(BinaryOp::Sub);
        let seconds = if minus { -number.value } else { number.value };
        Ok((seconds, At::Ms(round(seconds * 1000.0)), number.span.end))
    }

    fn extension(&mut self, mut expr: Expr, extension: Extension) -> Result<Expr> {
        self.next()?;
        let start = expr.span().start;
        let name = extension.as_str();
        let slot = match &mut expr {
            Expr::Vector(s) => &mut s.extension,
            Expr::Matrix(m) => &mut m.selector.extension,
            Expr::Subquery(_) => {
                let text = format!("{name} modifier is not supported for subqueries");
                return Err(self.error(start, text));
            }
            _ => return Err(self.error(start, format!("{name} modifier not implemented"))),
        };
        if slot.is_some_and(|other| other != extension) {
            let text = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(start, text));
        }
        *slot = Some(extension);
        Ok(expr)
    }
}

/// A parsed duration as what selectors keep.
pub(super) fn length(duration: DurationExpr) -> Length {
    match duration {
        DurationExpr::Number(n) => Length { nanos: round(n.value * 1e9), expr: None },
        DurationExpr::Op(op) => Length { nanos: 0, expr: Some(*op) },
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates; what is out of range was refused")]
fn round(v: f64) -> i64 {
    v.round() as i64
}
