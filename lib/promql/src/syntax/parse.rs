//! Tokens → tree, by precedence climbing. The first error ends it, as only the first is ever shown.
//!
//! An error names the construct that it interrupts: the innermost aggregation, offset, `@` or range
//! that is open, which [`Parser::context`] remembers.

mod binary;
mod duration;
mod modifier;
mod selector;

use std::collections::HashMap;

use skald_model::Matcher;
use skald_vector::{AggregateOp, BinaryOp};

use super::MAX_DEPTH;
use super::ast::{
    AggregateExpr, BinaryExpr, Call, Expr, NumberLiteral, ParenExpr, Sign, Span, StringLiteral,
    UnaryExpr, VectorSelector,
};
use super::error::ParseError;
use super::lex::{Lexed, lex};
use super::token::{Kind, Token};
use super::{function, number, string};

type Result<T> = std::result::Result<T, ParseError>;

/// Where a token was not expected, and what was.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    place: &'static str,
    expected: &'static str,
}

#[derive(Debug)]
pub(super) struct Parser<'a> {
    query: &'a str,
    lexed: Lexed,
    at: usize,
    depth: usize,
    context: Context,
    /// What regular expressions compiled to, by their text, and the bytes of them all.
    patterns: HashMap<String, Matcher>,
    patterns_bytes: usize,
}

/// How tightly the operand of a sign binds: only `^` binds tighter than signs do.
const UNARY: u8 = 6;

/// Binding power of an operator.
fn power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => UNARY,
        _ => 3,
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(query: &'a str) -> Result<Self> {
        let (lexed, context) = (lex(query)?, Context::default());
        let patterns = HashMap::new();
        Ok(Self { query, lexed, at: 0, depth: 0, context, patterns, patterns_bytes: 0 })
    }

    /// A whole query.
    pub(super) fn query(&mut self) -> Result<Expr> {
        if self.peek()?.kind == Kind::Eof {
            return Err(self.error(0, "no expression found in input"));
        }
        let expr = self.expression(0)?;
        self.end()?;
        Ok(expr)
    }

    pub(super) fn bare_selector(&mut self) -> Result<VectorSelector> {
        let kind = self.peek()?.kind;
        if kind != Kind::LeftBrace && !kind.is_metric() {
            return Err(self.unexpected());
        }
        let selector = self.selector()?;
        self.end()?;
        Ok(selector)
    }

    fn end(&mut self) -> Result<()> {
        if self.peek()?.kind == Kind::Eof { Ok(()) } else { Err(self.unexpected()) }
    }

    // Tokens.

    /// The next token; an error when the text goes on with something else.
    fn peek(&self) -> Result<Token> {
        self.peek_nth(0)
    }

    fn peek_nth(&self, n: usize) -> Result<Token> {
        let end = Token { kind: Kind::Eof, start: self.query.len(), end: self.query.len() };
        let token = self.lexed.tokens.get(self.at + n).copied().unwrap_or(end);
        match (&self.lexed.error, token.kind) {
            (Some(error), Kind::Error) => Err(error.clone()),
            _ => Ok(token),
        }
    }

    fn next(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.at += 1;
        Ok(token)
    }

    /// Takes the next token if it is `kind`.
    fn eat(&mut self, kind: Kind) -> Result<Option<Token>> {
        let token = self.peek()?;
        if token.kind != kind {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(token))
    }

    fn expect(&mut self, kind: Kind) -> Result<Token> {
        self.eat(kind)?.ok_or_else(|| self.unexpected())
    }

    fn text(&self, token: Token) -> &'a str {
        self.query.get(token.start..token.end).unwrap_or("")
    }

    /// The value of a string token.
    fn string(&self, token: Token) -> Result<String> {
        string::unquote(self.text(token))
            .map(|(value, _)| value)
            .map_err(|text| self.error(token.start, text))
    }

    // Errors.

    fn error(&self, offset: usize, text: impl Into<String>) -> ParseError {
        ParseError::at(self.query, offset, text)
    }

    fn unexpected(&self) -> ParseError {
        self.unexpected_in(self.context)
    }

    fn unexpected_in(&self, context: Context) -> ParseError {
        let token = match self.peek() {
            Ok(token) => token,
            Err(error) => return error,
        };
        let mut text = format!("unexpected {}", token.kind.describe(self.text(token)));
        if !context.place.is_empty() {
            text.push_str(" in ");
            text.push_str(context.place);
        }
        if !context.expected.is_empty() {
            text.push_str(", expected ");
            text.push_str(context.expected);
        }
        self.error(token.start, text)
    }

    /// Runs `parse` with `context` as the innermost open construct.
    fn within<T>(
        &mut self,
        context: Context,
        parse: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let parsed = parse(self);
        self.context = outer;
        parsed
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.deepen()?;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn deepen(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let text = format!("query is nested deeper than {MAX_DEPTH} levels");
            let at = self.peek().map_or(0, |token| token.start);
            return Err(self.error(at, text));
        }
        Ok(())
    }

    // Expressions.

    /// An expression of operators that bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Expr> {
        self.nested(|p| {
            let mut lhs = p.operand()?;
            while let Kind::Op(op) = p.peek()?.kind {
                let power = power(op);
                if power < least {
                    break;
                }
                p.next()?;
                let (return_bool, matching) = p.binary_modifiers()?;
                let rhs = p.expression(if op == BinaryOp::Pow { power } else { power + 1 })?;
                let span = lhs.span().to(rhs.span());
                let matching = Some(matching);
                lhs = Expr::Binary(Box::new(BinaryExpr {
                    op,
                    lhs,
                    rhs,
                    return_bool,
                    matching,
                    span,
                }));
            }
            Ok(lhs)
        })
    }

    /// An operand with its modifiers, or a signed one.
    fn operand(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        if let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = token.kind {
            self.next()?;
            let operand = self.expression(UNARY)?;
            return Ok(signed(op, token.start, operand));
        }
        let primary = self.primary()?;
        self.modifiers(primary)
    }

    fn primary(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => self.number().map(Expr::Number),
            Kind::Text => {
                self.next()?;
                let span = Span { start: token.start, end: token.end };
                Ok(Expr::Text(StringLiteral { value: self.string(token)?, span }))
            }
            Kind::LeftParen => {
                self.next()?;
                let expr = self.expression(0)?;
                let end = self.expect(Kind::RightParen)?.end;
                let span = Span { start: token.start, end };
                Ok(Expr::Paren(Box::new(ParenExpr { expr, span })))
            }
            Kind::Aggregate(op)
                if matches!(self.peek_nth(1)?.kind, Kind::LeftParen | Kind::By | Kind::Without) =>
            {
                self.aggregate(op)
            }
            kind if kind.is_function() && self.peek_nth(1)?.kind == Kind::LeftParen => self.call(),
            kind if kind == Kind::LeftBrace || kind.is_metric() => {
                self.selector().map(|s| Expr::Vector(Box::new(s)))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn number(&mut self) -> Result<NumberLiteral> {
        let token = self.next()?;
        let span = Span { start: token.start, end: token.end };
        let text = self.text(token);
        let duration = token.kind == Kind::Duration;
        let value = if duration {
            number::duration(text).map(seconds).map_err(|text| self.error(token.start, text))?
        } else {
            number::number(text)
                .map_err(|e| self.error(token.start, format!("error parsing number: {e}")))?
        };
        Ok(NumberLiteral { value, duration, span })
    }

    fn call(&mut self) -> Result<Expr> {
        let name = self.next()?;
        let (args, end) = self.arguments()?;
        let text = self.text(name);
        let Some(func) = function::find(text) else {
            let text = skald_model::quote::quote(text);
            return Err(self.error(name.start, format!("unknown function with name {text}")));
        };
        let span = Span { start: name.start, end };
        Ok(Expr::Call(Box::new(Call { func, args, span })))
    }

    /// `(a, b)`, and where it ends.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(close) = self.eat(Kind::RightParen)? {
            return Ok((args, close.end));
        }
        loop {
            args.push(self.expression(0)?);
            let Some(comma) = self.eat(Kind::Comma)? else { break };
            if !self.peek()?.kind.starts_expression() {
                let text = "trailing commas not allowed in function call args";
                return Err(self.error(comma.start, text));
            }
        }
        let end = self.expect(Kind::RightParen)?.end;
        Ok((args, end))
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Expr> {
        let start = self.next()?.start;
        let context = Context { place: "aggregation", expected: "" };
        let (grouping, args, end) = self.within(context, |p| {
            let before = p.aggregate_modifier()?;
            let (args, mut end) = p.arguments()?;
            let mut grouping = before;
            if grouping.is_none() {
                grouping = p.aggregate_modifier()?;
                end = grouping.as_ref().map_or(end, |(_, _, end)| *end);
            }
            Ok((grouping, args, end))
        })?;
        let (without, grouping) =
            grouping.map_or((false, Vec::new()), |(without, labels, _)| (without, labels));
        let span = Span { start, end };
        let (param, expr) = self.aggregate_arguments(op, args, start)?;
        Ok(Expr::Aggregate(Box::new(AggregateExpr { op, expr, param, grouping, without, span })))
    }

    fn aggregate_arguments(
        &self,
        op: AggregateOp,
        args: Vec<Expr>,
        start: usize,
    ) -> Result<(Option<Expr>, Expr)> {
        let (wanted, got) = (1 + usize::from(has_param(op)), args.len());
        let mut args = args.into_iter();
        let (first, second) = (args.next(), args.next());
        match (first, second) {
            (None, _) => Err(self.error(start, "no arguments for aggregate expression provided")),
            (Some(expr), None) if wanted == 1 => Ok((None, expr)),
            (Some(param), Some(expr)) if wanted == 2 && got == 2 => Ok((Some(param), expr)),
            _ => {
                let text = "wrong number of arguments for aggregate expression provided";
                Err(self.error(start, format!("{text}, expected {wanted}, got {got}")))
            }
        }
    }

    /// `by (…)` or `without (…)`: whether without, the labels, the end.
    fn aggregate_modifier(&mut self) -> Result<Option<(bool, Vec<String>, usize)>> {
        let without = match self.peek()?.kind {
            Kind::By => false,
            Kind::Without => true,
            _ => return Ok(None),
        };
        self.next()?;
        let (labels, end) = self.grouping()?;
        Ok(Some((without, labels, end)))
    }
}

/// Whether an aggregation takes a parameter before its operand.
pub(super) fn has_param(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Quantile
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues
    )
}

fn signed(op: BinaryOp, start: usize, operand: Expr) -> Expr {
    let minus = op == BinaryOp::Sub;
    if let Expr::Number(mut number) = operand {
        number.value = if minus { -number.value } else { number.value };
        number.span.start = start;
        return Expr::Number(number);
    }
    let sign = if minus { Sign::Minus } else { Sign::Plus };
    let span = Span { start, end: operand.span().end };
    Expr::Unary(Box::new(UnaryExpr { sign, expr: operand, span }))
}

/// Nanoseconds in seconds, the whole ones apart, as Go's durations convert.
#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn seconds(nanos: i64) -> f64 {
    let whole = nanos / 1_000_000_000;
    let rest = nanos % 1_000_000_000;
    whole as f64 + rest as f64 / 1e9
}
