//! Recognises expressions that work on each series alone, from their shape.

use skald_model::{Labels, MatchOp};
use skald_vector::function::DatePart;
use skald_vector::{AggregateOp, Grouping, ScalarSide};

use crate::LabelNeed;
use crate::eval::Pick;
use crate::expr::{
    Aggregate, Binary, Expr, Function, Places, RangeFunction, Selector, Subquery, ValueType,
};

/// A selector and what is done to each of its series, outermost last.
#[derive(Debug)]
pub(crate) struct Chain<'e> {
    pub selector: &'e Selector,
    pub root: Root<'e>,
    pub maps: Vec<MapExpr<'e>>,
}

/// How samples become a column.
#[derive(Debug)]
pub(crate) enum Root<'e> {
    Latest,
    /// `timestamp` or `start_timestamp` of a selector.
    Time(Pick),
    Windows {
        f: RangeFunction,
        range_ms: i64,
        args: &'e [Expr],
        places: &'e Places,
    },
    /// Windows over the steps of another chain, which needs nothing to be evaluated before.
    Subquery {
        f: RangeFunction,
        sub: &'e Subquery,
        inner: Box<Chain<'e>>,
        args: &'e [Expr],
        places: &'e Places,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum MapExpr<'e> {
    Math(fn(f64) -> f64),
    Date(DatePart),
    /// With its arguments behind the vector.
    Clamp(Function, &'e [Expr]),
    Round(Option<&'e Expr>),
    Negate,
    Scalar(&'e Binary, ScalarSide),
}

/// The chain that `expr` is, if it is one.
pub(crate) fn chain(expr: &Expr) -> Option<Chain<'_>> {
    let mut maps = Vec::new();
    let mut at = expr;
    let (selector, root) = loop {
        match at {
            Expr::Selector(s) if s.extension.is_some() => return None,
            Expr::Selector(s) => break (s, Root::Latest),
            Expr::Negate(inner) => {
                maps.push(MapExpr::Negate);
                at = inner;
            }
            Expr::Binary(b) if b.op.is_set() => return None,
            Expr::Binary(b) if b.rhs.value_type() == ValueType::Scalar => {
                maps.push(MapExpr::Scalar(b, ScalarSide::Right));
                at = &b.lhs;
            }
            Expr::Binary(b) if b.lhs.value_type() == ValueType::Scalar => {
                maps.push(MapExpr::Scalar(b, ScalarSide::Left));
                at = &b.rhs;
            }
            Expr::Call { func, args, places, .. } => {
                let first = args.first()?;
                match (*func, first) {
                    (Function::Timestamp, Expr::Selector(s)) => break (s, Root::Time(Pick::Time)),
                    (Function::StartTimestamp, Expr::Selector(s)) => {
                        break (s, Root::Time(Pick::Start));
                    }
                    (Function::Range(f), _) => break windows(f, args, places)?,
                    (Function::Math(f), _) => maps.push(MapExpr::Math(f)),
                    (Function::Date(part), _) => maps.push(MapExpr::Date(part)),
                    (f @ (Function::Clamp | Function::ClampMin | Function::ClampMax), _) => {
                        maps.push(MapExpr::Clamp(f, &args[1..]));
                    }
                    (Function::Round, _) => maps.push(MapExpr::Round(args.get(1))),
                    _ => return None,
                }
                at = first;
            }
            _ => return None,
        }
    };
    maps.reverse();
    Some(Chain { selector, root, maps })
}

fn windows<'e>(
    f: RangeFunction,
    args: &'e [Expr],
    places: &'e Places,
) -> Option<(&'e Selector, Root<'e>)> {
    args.iter().find_map(|arg| match arg {
        Expr::Range { selector, range_ms } if selector.extension.is_none() => {
            Some((selector, Root::Windows { f, range_ms: *range_ms, args, places }))
        }
        Expr::Subquery(sub) if has_only_constants(&sub.expr) => {
            let inner = Box::new(chain(&sub.expr)?);
            Some((inner.selector, Root::Subquery { f, sub, inner, args, places }))
        }
        _ => None,
    })
}

/// Whether nothing but numbers and texts has to be evaluated before the series of a chain.
pub(super) fn has_only_constants(mut expr: &Expr) -> bool {
    let constant = |e: &Expr| matches!(e, Expr::Number(_) | Expr::Text(_));
    loop {
        expr = match expr {
            Expr::Selector(_) | Expr::Range { .. } => return true,
            Expr::Aggregate(a) if a.param.as_ref().is_none_or(constant) => &a.expr,
            Expr::Negate(inner) => inner,
            Expr::Subquery(sub) => &sub.expr,
            Expr::Binary(b) if constant(&b.rhs) => &b.lhs,
            Expr::Binary(b) if constant(&b.lhs) => &b.rhs,
            Expr::Call { args, .. } => {
                let mut rest = args.iter().filter(|arg| !constant(arg));
                match (rest.next(), rest.next()) {
                    (Some(one), None) => one,
                    _ => return false,
                }
            }
            _ => return false,
        };
    }
}

/// Whether an aggregation gives the labels of its grouping, instead of those of some series.
fn makes_groups(op: AggregateOp) -> bool {
    use AggregateOp::{Bottomk, LimitRatio, Limitk, Topk};
    !matches!(op, Topk | Bottomk | Limitk | LimitRatio)
}

// === impl Chain ===

impl Chain<'_> {
    /// Whether all series have the same metric name.
    pub(crate) fn has_one_name(&self) -> bool {
        let fixes = |m: &&skald_model::Matcher| m.op == MatchOp::Equal && m.name == Labels::NAME;
        self.selector.matchers.iter().find(fixes).is_some_and(|m| !m.value.is_empty())
    }

    /// Whether no two series can become one: they keep their names, or all have the same.
    fn tells_apart(&self) -> bool {
        self.has_one_name() || (matches!(self.root, Root::Latest) && self.maps.is_empty())
    }

    /// The labels that `a` needs to see of this chain's series.
    pub(crate) fn needs(&self, a: &Aggregate) -> LabelNeed {
        match &a.grouping {
            Grouping::By(names) if makes_groups(a.op) && self.tells_apart() => {
                let mut needed = names.clone();
                // For remarks that name the metric.
                needed.push(Labels::NAME.to_owned());
                needed.sort_unstable();
                needed.dedup();
                LabelNeed::Only(needed)
            }
            _ => LabelNeed::All,
        }
    }
}
