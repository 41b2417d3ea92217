//! The same query with its time fixed by `@`: it must answer the same whenever it is asked.

use skald_promql::syntax::ast::{At, Expr};
use skald_promql::syntax::parse;

/// Functions that look at the time of the evaluation itself, or at the times of samples.
const LOOK_AT_TIME: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// The query fixed at `time_ms`, and other times at which to ask it. None if the answer may differ.
pub(crate) fn copies(query: &str, time_ms: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query) else { return Vec::new() };
    if !fix(&mut expr, time_ms) {
        return Vec::new();
    }
    let text = expr.to_string();
    let times = match time_ms {
        0 => vec![-1000, 0, 1000],
        t => vec![-10 * t, 0, t / 5, t, 10 * t],
    };
    times.into_iter().map(|t| (text.clone(), t)).collect()
}

/// Gives every selector and subquery without a time `time_ms`, outermost first; false if that does
/// not fix the answer.
fn fix(expr: &mut Expr, time_ms: i64) -> bool {
    let at = Some(At::Ms(time_ms));
    match expr {
        Expr::Number(_) | Expr::Text(_) => true,
        Expr::Vector(s) => {
            s.at = s.at.or(at);
            true
        }
        Expr::Matrix(m) => {
            m.selector.at = m.selector.at.or(at);
            true
        }
        // What is inside stands still once the subquery does.
        Expr::Subquery(s) => {
            s.at = s.at.or(at);
            true
        }
        Expr::Paren(p) => fix(&mut p.expr, time_ms),
        Expr::Unary(u) => fix(&mut u.expr, time_ms),
        Expr::Binary(b) => fix(&mut b.lhs, time_ms) & fix(&mut b.rhs, time_ms),
        Expr::Aggregate(a) => {
            a.param.as_mut().is_none_or(|p| fix(p, time_ms)) & fix(&mut a.expr, time_ms)
        }
        Expr::Call(c) => {
            let args = c.args.iter_mut().fold(true, |all, arg| fix(arg, time_ms) & all);
            args && !LOOK_AT_TIME.contains(&c.func.name)
        }
    }
}
