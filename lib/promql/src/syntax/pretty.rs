//! The canonical form over several lines: what is longer than a line is broken at its outermost
//! parts.
//!
//! As in Prometheus, but that a line is indented by at most 256 levels: those of a chain of 10,000
//! operators would fill 200 MB with blanks.

use super::ast::{BinaryExpr, Expr};

const MAX_LINE: usize = 100;
const MAX_INDENT: usize = 256;

/// Prints `expr` with lines of at most 100 bytes, as far as it has places to break.
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    write(expr, 0, &mut out);
    out
}

fn indent(level: usize, out: &mut String) {
    (0..level.min(MAX_INDENT)).for_each(|_| out.push_str("  "));
}

fn write(expr: &Expr, level: usize, out: &mut String) {
    if let Expr::Unary(u) = expr {
        indent(level, out);
        out.push_str(u.sign.as_str());
        let mut operand = String::new();
        write(&u.expr, level, &mut operand);
        out.push_str(operand.trim());
        return;
    }
    let line = expr.to_string();
    if let Expr::Subquery(s) = expr {
        if line.len() <= MAX_LINE {
            // Without an indent, as upstream prints it.
            out.push_str(&line);
            return;
        }
        write(&s.expr, level, out);
        out.push_str(&s.suffix());
        return;
    }
    if let Expr::Binary(b) = expr
        && line.len() > MAX_LINE
    {
        return binary(b, level, out);
    }
    indent(level, out);
    match expr {
        _ if line.len() <= MAX_LINE => out.push_str(&line),
        Expr::Aggregate(a) => {
            out.push_str(&a.head());
            out.push_str("(\n");
            if let Some(param) = &a.param {
                write(param, level + 1, out);
                out.push_str(",\n");
            }
            write(&a.expr, level + 1, out);
            close(level, out);
        }
        Expr::Call(c) => {
            out.push_str(c.func.name);
            out.push_str("(\n");
            for (i, arg) in c.args.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "" });
                write(arg, level + 1, out);
            }
            close(level, out);
        }
        Expr::Paren(p) => {
            out.push_str("(\n");
            write(&p.expr, level + 1, out);
            close(level, out);
        }
        _ => out.push_str(&line),
    }
}

fn close(level: usize, out: &mut String) {
    out.push('\n');
    indent(level, out);
    out.push(')');
}

/// A chain that is too long: each link indents what is to its left one level more, until the rest
/// fits.
fn binary(top: &BinaryExpr, level: usize, out: &mut String) {
    let (mut links, at) = top.links();
    // The innermost links that fit on a line stay together.
    let mut len = at.to_string().len();
    while let Some(link) = links.last() {
        len += link.operator().len() + link.rhs.to_string().len() + 2;
        if len > MAX_LINE {
            break;
        }
        links.pop();
    }
    let at = links.last().map_or(&top.lhs, |link| &link.lhs);
    let mut level = level + links.len();
    write(at, level, out);
    while let Some(link) = links.pop() {
        level -= 1;
        out.push('\n');
        indent(level, out);
        out.push_str(&link.operator());
        out.push('\n');
        write(&link.rhs, level + 1, out);
    }
}
