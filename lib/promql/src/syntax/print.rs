//! The canonical form on one line.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter, Write};

use skald_model::{Labels, MatchOp, Matcher};

use super::ast::{
    AggregateExpr, At, BinaryExpr, Card, DurationExpr, DurationOp, DurationOperator, Expr, Length,
    MatrixSelector, NumberLiteral, SubqueryExpr, VectorSelector,
};
use skald_model::quote::quote;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Text(s) => f.write_str(&quote(&s.value)),
            Self::Vector(s) => s.fmt(f),
            Self::Matrix(m) => m.fmt(f),
            Self::Subquery(s) => write!(f, "{}{}", s.expr, s.suffix()),
            Self::Paren(p) => write!(f, "({})", p.expr),
            Self::Unary(u) => write!(f, "{}{}", u.sign.as_str(), u.expr),
            Self::Binary(b) => b.fmt(f),
            Self::Aggregate(a) => {
                write!(f, "{}(", a.head())?;
                if let Some(param) = &a.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", a.expr)
            }
            Self::Call(c) => {
                write!(f, "{}(", c.func.name)?;
                for (i, arg) in c.args.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
        }
    }
}

/// Names of labels, quoted where they must be.
fn labels(names: &[String]) -> String {
    let shown = |name: &String| if is_plain(name) { name.clone() } else { quote(name) };
    names.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

// === impl AggregateExpr ===

impl AggregateExpr {
    /// What stands before the parenthesis.
    pub(super) fn head(&self) -> String {
        let op = self.op.as_str();
        match (self.without, self.grouping.is_empty()) {
            (true, _) => format!("{op} without ({}) ", labels(&self.grouping)),
            (false, false) => format!("{op} by ({}) ", labels(&self.grouping)),
            (false, true) => op.to_owned(),
        }
    }
}

// === impl BinaryExpr ===

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Leans to the left: from the innermost link outwards, without recursing.
        let (links, first) = self.links();
        first.fmt(f)?;
        for link in links.into_iter().rev() {
            write!(f, " {} {}", link.operator(), link.rhs)?;
        }
        Ok(())
    }
}

impl BinaryExpr {
    /// The operator with its modifiers.
    pub(super) fn operator(&self) -> String {
        let mut out = self.op.as_str().to_owned();
        if self.return_bool {
            out.push_str(" bool");
        }
        let Some(m) = &self.matching else { return out };
        let side = match m.card {
            Card::ManyToOne => Some("left"),
            Card::OneToMany => Some("right"),
            Card::OneToOne | Card::ManyToMany => None,
        };
        if !m.labels.is_empty() || m.on || side.is_some() {
            let word = if m.on { "on" } else { "ignoring" };
            let _ = write!(out, " {word} ({})", labels(&m.labels));
        }
        if let Some(side) = side {
            let _ = write!(out, " group_{side} ({})", labels(&m.include));
        }
        match (m.fill_left, m.fill_right) {
            // Two NaNs differ here, as they do in Prometheus.
            (Some(l), Some(r)) if l.partial_cmp(&r).is_some_and(Ordering::is_eq) => {
                let _ = write!(out, " fill ({})", general(l));
            }
            (l, r) => {
                for (side, value) in [("left", l), ("right", r)] {
                    if let Some(v) = value {
                        let _ = write!(out, " fill_{side} ({})", general(v));
                    }
                }
            }
        }
        out
    }
}

/// As Go's `%v`: an exponent below 1e-4 and from 1e21 on.
fn general(v: f64) -> String {
    if v.is_finite() && v.abs() > 0.0 && (v.abs() < 1e-4 || v.abs() >= 1e21) {
        let text = format!("{v:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
    }
    plain(v)
}

/// The shortest decimal digits that read back as `v`.
pub(crate) fn plain(v: f64) -> String {
    match v {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        v => format!("{v}"),
    }
}

// === Durations ===

/// A duration in the largest units that fit.
pub(super) fn duration(nanos: i64) -> String {
    let mut ms = (nanos / 1_000_000).unsigned_abs();
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = if nanos < 0 { "-" } else { "" }.to_owned();
    // Years and weeks only when nothing remains: 90d reads better than 12w6d.
    for (unit, factor, exact) in [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ] {
        let n = ms / factor;
        if n == 0 || (exact && !ms.is_multiple_of(factor)) {
            continue;
        }
        let _ = write!(out, "{n}{unit}");
        ms -= n * factor;
    }
    out
}

impl Display for NumberLiteral {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            return f.write_str(&duration((self.value * 1e9) as i64));
        }
        f.write_str(&plain(self.value))
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Some(expr) => expr.fmt(f),
            None => f.write_str(&duration(self.nanos)),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Op(op) => op.fmt(f),
        }
    }
}

impl Display for DurationOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_char('(')?;
        }
        let op = self.op.as_str();
        match (self.op, &self.lhs, &self.rhs) {
            (DurationOperator::MinOf | DurationOperator::MaxOf, Some(l), Some(r)) => {
                write!(f, "{op}({l}, {r})")?;
            }
            // A plus does nothing and is left out.
            (DurationOperator::Add, None, Some(r)) => r.fmt(f)?,
            (_, None, Some(r)) => write!(f, "{op}{r}")?,
            (_, Some(l), Some(r)) => write!(f, "{l} {op} {r}")?,
            (_, _, None) => write!(f, "{op}()")?,
        }
        f.write_str(if self.wrapped { ")" } else { "" })
    }
}

// === Selectors ===

fn offset(length: &Length) -> String {
    if length.is_set() { format!(" offset {length}") } else { String::new() }
}

#[expect(clippy::cast_precision_loss, reason = "as Go prints it")]
fn time(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
        Some(At::Ms(ms)) => format!(" @ {:.3}", ms as f64 / 1000.0),
    }
}

impl VectorSelector {
    fn extended(&self) -> String {
        self.extension.map_or_else(String::new, |e| format!(" {}", e.as_str()))
    }

    /// Name and matchers, sorted.
    fn base(&self) -> String {
        let name = self.name.as_deref().unwrap_or("");
        let is_name =
            |m: &&Matcher| m.name == Labels::NAME && m.op == MatchOp::Equal && m.value == name;
        let others = self.matchers.iter().filter(|m| m.value.is_empty() || !is_name(m));
        let mut shown: Vec<String> = others.map(matcher).collect();
        shown.sort_unstable();
        if shown.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", shown.join(",")) }
    }
}

fn matcher(m: &Matcher) -> String {
    let name = if is_plain(&m.name) { m.name.clone() } else { quote(&m.name) };
    format!("{name}{}{}", m.op.as_str(), quote(&m.value))
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (at, offset) = (time(self.at), offset(&self.offset));
        write!(f, "{}{at}{}{offset}", self.base(), self.extended())
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let s = &self.selector;
        let (at, offset) = (time(s.at), offset(&s.offset));
        write!(f, "{}[{}]{}{at}{offset}", s.base(), self.range, s.extended())
    }
}

impl SubqueryExpr {
    pub(super) fn suffix(&self) -> String {
        let step =
            self.step.as_ref().filter(|s| s.is_set()).map_or_else(String::new, Length::to_string);
        format!("[{}:{step}]{}{}", self.range, time(self.at), offset(&self.offset))
    }
}
