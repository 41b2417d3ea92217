//! A query's syntax tree as JSON, as `parse_query` answers it.
//!
//! Depth is bounded by the parser; chains of binary operators, which may be long, are written in a
//! loop.

use skald_model::Matcher;
use skald_promql::syntax::ast::{
    At, BinaryExpr, DurationExpr, DurationOp, Expr, Extension, Length, NumberLiteral,
    VectorSelector,
};

use crate::json::Json;

pub(super) fn write(json: &mut Json, expr: &Expr) {
    match expr {
        Expr::Number(n) => {
            json.raw(r#"{"type":"numberLiteral","val":"#);
            number(json, n.value);
        }
        Expr::Text(s) => {
            json.raw(r#"{"type":"stringLiteral","val":"#).string(&s.value);
        }
        Expr::Vector(s) => {
            json.raw(r#"{"type":"vectorSelector","#);
            selector(json, s);
        }
        Expr::Matrix(m) => {
            json.raw(r#"{"type":"matrixSelector","#);
            length(json, "range", Some(&m.range));
            json.raw(",");
            selector(json, &m.selector);
        }
        Expr::Subquery(s) => {
            json.raw(r#"{"type":"subquery","expr":"#);
            write(json, &s.expr);
            for (key, value) in
                [("range", Some(&s.range)), ("offset", Some(&s.offset)), ("step", s.step.as_ref())]
            {
                json.raw(",");
                length(json, key, value);
            }
            json.raw(",");
            at(json, s.at);
        }
        Expr::Paren(e) => {
            json.raw(r#"{"type":"parenExpr","expr":"#);
            write(json, &e.expr);
        }
        Expr::Unary(e) => {
            json.raw(r#"{"type":"unaryExpr","op":"#).string(e.sign.as_str()).raw(r#","expr":"#);
            write(json, &e.expr);
        }
        Expr::Binary(e) => return chain(json, e),
        Expr::Aggregate(a) => {
            json.raw(r#"{"type":"aggregation","op":"#).string(a.op.as_str());
            json.raw(r#","without":"#).raw(boolean(a.without));
            json.raw(r#","grouping":"#).strings(&a.grouping);
            json.raw(r#","expr":"#);
            write(json, &a.expr);
            json.raw(r#","param":"#);
            match &a.param {
                Some(param) => write(json, param),
                None => {
                    json.raw("null");
                }
            }
        }
        Expr::Call(c) => {
            json.raw(r#"{"type":"call","func":{"name":"#).string(c.func.name);
            json.raw(r#","argTypes":"#).strings(c.func.args.iter().map(|t| t.as_str()));
            json.raw(r#","variadic":"#).int(c.func.variadic.into());
            json.raw(r#","returnType":"#).string(c.func.returns.as_str());
            json.raw(r#"},"args":["#);
            let mut first = true;
            for arg in &c.args {
                write(json.sep(&mut first), arg);
            }
            json.raw("]");
        }
    }
    json.raw("}");
}

fn chain(json: &mut Json, top: &BinaryExpr) {
    let mut n = 0;
    let mut at = top;
    loop {
        n += 1;
        json.raw(r#"{"type":"binaryExpr","op":"#).string(at.op.as_str());
        json.raw(r#","bool":"#).raw(boolean(at.return_bool));
        matching(json, at);
        json.raw(r#","rhs":"#);
        write(json, &at.rhs);
        json.raw(r#","lhs":"#);
        match &at.lhs {
            Expr::Binary(below) => at = below,
            other => {
                write(json, other);
                break;
            }
        }
    }
    for _ in 0..n {
        json.raw("}");
    }
}

fn matching(json: &mut Json, b: &BinaryExpr) {
    json.raw(r#","matching":"#);
    let Some(m) = &b.matching else {
        json.raw("null");
        return;
    };
    json.raw(r#"{"card":"#).string(m.card.as_str());
    json.raw(r#","on":"#).raw(boolean(m.on));
    json.raw(r#","labels":"#).strings(&m.labels);
    json.raw(r#","include":"#).strings(&m.include);
    json.raw(r#","fillValues":{"#);
    let mut first = true;
    for (key, value) in [("lhs", m.fill_left), ("rhs", m.fill_right)] {
        json.sep(&mut first).key(key);
        match value.filter(|v| v.is_finite()) {
            Some(v) => json.number(v),
            None => json.raw("null"),
        };
    }
    json.raw("}}");
}

fn selector(json: &mut Json, s: &VectorSelector) {
    json.raw(r#""name":"#).string(s.name.as_deref().unwrap_or("")).raw(",");
    length(json, "offset", Some(&s.offset));
    json.raw(r#","matchers":["#);
    let mut first = true;
    for Matcher { name, op, value, .. } in &s.matchers {
        json.sep(&mut first).raw(r#"{"name":"#).string(name);
        json.raw(r#","value":"#).string(value);
        json.raw(r#","type":"#).string(op.as_str()).raw("}");
    }
    json.raw("],");
    at(json, s.at);
    json.raw(r#","anchored":"#).raw(boolean(s.extension == Some(Extension::Anchored)));
    json.raw(r#","smoothed":"#).raw(boolean(s.extension == Some(Extension::Smoothed)));
}

fn at(json: &mut Json, at: Option<At>) {
    json.raw(r#""timestamp":"#);
    match at {
        Some(At::Ms(ms)) => json.int(ms),
        _ => json.raw("null"),
    };
    json.raw(r#","startOrEnd":"#).raw(match at {
        Some(At::Start) => r#""start""#,
        Some(At::End) => r#""end""#,
        _ => "null",
    });
}

/// `"<key>":<milliseconds>,"<key>Expr":<tree or null>`
fn length(json: &mut Json, key: &str, length: Option<&Length>) {
    json.key(key).int(length.map_or(0, |l| l.nanos / 1_000_000)).raw(",\"").raw(key);
    json.raw("Expr\":");
    match length.and_then(|l| l.expr.as_ref()) {
        Some(op) => operation(json, op),
        None => {
            json.raw("null");
        }
    }
}

fn operation(json: &mut Json, op: &DurationOp) {
    json.raw(r#"{"type":"durationExpr","op":"#).string(op.op.as_str());
    for (key, side) in [("lhs", &op.lhs), ("rhs", &op.rhs)] {
        json.raw(",").key(key);
        match side {
            None => {
                json.raw("null");
            }
            Some(DurationExpr::Op(op)) => operation(json, op),
            Some(DurationExpr::Number(NumberLiteral { value, duration, .. })) => {
                json.raw(r#"{"type":"numberLiteral","val":"#);
                number(json, *value);
                json.raw(r#","duration":"#).raw(boolean(*duration)).raw("}");
            }
        }
    }
    json.raw(r#","wrapped":"#).raw(boolean(op.wrapped)).raw("}");
}

fn number(json: &mut Json, v: f64) {
    json.raw("\"").plain_value(v).raw("\"");
}

fn boolean(b: bool) -> &'static str {
    if b { "true" } else { "false" }
}
