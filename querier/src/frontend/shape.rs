//! Which range queries may be evaluated in pieces, and how far a step looks.
//!
//! A step's value must depend on the step alone. What looks at the ends of the query does not: `@` in
//! any form, `start()`, `end()`, `range()`, durations that are computed. Neither does what would be an
//! error if two series became one over the whole range, but not within a piece: selectors of more than
//! one metric, relabelling, `info`, and `or` below a subquery or a sign. Such queries stay whole.

use skald_model::MatchOp;
use skald_promql::syntax::ast::{Expr, Extension, Length, VectorSelector};
use skald_vector::BinaryOp;

/// Functions that look at the whole query, or may make one series of two; sorts are remarked upon
/// where there are several steps, which a piece may not have.
const WHOLE: [&str; 11] = [
    "start",
    "end",
    "range",
    "step",
    "label_replace",
    "label_join",
    "info",
    "sort",
    "sort_desc",
    "sort_by_label",
    "sort_by_label_desc",
];

/// How far before and behind a step its value may look, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) past_ms: i64,
    pub(super) future_ms: i64,
}

/// How far the steps of `expr` look; `None` if it must be evaluated as a whole.
pub(super) fn reach(expr: &Expr, lookback_ms: i64) -> Option<Reach> {
    let mut walk = Walk { lookback_ms, most: Reach::default(), unites: false, gathers: false };
    let mut open = vec![(expr, Reach::default())];
    while let Some((expr, reach)) = open.pop() {
        walk.visit(expr, reach, &mut open)?;
    }
    (!(walk.unites && walk.gathers)).then_some(walk.most)
}

struct Walk {
    lookback_ms: i64,
    most: Reach,
    /// There is an `or`.
    unites: bool,
    /// There is something that sees all steps of its argument's series at once.
    gathers: bool,
}

// === impl Walk ===

impl Walk {
    fn visit<'e>(
        &mut self,
        expr: &'e Expr,
        reach: Reach,
        open: &mut Vec<(&'e Expr, Reach)>,
    ) -> Option<()> {
        match expr {
            Expr::Number(_) | Expr::Text(_) => {}
            Expr::Vector(s) => self.selector(s, self.lookback_ms, reach)?,
            Expr::Matrix(m) => self.selector(&m.selector, millis(&m.range)?, reach)?,
            Expr::Subquery(s) => {
                self.gathers = true;
                if s.at.is_some() || s.step.as_ref().is_some_and(|step| step.expr.is_some()) {
                    return None;
                }
                open.push((&s.expr, reach.shifted(millis(&s.offset)?).extended(millis(&s.range)?)));
            }
            Expr::Paren(p) => open.push((&p.expr, reach)),
            Expr::Unary(u) => {
                self.gathers = true;
                open.push((&u.expr, reach));
            }
            Expr::Binary(b) => {
                self.unites |= b.op == BinaryOp::Or;
                open.extend([(&b.lhs, reach), (&b.rhs, reach)]);
            }
            Expr::Aggregate(a) => {
                open.extend(a.param.as_ref().map(|param| (param, reach)));
                open.push((&a.expr, reach));
            }
            Expr::Call(c) if WHOLE.contains(&c.func.name) => return None,
            Expr::Call(c) => open.extend(c.args.iter().map(|arg| (arg, reach))),
        }
        Some(())
    }

    fn selector(&mut self, s: &VectorSelector, range_ms: i64, reach: Reach) -> Option<()> {
        let named = |m: &skald_model::Matcher| {
            m.name == "__name__" && m.op == MatchOp::Equal && !m.value.is_empty()
        };
        if s.at.is_some() || !s.matchers.iter().any(named) {
            return None;
        }
        let mut reach = reach.shifted(millis(&s.offset)?).extended(range_ms);
        match s.extension {
            None => {}
            Some(Extension::Anchored) => reach = reach.extended(self.lookback_ms),
            Some(Extension::Smoothed) => {
                reach = reach.extended(self.lookback_ms);
                reach.future_ms = reach.future_ms.saturating_add(self.lookback_ms);
            }
        }
        self.most.past_ms = self.most.past_ms.max(reach.past_ms);
        self.most.future_ms = self.most.future_ms.max(reach.future_ms);
        Some(())
    }
}

// === impl Reach ===

impl Reach {
    /// Both together.
    pub(super) fn total_ms(self) -> i64 {
        self.past_ms.saturating_add(self.future_ms)
    }

    fn shifted(self, offset_ms: i64) -> Self {
        Self {
            past_ms: self.past_ms.saturating_add(offset_ms),
            future_ms: self.future_ms.saturating_sub(offset_ms),
        }
    }

    fn extended(self, range_ms: i64) -> Self {
        Self { past_ms: self.past_ms.saturating_add(range_ms), ..self }
    }
}

/// `None` if it depends on the query's times.
fn millis(length: &Length) -> Option<i64> {
    length.expr.is_none().then_some(length.nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Option<(i64, i64)> {
        let expr = skald_promql::syntax::parse(query).unwrap();
        reach(&expr, 300_000).map(|r| (r.past_ms / 1000, r.future_ms / 1000))
    }

    #[test]
    fn steps_look_as_far_as_their_widest_selector() {
        assert_eq!(of("1 + time()"), Some((0, 0)));
        assert_eq!(of("sum by (a) (rate(x[10m])) / y"), Some((600, 0)));
        assert_eq!(of("x offset 1h"), Some((3900, 0)));
        assert_eq!(of("x + y offset -1h"), Some((300, 3600)));
        assert_eq!(of("max_over_time(rate(x[1m])[1h:5m] offset 2m)"), Some((3780, 0)));
        assert_eq!(of("topk(scalar(k offset 10m), x)"), Some((900, 0)));
    }

    #[test]
    fn what_looks_at_the_whole_query_stays_whole() {
        for query in [
            "x @ start()",
            "x + y @ end()",
            "x @ 100",
            "rate(x[5m:] @ end())",
            "sum_over_time(x[range()])",
            "x offset step()",
            "{a=\"b\"}",
            "{__name__=~\"x|y\"}",
            "label_replace(x, \"a\", \"b\", \"c\", \"d\")",
            "-(x or y)",
            "sort(x)",
            "x + step()",
            "rate((x or y)[5m:])",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
        assert!(of("x or y").is_some());
    }
}
