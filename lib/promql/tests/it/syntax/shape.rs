//! Trees as text without places, to compare them: our own, and those of `promql-parser`.

use promql_parser::label::{MatchOp as TheirOp, Matchers};
use promql_parser::parser as theirs;
use promql_parser::parser::{
    AtModifier, BinModifier, LabelModifier, Offset, VectorMatchCardinality,
};
use skald_model::{MatchOp, Matcher};
use skald_promql::syntax::ast::{
    At, BinaryExpr, Card, DurationExpr, DurationOp, DurationOperator, Expr, Length, Sign,
    VectorMatching, VectorSelector,
};

fn number(v: f64) -> String {
    if v.is_nan() { "NaN".to_owned() } else { format!("{v:?}") }
}

fn sorted(mut parts: Vec<String>) -> String {
    parts.sort();
    parts.join(" ")
}

// Ours.

/// Whether a sign that changes nothing shows. The other parser forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    Kept,
    Forgotten,
}

pub(super) fn ours(expr: &Expr, plus: Plus) -> String {
    match expr {
        Expr::Number(n) => number(n.value),
        Expr::Text(s) => format!("{:?}", s.value),
        Expr::Vector(s) => selector(s),
        Expr::Matrix(m) => format!("(range {} {})", length(&m.range), selector(&m.selector)),
        Expr::Subquery(s) => {
            let step = s.step.as_ref().map(length).unwrap_or_default();
            let (at, offset) = (at(s.at), offset(&s.offset));
            format!("(subquery {} {step}{at}{offset} {})", length(&s.range), ours(&s.expr, plus))
        }
        Expr::Paren(p) => format!("(paren {})", ours(&p.expr, plus)),
        Expr::Unary(u) if u.sign == Sign::Plus && plus == Plus::Forgotten => ours(&u.expr, plus),
        Expr::Unary(u) => format!("({} {})", u.sign.as_str(), ours(&u.expr, plus)),
        Expr::Binary(b) => binary(b, plus),
        Expr::Aggregate(a) => {
            let word = if a.without { "without" } else { "by" };
            let param = a.param.as_ref().map(|p| format!(" {}", ours(p, plus))).unwrap_or_default();
            format!("({} {word} {:?}{param} {})", a.op.as_str(), a.grouping, ours(&a.expr, plus))
        }
        Expr::Call(c) => {
            let args: Vec<String> = c.args.iter().map(|arg| ours(arg, plus)).collect();
            format!("(call {} {})", c.func.name, args.join(" "))
        }
    }
}

fn binary(top: &BinaryExpr, plus: Plus) -> String {
    let (links, first) = top.links();
    links.into_iter().rev().fold(ours(first, plus), |lhs, b| {
        let word = if b.return_bool { " bool" } else { "" };
        let matching = b.matching.as_ref().map(matching).unwrap_or_default();
        format!("({}{word}{matching} {lhs} {})", b.op.as_str(), ours(&b.rhs, plus))
    })
}

fn matching(m: &VectorMatching) -> String {
    let card = match m.card {
        Card::ManyToOne => format!(" left {:?}", m.include),
        Card::OneToMany => format!(" right {:?}", m.include),
        Card::OneToOne | Card::ManyToMany => String::new(),
    };
    let words = if m.on { format!(" on {:?}", m.labels) } else { ignoring(&m.labels) };
    let fill = |v: Option<f64>| v.map(number).unwrap_or_default();
    let fills = match (fill(m.fill_left), fill(m.fill_right)) {
        (l, r) if l.is_empty() && r.is_empty() => String::new(),
        (l, r) => format!(" fill {l}/{r}"),
    };
    format!("{words}{card}{fills}")
}

fn ignoring(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!(" ignoring {labels:?}") }
}

fn matcher(m: &Matcher) -> String {
    let op = match m.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    format!("{}{op}{:?}", m.name, m.value)
}

fn selector(s: &VectorSelector) -> String {
    // The name is one of the matchers.
    let matchers = sorted(s.matchers.iter().map(matcher).collect());
    let extension = s.extension.map(|e| format!(" {}", e.as_str())).unwrap_or_default();
    format!("{{{matchers}}}{extension}{}{}", at(s.at), offset(&s.offset))
}

fn at(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Start) => " @start".to_owned(),
        Some(At::End) => " @end".to_owned(),
        Some(At::Ms(ms)) => format!(" @{ms}"),
    }
}

fn offset(l: &Length) -> String {
    if *l == Length::default() { String::new() } else { format!(" offset {}", length(l)) }
}

fn length(l: &Length) -> String {
    match &l.expr {
        Some(op) => operation(op),
        None => (l.nanos / 1_000_000).to_string(),
    }
}

fn operation(op: &DurationOp) -> String {
    let side = |e: &Option<DurationExpr>| match e {
        None => String::new(),
        Some(DurationExpr::Number(n)) => number(n.value),
        Some(DurationExpr::Op(op)) => operation(op),
    };
    // A plus that does nothing is not printed.
    if let (DurationOperator::Add, None, Some(DurationExpr::Op(op)), false) =
        (op.op, &op.lhs, &op.rhs, op.wrapped)
    {
        return operation(op);
    }
    let wrapped = if op.wrapped { "paren " } else { "" };
    format!("(duration {wrapped}{} {} {})", op.op.as_str(), side(&op.lhs), side(&op.rhs))
}

// Theirs.

pub(super) fn theirs(expr: &theirs::Expr) -> String {
    match expr {
        theirs::Expr::NumberLiteral(n) => number(n.val),
        theirs::Expr::StringLiteral(s) => format!("{:?}", s.val),
        theirs::Expr::VectorSelector(s) => their_selector(s),
        theirs::Expr::MatrixSelector(m) => {
            format!("(range {} {})", m.range.as_millis(), their_selector(&m.vs))
        }
        theirs::Expr::Subquery(s) => {
            let step = s.step.map(|step| step.as_millis().to_string()).unwrap_or_default();
            let (at, offset) = (their_at(s.at.as_ref()), their_offset(s.offset.as_ref()));
            let range = s.range.as_millis();
            format!("(subquery {range} {step}{at}{offset} {})", theirs(&s.expr))
        }
        theirs::Expr::Paren(p) => format!("(paren {})", theirs(&p.expr)),
        theirs::Expr::Unary(u) => format!("(- {})", theirs(&u.expr)),
        theirs::Expr::Binary(b) => {
            let op = b.op.to_string();
            let modifier = b.modifier.as_ref().map(their_modifier).unwrap_or_default();
            format!("({op}{modifier} {} {})", theirs(&b.lhs), theirs(&b.rhs))
        }
        theirs::Expr::Aggregate(a) => {
            let (word, labels) = match &a.modifier {
                Some(LabelModifier::Exclude(l)) => ("without", l.labels.clone()),
                Some(LabelModifier::Include(l)) => ("by", l.labels.clone()),
                None => ("by", Vec::new()),
            };
            let param = a.param.as_ref().map(|p| format!(" {}", theirs(p))).unwrap_or_default();
            format!("({} {word} {labels:?}{param} {})", a.op, theirs(&a.expr))
        }
        theirs::Expr::Call(c) => {
            let args: Vec<String> = c.args.args.iter().map(|arg| theirs(arg)).collect();
            format!("(call {} {})", c.func.name, args.join(" "))
        }
        theirs::Expr::Extension(_) => "extension".to_owned(),
    }
}

fn their_modifier(m: &BinModifier) -> String {
    let word = if m.return_bool { " bool" } else { "" };
    let words = match &m.matching {
        Some(LabelModifier::Include(l)) => format!(" on {:?}", l.labels),
        Some(LabelModifier::Exclude(l)) => ignoring(&l.labels),
        None => String::new(),
    };
    let card = match &m.card {
        VectorMatchCardinality::ManyToOne(l) => format!(" left {:?}", l.labels),
        VectorMatchCardinality::OneToMany(l) => format!(" right {:?}", l.labels),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => String::new(),
    };
    let fill = |v: Option<f64>| v.map(number).unwrap_or_default();
    let fills = match (fill(m.fill_values.lhs), fill(m.fill_values.rhs)) {
        (l, r) if l.is_empty() && r.is_empty() => String::new(),
        (l, r) => format!(" fill {l}/{r}"),
    };
    format!("{word}{words}{card}{fills}")
}

fn their_selector(s: &theirs::VectorSelector) -> String {
    let mut matchers = their_matchers(&s.matchers);
    matchers.extend(s.name.iter().map(|name| format!("__name__={name:?}")));
    let (at, offset) = (their_at(s.at.as_ref()), their_offset(s.offset.as_ref()));
    format!("{{{}}}{at}{offset}", sorted(matchers))
}

fn their_matchers(m: &Matchers) -> Vec<String> {
    let shown = |m: &promql_parser::label::Matcher| {
        let op = match m.op {
            TheirOp::Equal => "=",
            TheirOp::NotEqual => "!=",
            TheirOp::Re(_) => "=~",
            TheirOp::NotRe(_) => "!~",
        };
        format!("{}{op}{:?}", m.name, m.value)
    };
    m.matchers.iter().chain(m.or_matchers.iter().flatten()).map(shown).collect()
}

fn their_at(at: Option<&AtModifier>) -> String {
    match at {
        None => String::new(),
        Some(AtModifier::Start) => " @start".to_owned(),
        Some(AtModifier::End) => " @end".to_owned(),
        Some(AtModifier::At(time)) => match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => format!(" @{}", since.as_millis()),
            Err(before) => format!(" @-{}", before.duration().as_millis()),
        },
    }
}

fn their_offset(offset: Option<&Offset>) -> String {
    match offset {
        None => String::new(),
        Some(Offset::Pos(d)) => format!(" offset {}", d.as_millis()),
        Some(Offset::Neg(d)) => format!(" offset -{}", d.as_millis()),
    }
}
