//! What Loki takes a query for, where that is another query than the text says.
//!
//! A difference is explained so only if Skald's answer to the rewritten query is Loki's to the original.

use std::collections::BTreeSet;

use skald_logql::ast::{
    Expr, LabelFilter, LineFilter, LineOp, LineOperand, LogExpr, MetricExpr, RangeOp, Stage, Unwrap,
};
use skald_logql::parse;
use skald_model::{MatchOp, Matcher};

/// A time zone that is none.
const NOWHERE: &str = "Nowhere/X";
const ZONES: &str = "Time zones";
/// The number that the generator writes so, which is 0 for Loki behind a comparison.
const PREFIXED: &str = "0x10";
const PREFIXES: &str = "Prefixed numbers";
/// Loki takes longer ranges of instant queries apart, and sums what it has of them.
const LONG: &str = "Long ranges";
const HOUR_NS: i64 = 3_600_000_000_000;

/// Changes a log expression, in the range aggregation that has it.
type Change = fn(&mut LogExpr, Option<(RangeOp, Option<&mut Unwrap>)>);

/// Headings of the document, and how each changes the stages of a query.
const REWRITES: [(&str, Change); 6] = [
    ("Empty alternatives", without_empty),
    ("Filters by beginnings", unanchored),
    ("Early filters", early),
    ("Rounded sizes", rounded),
    ("Alternatives of line filters", alone),
    ("Lines of labels", unmade),
];

/// `query` as Loki takes it, by the heading that says why; last all at once, if several say something.
pub fn rewrites(query: &str) -> Vec<(&'static str, String)> {
    let Ok(expr) = parse(query) else {
        let decimal = without_prefixes(query);
        return decimal.map(|decimal| (PREFIXES, decimal)).into_iter().collect();
    };
    let text = expr.to_string();
    let mut out = Vec::new();
    if query.contains(NOWHERE) {
        out.push((ZONES, query.replace(NOWHERE, "UTC")));
    }
    if matches!(&expr, Expr::Metric(MetricExpr::Range(agg)) if agg.range.interval_ns > HOUR_NS) {
        out.push((LONG, format!("sum without () ({text})")));
    }
    let mut all = expr.clone();
    for (heading, change) in REWRITES {
        let mut one = expr.clone();
        change_logs(&mut one, change);
        change_logs(&mut all, change);
        if one.to_string() != text {
            out.push((heading, one.to_string()));
        }
    }
    if let [(heading, _), _, ..] = out[..] {
        out.push((heading, all.to_string()));
    }
    out
}

/// The headings under which this explains.
pub fn headings() -> impl Iterator<Item = &'static str> {
    REWRITES.into_iter().map(|(heading, _)| heading).chain([PREFIXES, ZONES, LONG])
}

/// The query with 0 for prefixed numbers behind comparisons, if it is one then.
fn without_prefixes(query: &str) -> Option<String> {
    let mut parts = query.split(PREFIXED);
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let compared = out.trim_end().ends_with(['=', '<', '>']);
        out.push_str(if compared { "0" } else { PREFIXED });
        out.push_str(part);
    }
    parse(&out).is_ok().then_some(out)
}

fn change_logs(expr: &mut Expr, change: Change) {
    fn walk(expr: &mut MetricExpr, change: Change) {
        match expr {
            MetricExpr::Range(agg) => {
                change(&mut agg.range.log, Some((agg.op, agg.range.unwrap.as_mut())));
            }
            MetricExpr::Vector(agg) => walk(&mut agg.inner, change),
            MetricExpr::LabelReplace(call) => walk(&mut call.inner, change),
            MetricExpr::Binary(binary) => {
                walk(&mut binary.left, change);
                walk(&mut binary.right, change);
            }
            _ => {}
        }
    }
    match expr {
        Expr::Log(log) => change(log, None),
        Expr::Metric(metric) => walk(metric, change),
    }
}

/// A parser that finds a label drops the line at once when a filter on that label, wherever it stands,
/// does not hold: that is as if the filter stood behind the parser, for lines that have the label.
fn early(log: &mut LogExpr, _: Option<(RangeOp, Option<&mut Unwrap>)>) {
    let mut names = BTreeSet::new();
    let mut filters = Vec::new();
    for stage in &log.stages {
        let Stage::LabelFilter(filter) = stage else { continue };
        let Some(name) = name(filter) else { continue };
        if names.insert(name.to_owned()) {
            let missing = LabelFilter::String(Matcher::equal(name, ""));
            filters.push(Stage::LabelFilter(LabelFilter::Or(vec![missing, filter.clone()])));
        }
    }
    let parses = |stage: &Stage| match stage {
        Stage::Json(fields) => fields.is_empty(),
        Stage::Logfmt { extractions, .. } => extractions.is_empty(),
        Stage::Regexp(_) | Stage::Pattern(_) | Stage::Unpack => true,
        _ => false,
    };
    let stages = std::mem::take(&mut log.stages);
    for stage in stages {
        let parser = parses(&stage);
        log.stages.push(stage);
        if parser {
            log.stages.extend(filters.iter().cloned());
        }
    }
}

/// The label that a filter of one label looks at.
fn name(filter: &LabelFilter) -> Option<&str> {
    match filter {
        LabelFilter::String(matcher) => Some(&matcher.name),
        LabelFilter::Number { name, .. }
        | LabelFilter::Duration { name, .. }
        | LabelFilter::Bytes { name, .. }
        | LabelFilter::Ip { name, .. } => Some(name),
        LabelFilter::And(_) | LabelFilter::Or(_) => None,
    }
}

/// Between its parts Loki sends queries as texts, and in these sizes as people read them.
fn rounded(log: &mut LogExpr, range: Option<(RangeOp, Option<&mut Unwrap>)>) {
    if let Some((_, Some(unwrap))) = range {
        unwrap.filters.iter_mut().for_each(round);
    }
    for stage in &mut log.stages {
        if let Stage::LabelFilter(filter) = stage {
            round(filter);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of the generator are small"
)]
fn round(filter: &mut LabelFilter) {
    match filter {
        LabelFilter::And(parts) | LabelFilter::Or(parts) => parts.iter_mut().for_each(round),
        LabelFilter::Bytes { value, .. } if *value >= 10 => {
            // Two digits below ten units, whole units from there on.
            let mut unit = 1.0;
            while *value as f64 / unit >= 1000.0 {
                unit *= 1000.0;
            }
            let tenths = (*value as f64 / unit * 10.0 + 0.5).floor() / 10.0;
            let shown = if tenths < 10.0 { tenths } else { tenths.round() };
            *value = (shown * unit) as u64;
        }
        _ => {}
    }
}

/// A label filter for what begins with a text is one for what has it anywhere.
fn unanchored(log: &mut LogExpr, _: Option<(RangeOp, Option<&mut Unwrap>)>) {
    fn change(filter: &mut LabelFilter) {
        match filter {
            LabelFilter::And(parts) | LabelFilter::Or(parts) => parts.iter_mut().for_each(change),
            LabelFilter::String(m) if m.op == MatchOp::Regex || m.op == MatchOp::NotRegex => {
                let Some(text) = m.value.strip_suffix(".*") else { return };
                let is_literal =
                    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
                if let (true, Ok(wider)) =
                    (is_literal, Matcher::new(m.op, &m.name, &format!(".*{}", m.value)))
                {
                    *m = wider;
                }
            }
            _ => {}
        }
    }
    for stage in &mut log.stages {
        if let Stage::LabelFilter(filter) = stage {
            change(filter);
        }
    }
}

/// Of the alternatives of a label filter an empty one counts nothing.
fn without_empty(log: &mut LogExpr, _: Option<(RangeOp, Option<&mut Unwrap>)>) {
    fn change(filter: &mut LabelFilter) {
        match filter {
            LabelFilter::And(parts) | LabelFilter::Or(parts) => parts.iter_mut().for_each(change),
            LabelFilter::String(m) if m.op == MatchOp::Regex || m.op == MatchOp::NotRegex => {
                let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'|';
                let others: Vec<&str> =
                    m.value.split('|').filter(|part| !part.is_empty()).collect();
                if m.value.bytes().all(is_plain)
                    && let Ok(narrower) = Matcher::new(m.op, &m.name, &others.join("|"))
                {
                    *m = narrower;
                }
            }
            _ => {}
        }
    }
    for stage in &mut log.stages {
        if let Stage::LabelFilter(filter) = stage {
            change(filter);
        }
    }
}

/// Among alternatives, what lets all lines pass counts nothing, and addresses are texts.
fn alone(log: &mut LogExpr, _: Option<(RangeOp, Option<&mut Unwrap>)>) {
    for stage in &mut log.stages {
        let Stage::LineFilter(LineFilter { op, operands }) = stage else { continue };
        if operands.len() < 2 || op.is_negative() {
            continue;
        }
        for operand in operands.iter_mut() {
            if let LineOperand::Ip(text) = operand {
                *operand = LineOperand::Text(text.clone());
            }
        }
        let passes_all = |operand: &LineOperand| match operand {
            LineOperand::Text(text) => {
                *op != LineOp::Pattern && text.is_empty() || *op == LineOp::Regex && text == ".*"
            }
            LineOperand::Ip(_) => false,
        };
        if !operands.iter().all(passes_all) {
            operands.retain(|operand| !passes_all(operand));
        }
    }
}

/// For samples that are no lengths Loki leaves out `line_format` unless a parser or a line filter follows, even
/// where a label is made of the line.
fn unmade(log: &mut LogExpr, range: Option<(RangeOp, Option<&mut Unwrap>)>) {
    if matches!(range, None | Some((RangeOp::BytesOverTime | RangeOp::BytesRate, _))) {
        return;
    }
    let looks = |stage: &Stage| {
        matches!(
            stage,
            Stage::LineFilter(_)
                | Stage::Json(_)
                | Stage::Logfmt { .. }
                | Stage::Regexp(_)
                | Stage::Pattern(_)
                | Stage::Unpack
        )
    };
    let last = log.stages.iter().rposition(looks);
    let mut i = 0;
    log.stages.retain(|stage| {
        let unused = matches!(stage, Stage::LineFormat(_)) && last.is_none_or(|last| i > last);
        i += 1;
        !unused
    });
}

/// The query without the lines that are broken JSON, if it looks for fields of JSON.
pub fn without_broken(query: &str) -> Option<String> {
    let mut expr = parse(query).ok()?;
    let fields = |stage: &Stage| matches!(stage, Stage::Json(fields) if !fields.is_empty());
    if !expr.log_exprs().iter().any(|log| log.stages.iter().any(fields)) {
        return None;
    }
    change_logs(&mut expr, |log, _| {
        log.matchers.extend(Matcher::new(MatchOp::NotEqual, "app", "broken"));
    });
    Some(expr.to_string())
}
