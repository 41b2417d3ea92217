//! promql-parser's AST → ours: placeholders resolved, types checked, matchers compiled by us.
//!
//! Recursion is bounded: chains of binary operators are followed to the left in a loop, everything
//! else counts against the nesting limit.

mod function;
mod selector;

use promql_parser::parser as up;
use promql_parser::parser::token;
use skald_vector::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching};

use crate::QueryError;
use crate::expr::{Aggregate, Binary, Expr, Subquery, ValueType};
use crate::lex::{MAX_DEPTH, Tokens};

fn parse_error(text: &str) -> QueryError {
    QueryError::Parse(format!("parse error: {text}"))
}

/// Converts a parsed query.
pub(crate) fn convert(expr: &up::Expr, tokens: &Tokens) -> Result<Expr, QueryError> {
    Converter { tokens, selectors: 0, inequalities: 0 }.expr(expr, 0)
}

struct Converter<'a> {
    tokens: &'a Tokens,
    /// How many selectors have got an id.
    selectors: usize,
    /// How many `<` and `>` were met so far, in the order of the text.
    inequalities: usize,
}

impl Converter<'_> {
    fn expr(&mut self, expr: &up::Expr, depth: usize) -> Result<Expr, QueryError> {
        if depth > MAX_DEPTH {
            return Err(parse_error(&format!("query is nested deeper than {MAX_DEPTH} levels")));
        }
        let depth = depth + 1;
        match expr {
            up::Expr::Paren(p) => self.expr(&p.expr, depth),
            up::Expr::NumberLiteral(n) => Ok(Expr::Number(n.val)),
            up::Expr::StringLiteral(s) => Ok(Expr::Text(self.tokens.resolve(&s.val).to_owned())),
            up::Expr::Unary(u) => self.unary(u, depth),
            up::Expr::Binary(_) => self.chain(expr, depth),
            up::Expr::Aggregate(a) => self.aggregate(a, depth),
            up::Expr::Call(c) => self.call(c, depth),
            up::Expr::VectorSelector(s) => Ok(Expr::Selector(self.selector(s)?)),
            up::Expr::MatrixSelector(m) => {
                let range_ms = selector::millis(m.range)?;
                Ok(Expr::Range { selector: self.selector(&m.vs)?, range_ms })
            }
            up::Expr::Subquery(s) => self.subquery(s, depth),
            up::Expr::Extension(_) => Err(QueryError::unsupported("extension")),
        }
    }

    fn unary(&mut self, u: &up::UnaryExpr, depth: usize) -> Result<Expr, QueryError> {
        let inner = self.expr(&u.expr, depth)?;
        match inner.value_type() {
            ValueType::Scalar | ValueType::Vector => Ok(Expr::Negate(Box::new(inner))),
            other => Err(parse_error(&format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {other:?}"
            ))),
        }
    }

    fn subquery(&mut self, s: &up::SubqueryExpr, depth: usize) -> Result<Expr, QueryError> {
        let expr = self.expr(&s.expr, depth)?;
        if expr.value_type() != ValueType::Vector {
            return Err(parse_error(&format!(
                "subquery is only allowed on instant vector, got {} instead",
                expr.value_type()
            )));
        }
        Ok(Expr::Subquery(Box::new(Subquery {
            expr,
            range_ms: selector::millis(s.range)?,
            step_ms: s.step.map(selector::millis).transpose()?,
            offset_ms: selector::offset(s.offset.as_ref())?,
            at: selector::at(s.at.as_ref())?,
        })))
    }

    /// `a + b + c …`, leaning to the left.
    fn chain(&mut self, expr: &up::Expr, depth: usize) -> Result<Expr, QueryError> {
        let mut links = Vec::new();
        let mut at = expr;
        while let up::Expr::Binary(b) = at {
            links.push(b);
            at = &b.lhs;
        }
        let mut lhs = self.expr(at, depth)?;
        let mut lhs_type = lhs.value_type();
        for link in links.into_iter().rev() {
            let op = self.operator(link.op.id())?;
            let rhs = self.expr(&link.rhs, depth)?;
            let binary = self.binary(link, op, lhs, lhs_type, rhs)?;
            lhs_type = match (lhs_type, binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            };
            lhs = Expr::Binary(Box::new(binary));
        }
        Ok(lhs)
    }

    /// Must be called in the order of the text.
    fn operator(&mut self, id: token::TokenId) -> Result<BinaryOp, QueryError> {
        let op = binary_op(id)?;
        if !matches!(op, BinaryOp::Lt | BinaryOp::Gt) {
            return Ok(op);
        }
        self.inequalities += 1;
        Ok(match (self.tokens.is_trim(self.inequalities - 1), op) {
            (false, op) => op,
            (true, BinaryOp::Lt) => BinaryOp::TrimUpper,
            (true, _) => BinaryOp::TrimLower,
        })
    }

    fn binary(
        &self,
        b: &up::BinaryExpr,
        op: BinaryOp,
        lhs: Expr,
        lhs_type: ValueType,
        rhs: Expr,
    ) -> Result<Binary, QueryError> {
        let rhs_type = rhs.value_type();
        for t in [lhs_type, rhs_type] {
            if !matches!(t, ValueType::Scalar | ValueType::Vector) {
                return Err(parse_error(
                    "binary expression must contain only scalar and instant vector types",
                ));
            }
        }
        let scalars = [lhs_type, rhs_type].iter().filter(|t| **t == ValueType::Scalar).count();
        let modifier = b.modifier.as_ref();
        let return_bool = modifier.is_some_and(|m| m.return_bool);
        if return_bool && !op.is_comparison() {
            return Err(parse_error("bool modifier can only be used on comparison operators"));
        }
        if scalars == 2 && op.is_trim() {
            return Err(parse_error(&format!(
                "operator {:?} not allowed between scalars",
                op.as_str()
            )));
        }
        if scalars == 2 && op.is_comparison() && !return_bool {
            return Err(parse_error("comparisons between scalars must use BOOL modifier"));
        }
        if scalars > 0 && op.is_set() {
            return Err(parse_error(&format!(
                "set operator {:?} not allowed in binary scalar expression",
                op.as_str()
            )));
        }
        let matching = match modifier {
            Some(m) => self.matching(m, op, scalars)?,
            None => Matching::default(),
        };
        Ok(Binary { op, lhs, rhs, matching, return_bool })
    }

    fn matching(
        &self,
        m: &up::BinModifier,
        op: BinaryOp,
        scalars: usize,
    ) -> Result<Matching, QueryError> {
        let labels = |l: &promql_parser::label::Labels| self.labels(l);
        let (on, names) = match &m.matching {
            Some(up::LabelModifier::Include(l)) => (true, labels(l)),
            Some(up::LabelModifier::Exclude(l)) => (false, labels(l)),
            None => (false, Vec::new()),
        };
        let (card, include) = match &m.card {
            up::VectorMatchCardinality::ManyToOne(l) => (Cardinality::ManyToOne, labels(l)),
            up::VectorMatchCardinality::OneToMany(l) => (Cardinality::OneToMany, labels(l)),
            _ => (Cardinality::OneToOne, Vec::new()),
        };
        let fills = m.fill_values.lhs.is_some() || m.fill_values.rhs.is_some();
        if scalars > 0 && (m.matching.is_some() || card != Cardinality::OneToOne || fills) {
            return Err(parse_error("vector matching only allowed between instant vectors"));
        }
        if op.is_set() && (card != Cardinality::OneToOne || fills) {
            return Err(parse_error(&format!(
                "no grouping allowed for {:?} operation",
                op.as_str()
            )));
        }
        if on && let Some(label) = include.iter().find(|l| names.contains(l)) {
            return Err(parse_error(&format!(
                "label {label:?} must not occur in ON and GROUP clause at once"
            )));
        }
        Ok(Matching {
            on,
            labels: names,
            card,
            include,
            fill_left: m.fill_values.lhs,
            fill_right: m.fill_values.rhs,
        })
    }

    fn labels(&self, labels: &promql_parser::label::Labels) -> Vec<String> {
        labels.labels.iter().map(|l| self.tokens.resolve(l).to_owned()).collect()
    }

    fn aggregate(&mut self, a: &up::AggregateExpr, depth: usize) -> Result<Expr, QueryError> {
        let op = aggregate_op(a.op.id())?;
        // In the order of the text: the parameter comes first.
        let param = a.param.as_ref().map(|p| self.expr(p, depth)).transpose()?;
        let expr = self.expr(&a.expr, depth)?;
        expect(ValueType::Vector, &expr, "aggregation expression")?;
        let wanted = match op {
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Quantile
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => Some(ValueType::Scalar),
            AggregateOp::CountValues => Some(ValueType::String),
            _ => None,
        };
        match (wanted, &param) {
            (Some(wanted), Some(param)) => expect(wanted, param, "aggregation parameter")?,
            (None, None) => {}
            _ => {
                return Err(parse_error(&format!(
                    "wrong number of arguments for aggregate expression provided: {}",
                    op.as_str()
                )));
            }
        }
        let grouping = match &a.modifier {
            Some(up::LabelModifier::Include(l)) => Grouping::By(self.labels(l)),
            Some(up::LabelModifier::Exclude(l)) => Grouping::Without(self.labels(l)),
            None => Grouping::all(),
        };
        Ok(Expr::Aggregate(Box::new(Aggregate { op, grouping, expr, param })))
    }
}

/// Fails unless `expr` is of type `wanted`.
fn expect(wanted: ValueType, expr: &Expr, place: &str) -> Result<(), QueryError> {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    Err(parse_error(&format!("expected type {wanted} in {place}, got {got}")))
}

fn binary_op(id: token::TokenId) -> Result<BinaryOp, QueryError> {
    Ok(match id {
        token::T_ADD => BinaryOp::Add,
        token::T_SUB => BinaryOp::Sub,
        token::T_MUL => BinaryOp::Mul,
        token::T_DIV => BinaryOp::Div,
        token::T_MOD => BinaryOp::Mod,
        token::T_POW => BinaryOp::Pow,
        token::T_ATAN2 => BinaryOp::Atan2,
        token::T_EQLC => BinaryOp::Eq,
        token::T_NEQ => BinaryOp::Ne,
        token::T_GTR => BinaryOp::Gt,
        token::T_LSS => BinaryOp::Lt,
        token::T_GTE => BinaryOp::Ge,
        token::T_LTE => BinaryOp::Le,
        token::T_LAND => BinaryOp::And,
        token::T_LOR => BinaryOp::Or,
        token::T_LUNLESS => BinaryOp::Unless,
        _ => return Err(QueryError::unsupported("operator")),
    })
}

fn aggregate_op(id: token::TokenId) -> Result<AggregateOp, QueryError> {
    Ok(match id {
        token::T_SUM => AggregateOp::Sum,
        token::T_AVG => AggregateOp::Avg,
        token::T_MIN => AggregateOp::Min,
        token::T_MAX => AggregateOp::Max,
        token::T_COUNT => AggregateOp::Count,
        token::T_GROUP => AggregateOp::Group,
        token::T_STDDEV => AggregateOp::Stddev,
        token::T_STDVAR => AggregateOp::Stdvar,
        token::T_TOPK => AggregateOp::Topk,
        token::T_BOTTOMK => AggregateOp::Bottomk,
        token::T_QUANTILE => AggregateOp::Quantile,
        token::T_COUNT_VALUES => AggregateOp::CountValues,
        token::T_LIMITK => AggregateOp::Limitk,
        token::T_LIMIT_RATIO => AggregateOp::LimitRatio,
        _ => return Err(QueryError::unsupported("aggregation")),
    })
}
