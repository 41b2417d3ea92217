//! The second argument of `info`: which series it means, and at what time.

use skald_model::{Labels, MatchOp, Matcher};

use super::Lowering;
use crate::QueryError;
use crate::expr::{At, Expr, Selector};

const DEFAULT_NAME: &str = "target_info";
/// What is added to names that are only excluded.
const ANY_INFO: &str = ".+_info";

impl Lowering {
    /// Makes the arguments a vector and a complete selector of info series.
    pub(super) fn complete_info(&mut self, args: &mut Vec<Expr>) -> Result<(), QueryError> {
        let mut matchers = match args.get(1) {
            Some(Expr::Selector(s)) => s.matchers.clone(),
            _ => Vec::new(),
        };
        let names = || matchers.iter().filter(|m| m.name == Labels::NAME);
        let positive = names().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex));
        if !positive {
            let name = match names().next() {
                Some(_) => Matcher::new(MatchOp::Regex, Labels::NAME, ANY_INFO)
                    .map_err(|e| QueryError::Parse(e.to_string()))?,
                None => Matcher::equal(Labels::NAME, DEFAULT_NAME),
            };
            matchers.insert(0, name);
        }
        let (at, offset_ms) = args.first().and_then(reference).unwrap_or((None, 0));
        args.truncate(1);
        self.selectors += 1;
        let id = self.selectors - 1;
        let (extension, histogram_stats, place) = (None, false, 0);
        args.push(Expr::Selector(Selector {
            id,
            matchers,
            offset_ms,
            at,
            extension,
            histogram_stats,
            place,
        }));
        Ok(())
    }
}

/// The time to which the first selector of `expr` refers: the innermost `@` around it, and the
/// offsets up to there.
fn reference(expr: &Expr) -> Option<(Option<At>, i64)> {
    match expr {
        Expr::Number(_) | Expr::Text(_) => None,
        Expr::Selector(s) | Expr::Range { selector: s, .. } => Some((s.at, s.offset_ms)),
        Expr::Subquery(sub) => match reference(&sub.expr)? {
            (None, offset_ms) => Some((sub.at, offset_ms.saturating_add(sub.offset_ms))),
            anchored => Some(anchored),
        },
        Expr::Negate(inner) | Expr::Fixed(inner) => reference(inner),
        Expr::Aggregate(a) => reference(&a.expr).or_else(|| reference(a.param.as_ref()?)),
        Expr::Call { args, .. } => args.iter().find_map(reference),
        Expr::Binary(b) => {
            // Down the left side of a chain without recursing, then back up.
            let mut links = vec![b];
            let mut at = &b.lhs;
            while let Expr::Binary(below) = at {
                links.push(below);
                at = &below.lhs;
            }
            reference(at).or_else(|| links.iter().rev().find_map(|b| reference(&b.rhs)))
        }
    }
}
