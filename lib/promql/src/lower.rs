//! The syntax tree → the expression that is evaluated: without parentheses and signs that do
//! nothing, durations computed, functions resolved. The tree was checked before.

mod fixed;
mod function;
mod info;

use skald_vector::{AggregateOp, Grouping, Matching};

use crate::QueryError;
use crate::expr::{Aggregate, At, Binary, Expr, Function, Place, Places, Selector, Subquery};
use crate::syntax::ast::{self, Sign as UnarySign, VectorSelector};
use crate::syntax::duration::{Env, Sign};
use crate::syntax::{ValueType, value_type};

/// Lowers a checked query.
pub(crate) fn lower(expr: &ast::Expr, env: Env) -> Result<Expr, QueryError> {
    let mut lowering = Lowering { env, selectors: 0, stats: 0, buckets: 0, has_at: false };
    let expr = lowering.expr(expr)?;
    Ok(if lowering.has_at { fixed::mark(expr) } else { expr })
}

struct Lowering {
    env: Env,
    /// How many selectors have got an id.
    selectors: usize,
    /// How many calls around use count and sum of histograms only.
    stats: usize,
    /// How many operations around need their buckets.
    buckets: usize,
    /// Whether there is an `@` anywhere.
    has_at: bool,
}

impl Lowering {
    fn expr(&mut self, expr: &ast::Expr) -> Result<Expr, QueryError> {
        match expr {
            ast::Expr::Number(n) => Ok(Expr::Number(n.value)),
            ast::Expr::Text(s) => Ok(Expr::Text(s.value.clone())),
            ast::Expr::Paren(p) => self.expr(&p.expr),
            ast::Expr::Unary(u) if u.sign == UnarySign::Plus => self.expr(&u.expr),
            ast::Expr::Unary(u) => Ok(Expr::Negate(Box::new(self.expr(&u.expr)?))),
            ast::Expr::Binary(b) => self.chain(b),
            ast::Expr::Aggregate(a) => self.aggregate(a),
            ast::Expr::Call(c) => self.call(c),
            ast::Expr::Vector(s) => Ok(Expr::Selector(self.selector(s)?)),
            ast::Expr::Matrix(m) => {
                let range_ms = self.millis(&m.range, Sign::Positive)?;
                Ok(Expr::Range { selector: self.selector(&m.selector)?, range_ms })
            }
            ast::Expr::Subquery(s) => self.subquery(s),
        }
    }

    fn millis(&self, length: &ast::Length, sign: Sign) -> Result<i64, QueryError> {
        length.millis(self.env, sign).map_err(QueryError::Parse)
    }

    fn selector(&mut self, s: &VectorSelector) -> Result<Selector, QueryError> {
        self.selectors += 1;
        self.has_at |= s.at.is_some();
        Ok(Selector {
            id: self.selectors - 1,
            matchers: s.by_name_first(),
            offset_ms: self.millis(&s.offset, Sign::Any)?,
            at: s.at.map(at),
            extension: s.extension,
            histogram_stats: self.stats > 0 && self.buckets == 0,
            place: start(s.span),
        })
    }

    fn subquery(&mut self, s: &ast::SubqueryExpr) -> Result<Expr, QueryError> {
        let step = s.step.as_ref().map(|step| self.millis(step, Sign::Positive));
        self.has_at |= s.at.is_some();
        // Resets within a subquery are looked for between its steps.
        self.buckets += 1;
        let expr = self.expr(&s.expr);
        self.buckets -= 1;
        Ok(Expr::Subquery(Box::new(Subquery {
            expr: expr?,
            range_ms: self.millis(&s.range, Sign::Positive)?,
            // A step that is shorter than a millisecond is none.
            step_ms: step.transpose()?.filter(|ms| *ms > 0),
            offset_ms: self.millis(&s.offset, Sign::Any)?,
            at: s.at.map(at),
        })))
    }

    /// `a + b + c …`, leaning to the left.
    fn chain(&mut self, top: &ast::BinaryExpr) -> Result<Expr, QueryError> {
        let (links, first) = top.links();
        let trims = links.iter().filter(|link| link.op.is_trim()).count();
        self.buckets += trims;
        let mut lhs = self.expr(first)?;
        let mut scalar = value_type(first) == ValueType::Scalar;
        for link in links.into_iter().rev() {
            scalar = scalar && value_type(&link.rhs) == ValueType::Scalar;
            lhs = self.binary(link, lhs, scalar)?;
            self.buckets -= usize::from(link.op.is_trim());
        }
        Ok(lhs)
    }

    /// One link; `scalar` if both of its sides are.
    fn binary(&mut self, b: &ast::BinaryExpr, lhs: Expr, scalar: bool) -> Result<Expr, QueryError> {
        let rhs = self.expr(&b.rhs)?;
        if b.op.is_trim() && scalar {
            let op = b.op.as_str();
            let text = format!("operator {op:?} not allowed for Scalar operations");
            return Err(QueryError::Execution(text));
        }
        let matching = b.matching.as_ref().map_or_else(Matching::default, |m| Matching {
            on: m.on,
            labels: m.labels.clone(),
            card: m.card.cardinality(),
            include: m.include.clone(),
            fill_left: m.fill_left,
            fill_right: m.fill_right,
        });
        let (op, return_bool, place) = (b.op, b.return_bool, start(b.span));
        Ok(Expr::Binary(Box::new(Binary { op, lhs, rhs, matching, return_bool, place })))
    }

    fn aggregate(&mut self, a: &ast::AggregateExpr) -> Result<Expr, QueryError> {
        // In the order of the text: the parameter comes first.
        let param = a.param.as_ref().map(|p| self.expr(p)).transpose()?;
        let expr = self.expr(&a.expr)?;
        let labels = a.grouping.clone();
        let grouping = match (a.without, labels.is_empty()) {
            (true, _) => Grouping::Without(labels),
            (false, true) => Grouping::all(),
            (false, false) => Grouping::By(labels),
        };
        // Prometheus places remarks of these two at themselves, not at what they look at.
        let whole = matches!(a.op, AggregateOp::Topk | AggregateOp::Bottomk);
        let about = if whole { start(a.span) } else { place(&a.expr) };
        let places = (about, a.param.as_ref().map_or(0, place));
        Ok(Expr::Aggregate(Box::new(Aggregate { op: a.op, grouping, expr, param, places })))
    }

    fn call(&mut self, c: &ast::Call) -> Result<Expr, QueryError> {
        let name = c.func.name;
        let func = function::function(name)
            .ok_or_else(|| QueryError::unsupported(&format!("function {name}")))?;
        let (stats, buckets) = match name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => (1, 0),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => (0, 1),
            _ => (0, 0),
        };
        self.stats += stats;
        self.buckets += buckets;
        let mut args = c.args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        self.stats -= stats;
        self.buckets -= buckets;
        if matches!(func, Function::Info) {
            self.complete_info(&mut args)?;
        }
        let places = c.args.iter().map(argument_place).collect();
        let places = Places { call: start(c.span), args: places };
        Ok(Expr::Call { func, name, args, places })
    }
}

fn start(span: ast::Span) -> Place {
    // Queries are far shorter.
    Place::try_from(span.start).unwrap_or(Place::MAX)
}

/// Where `expr` begins, without its parentheses.
fn place(expr: &ast::Expr) -> Place {
    let mut at = expr;
    while let ast::Expr::Paren(inner) = at {
        at = &inner.expr;
    }
    start(at.span())
}

/// As [`place`], only that remarks on subqueries are placed at the begin of the query, as
/// Prometheus does.
fn argument_place(arg: &ast::Expr) -> Place {
    let mut at = arg;
    while let ast::Expr::Paren(inner) = at {
        at = &inner.expr;
    }
    if matches!(at, ast::Expr::Subquery(_)) { 0 } else { start(at.span()) }
}

fn at(at: ast::At) -> At {
    match at {
        ast::At::Start => At::Start,
        ast::At::End => At::End,
        ast::At::Ms(ms) => At::Ms(ms),
    }
}
