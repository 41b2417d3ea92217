//! The rules beyond grammar: types, arities, modifiers that do not go together. Linear: the type of
//! each node is found once, on the way up. The first error in Prometheus's order ends it.

use skald_model::Labels;
use skald_vector::{AggregateOp, BinaryOp};

use super::ast::{BinaryExpr, Call, Card, Expr, Span, VectorSelector};
use super::error::ParseError;
use super::function::ValueType;
use skald_model::quote::quote;

type Result<T> = std::result::Result<T, ParseError>;

pub(super) fn check(query: &str, expr: &mut Expr) -> Result<ValueType> {
    Checker { query }.expr(expr)
}

struct Checker<'a> {
    query: &'a str,
}

/// The type that a checked expression has. Walks chains of operators.
pub(crate) fn value_type(expr: &Expr) -> ValueType {
    let mut at = expr;
    loop {
        at = match at {
            Expr::Number(_) => return ValueType::Scalar,
            Expr::Text(_) => return ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => return ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => return ValueType::Matrix,
            Expr::Call(c) => return c.func.returns,
            Expr::Paren(e) => &e.expr,
            Expr::Unary(e) => &e.expr,
            Expr::Binary(e) if value_type(&e.rhs) != ValueType::Scalar => {
                return ValueType::Vector;
            }
            // Scalar if the left side is, else a vector whatever it is.
            Expr::Binary(e) => match value_type_of_lhs(&e.lhs) {
                Some(known) => return known,
                None => &e.lhs,
            },
        };
    }
}

fn value_type_of_lhs(lhs: &Expr) -> Option<ValueType> {
    match lhs {
        Expr::Binary(_) | Expr::Paren(_) | Expr::Unary(_) | Expr::Number(_) => None,
        Expr::Call(c) if c.func.returns == ValueType::Scalar => None,
        _ => Some(ValueType::Vector),
    }
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, text: impl Into<String>) -> Result<T> {
        Err(ParseError::at(self.query, span.start, text))
    }

    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        match expr {
            Expr::Number(_) => Ok(ValueType::Scalar),
            Expr::Text(_) => Ok(ValueType::String),
            Expr::Vector(s) => self.selector(s, false),
            Expr::Matrix(m) => self.selector(&m.selector, false).map(|_| ValueType::Matrix),
            Expr::Paren(p) => self.expr(&mut p.expr),
            Expr::Unary(u) => match self.expr(&mut u.expr)? {
                t @ (ValueType::Scalar | ValueType::Vector) => Ok(t),
                other => {
                    let what = "unary expression only allowed on expressions of type scalar or instant vector";
                    self.fail(u.span, format!("{what}, got {}", quote(other.documented())))
                }
            },
            Expr::Subquery(s) => match self.expr(&mut s.expr)? {
                ValueType::Vector => Ok(ValueType::Matrix),
                other => {
                    let what = "subquery is only allowed on instant vector";
                    self.fail(s.span, format!("{what}, got {} instead", other.as_str()))
                }
            },
            Expr::Aggregate(a) => {
                self.typed(&mut a.expr, ValueType::Vector, "aggregation expression")?;
                if let Some(param) = &mut a.param {
                    let wanted = match a.op {
                        AggregateOp::CountValues => ValueType::String,
                        _ => ValueType::Scalar,
                    };
                    self.typed(param, wanted, "aggregation parameter")?;
                }
                Ok(ValueType::Vector)
            }
            Expr::Call(c) => self.call(c),
            Expr::Binary(b) => self.chain(b),
        }
    }

    fn typed(&self, expr: &mut Expr, wanted: ValueType, place: &str) -> Result<()> {
        let got = self.expr(expr)?;
        if got == wanted {
            return Ok(());
        }
        let (wanted, got) = (wanted.documented(), got.documented());
        self.fail(expr.span(), format!("expected type {wanted} in {place}, got {got}"))
    }

    fn selector(&self, s: &VectorSelector, may_be_empty: bool) -> Result<ValueType> {
        if let Some(name) = &s.name {
            // The last matcher is the name before the braces.
            let others = s.matchers.split_last().map_or(&[][..], |(_, others)| others);
            if let Some(other) = others.iter().find(|m| m.name == Labels::NAME) {
                let (name, other) = (quote(name), quote(&other.value));
                let text = format!("metric name must not be set twice: {name} or {other}");
                return self.fail(s.span, text);
            }
        } else if !may_be_empty && s.matchers.iter().all(|m| m.matches_empty()) {
            let text = "vector selector must contain at least one non-empty matcher";
            return self.fail(s.span, text);
        }
        Ok(ValueType::Vector)
    }

    fn call(&self, c: &mut Call) -> Result<ValueType> {
        self.arity(c)?;
        let func = c.func;
        let info = func.name == "info";
        if info && let Some(second) = c.args.get(1) {
            self.info_matchers(c.span, second)?;
        }
        for (i, arg) in c.args.iter_mut().enumerate() {
            let Some(wanted) = func.args.get(i).or(func.args.last()).copied() else { continue };
            let got = match &*arg {
                Expr::Vector(s) if info && i == 1 => self.selector(s, true)?,
                _ => self.expr(arg)?,
            };
            if got != wanted {
                let (wanted, got) = (wanted.documented(), got.documented());
                let place = format!("call to function {}", quote(func.name));
                let text = format!("expected type {wanted} in {place}, got {got}");
                return self.fail(arg.span(), text);
            }
        }
        Ok(func.returns)
    }

    fn arity(&self, c: &Call) -> Result<()> {
        let (listed, got, name) = (c.func.args.len(), c.args.len(), quote(c.func.name));
        let least = listed.saturating_sub(1);
        let (word, n) = match usize::try_from(c.func.variadic) {
            Ok(0) if listed != got => ("", listed),
            Ok(0) => return Ok(()),
            _ if got < least => ("at least ", least),
            Ok(optional) if got > least + optional => ("at most ", least + optional),
            _ => return Ok(()),
        };
        let text = format!("expected {word}{n} argument(s) in call to {name}, got {got}");
        self.fail(c.span, text)
    }

    /// The second argument of `info` is a selector without a name.
    fn info_matchers(&self, call: Span, arg: &Expr) -> Result<()> {
        let got = value_type(arg);
        if got != ValueType::Vector {
            let text = format!(
                "expected type instant vector in call to function \"info\", got {}",
                got.documented()
            );
            return self.fail(call, text);
        }
        match arg {
            Expr::Vector(s) if s.name.is_some() => {
                self.fail(s.span, "expected label selectors only, got vector selector instead")
            }
            Expr::Vector(_) => Ok(()),
            other => self.fail(other.span(), "expected label selectors only"),
        }
    }

    /// A chain of operators that leans to the left, without recursing into it.
    fn chain(&self, top: &mut BinaryExpr) -> Result<ValueType> {
        let mut lhs_type = None;
        // From the innermost outwards; each time walking down to it would be quadratic, so the
        // links are taken apart and put together again.
        let mut links = Vec::new();
        let mut rest = std::mem::take(&mut top.lhs);
        while let Expr::Binary(mut below) = rest {
            rest = std::mem::take(&mut below.lhs);
            links.push(below);
        }
        let mut lhs = rest;
        while let Some(mut link) = links.pop() {
            link.lhs = lhs;
            lhs_type = Some(self.binary(&mut link, lhs_type)?);
            lhs = Expr::Binary(link);
        }
        top.lhs = lhs;
        self.binary(top, lhs_type)
    }

    /// One link, of which the left side has type `lhs_type` if it was checked before.
    fn binary(&self, b: &mut BinaryExpr, lhs_type: Option<ValueType>) -> Result<ValueType> {
        let lhs = match lhs_type {
            Some(known) => known,
            None => self.expr(&mut b.lhs)?,
        };
        let rhs = self.expr(&mut b.rhs)?;
        let scalars = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        let op = b.op;
        if b.return_bool && !op.is_comparison() {
            let text = "bool modifier can only be used on comparison operators";
            return self.fail(self.operator_span(b), text);
        }
        if op.is_comparison() && !b.return_bool && scalars {
            let text = "comparisons between scalars must use BOOL modifier";
            return self.fail(self.operator_span(b), text);
        }
        if let Some(label) = shared_label(b) {
            let label = quote(label);
            let text = format!("label {label} must not occur in ON and GROUP clause at once");
            return self.fail(self.operator_span(b), text);
        }
        for (expr, t) in [(&b.lhs, lhs), (&b.rhs, rhs)] {
            if !matches!(t, ValueType::Scalar | ValueType::Vector) {
                let text = "binary expression must contain only scalar and instant vector types";
                return self.fail(expr.span(), text);
            }
        }
        self.matching(b, lhs == ValueType::Vector && rhs == ValueType::Vector)?;
        if op.is_set() && (lhs == ValueType::Scalar || rhs == ValueType::Scalar) {
            let what = "not allowed in binary scalar expression";
            return self.fail(b.span, format!("set operator {} {what}", quote(op.as_str())));
        }
        Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
    }

    fn matching(&self, b: &mut BinaryExpr, vectors: bool) -> Result<()> {
        let (op, span): (BinaryOp, Span) = (b.op, b.span);
        let Some(m) = &mut b.matching else { return Ok(()) };
        if !vectors {
            if !m.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if m.fills() {
                let text = "filling in missing series only allowed between instant vectors";
                return self.fail(span, text);
            }
            b.matching = None;
            return Ok(());
        }
        if !op.is_set() {
            return Ok(());
        }
        match m.card {
            Card::OneToOne | Card::ManyToMany => m.card = Card::ManyToMany,
            _ => {
                let text = format!("no grouping allowed for {} operation", quote(op.as_str()));
                return self.fail(span, text);
            }
        }
        if m.fills() {
            return self.fail(span, "filling in missing series not allowed for set operators");
        }
        Ok(())
    }

    /// Where the operator stands: behind the left side and the spaces.
    fn operator_span(&self, b: &BinaryExpr) -> Span {
        let mut start = b.lhs.span().end;
        let bytes = self.query.as_bytes();
        while bytes.get(start).is_some_and(u8::is_ascii_whitespace) {
            start += 1;
        }
        Span { start, end: start }
    }
}

fn shared_label(b: &BinaryExpr) -> Option<&String> {
    let m = b.matching.as_ref().filter(|m| m.on)?;
    m.labels.iter().find(|label| m.include.contains(label))
}
