//! Finds what `@` fixes to one time, so that it is evaluated once instead of at every step.

use crate::expr::{Aggregate, Expr, Function, RangeFunction, ScalarFunction, Subquery};

/// `expr` with the largest parts whose value is the same at all times in [`Expr::Fixed`].
pub(super) fn mark(expr: Expr) -> Expr {
    wrap(walk(expr))
}

/// An expression, and whether its value is the same at all times.
type Walked = (Expr, bool);

fn wrap((expr, is_fixed): Walked) -> Expr {
    match expr {
        // Nothing is saved; and ranges are read by whoever looks at them.
        Expr::Number(_) | Expr::Text(_) | Expr::Range { .. } | Expr::Subquery(_) => expr,
        expr if is_fixed => Expr::Fixed(Box::new(expr)),
        expr => expr,
    }
}

fn walk(expr: Expr) -> Walked {
    match expr {
        Expr::Number(_) | Expr::Text(_) | Expr::Fixed(_) => (expr, true),
        Expr::Selector(ref s) | Expr::Range { selector: ref s, .. } => {
            let is_fixed = s.at.is_some();
            (expr, is_fixed)
        }
        Expr::Subquery(sub) => {
            let sub = Subquery { expr: mark(sub.expr), ..*sub };
            let is_fixed = sub.at.is_some();
            (Expr::Subquery(Box::new(sub)), is_fixed)
        }
        Expr::Negate(inner) => {
            let (inner, is_fixed) = walk(*inner);
            (Expr::Negate(Box::new(inner)), is_fixed)
        }
        Expr::Binary(_) => chain(expr),
        Expr::Aggregate(a) => aggregate(*a),
        Expr::Call { func, name, args, places } => {
            let walked: Vec<Walked> = args.into_iter().map(walk).collect();
            let of_selector = matches!(walked.as_slice(), [(Expr::Selector(_), _)]);
            let is_fixed = walked.iter().all(|(_, f)| *f) && !looks_at_time(func, of_selector);
            // Where labels come from is not evaluated on its own.
            let n_values = if matches!(func, Function::Info) { 1 } else { usize::MAX };
            let keep = |(i, walked): (usize, Walked)| {
                if is_fixed || i >= n_values { walked.0 } else { wrap(walked) }
            };
            let args = walked.into_iter().enumerate().map(keep).collect();
            (Expr::Call { func, name, args, places }, is_fixed)
        }
    }
}

fn aggregate(a: Aggregate) -> Walked {
    let (expr, param) = (walk(a.expr), a.param.map(walk));
    let is_fixed = expr.1 && param.as_ref().is_none_or(|(_, f)| *f);
    let keep = |walked: Walked| if is_fixed { walked.0 } else { wrap(walked) };
    let a = Aggregate { expr: keep(expr), param: param.map(keep), ..a };
    (Expr::Aggregate(Box::new(a)), is_fixed)
}

/// A chain of operators leans to the left and may be long: it is walked from its inner end.
fn chain(top: Expr) -> Walked {
    let (mut links, mut at) = (Vec::new(), top);
    while let Expr::Binary(mut b) = at {
        at = std::mem::replace(&mut b.lhs, Expr::Number(0.0));
        links.push(b);
    }
    let mut lhs = walk(at);
    for mut link in links.into_iter().rev() {
        let rhs = walk(std::mem::replace(&mut link.rhs, Expr::Number(0.0)));
        let is_fixed = lhs.1 && rhs.1;
        (link.lhs, link.rhs) = if is_fixed { (lhs.0, rhs.0) } else { (wrap(lhs), wrap(rhs)) };
        lhs = (Expr::Binary(link), is_fixed);
    }
    lhs
}

/// Whether it looks at the time of the evaluation, or at when samples were taken.
fn looks_at_time(func: Function, of_selector: bool) -> bool {
    match func {
        Function::Scalar(f) => {
            !matches!(f, ScalarFunction::Pi | ScalarFunction::MinOf | ScalarFunction::MaxOf)
        }
        Function::Range(f) => f == RangeFunction::PredictLinear,
        Function::Date(_) => true,
        // When the sample of a selector was taken, but the time of the step for all else.
        Function::Timestamp => !of_selector,
        _ => false,
    }
}
