//! Smaller queries than a given one: something left out, or a part alone.

use skald_logql::ast::{Expr, LabelFilter, LogExpr, MetricExpr, RangeAgg, Stage};
use skald_logql::parse;

/// Queries that have one thing less than `query`, as texts; none when it is no LogQL.
pub fn smaller(query: &str) -> Vec<String> {
    let found = match parse(query) {
        Ok(Expr::Log(log)) => logs(&log).into_iter().map(Expr::Log).collect(),
        Ok(Expr::Metric(metric)) => metrics(&metric).into_iter().map(Expr::Metric).collect(),
        Err(_) => Vec::new(),
    };
    let texts = found.iter().map(Expr::to_string);
    texts.filter(|text| text.len() < query.len() && parse(text).is_ok()).collect()
}

/// The metric queries of which `query` is made.
pub fn parts(query: &str) -> Vec<String> {
    let Ok(Expr::Metric(metric)) = parse(query) else { return Vec::new() };
    let inner = match metric {
        MetricExpr::Vector(agg) => vec![agg.inner],
        MetricExpr::LabelReplace(call) => vec![call.inner],
        MetricExpr::Binary(binary) => vec![binary.left, binary.right],
        _ => Vec::new(),
    };
    inner.into_iter().map(|part| Expr::Metric(part).to_string()).collect()
}

fn logs(log: &LogExpr) -> Vec<LogExpr> {
    let with = |stages: Vec<Stage>| LogExpr { stages, ..log.clone() };
    let mut out = Vec::new();
    for i in (0..log.stages.len()).rev() {
        let mut stages = log.stages.clone();
        stages.remove(i);
        out.push(with(stages));
    }
    for i in 0..log.stages.len() {
        for stage in stages(&log.stages[i]) {
            let mut stages = log.stages.clone();
            stages[i] = stage;
            out.push(with(stages));
        }
    }
    out
}

/// All lists that have one element less, but for the empty one.
fn shorter<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let without = |i: usize| {
        let mut out = list.to_vec();
        out.remove(i);
        out
    };
    if list.len() < 2 { Vec::new() } else { (0..list.len()).map(without).collect() }
}

fn stages(stage: &Stage) -> Vec<Stage> {
    match stage {
        Stage::LabelFilter(f) => filters(f).into_iter().map(Stage::LabelFilter).collect(),
        Stage::LineFilter(f) => {
            let with = |operands| {
                let mut f = f.clone();
                f.operands = operands;
                Stage::LineFilter(f)
            };
            shorter(&f.operands).into_iter().map(with).collect()
        }
        Stage::Json(list) => shorter(list).into_iter().map(Stage::Json).collect(),
        Stage::Drop(list) => shorter(list).into_iter().map(Stage::Drop).collect(),
        Stage::Keep(list) => shorter(list).into_iter().map(Stage::Keep).collect(),
        Stage::LabelFormat(list) => shorter(list).into_iter().map(Stage::LabelFormat).collect(),
        _ => Vec::new(),
    }
}

fn filters(filter: &LabelFilter) -> Vec<LabelFilter> {
    match filter {
        LabelFilter::And(parts) | LabelFilter::Or(parts) => parts.clone(),
        _ => Vec::new(),
    }
}

fn metrics(metric: &MetricExpr) -> Vec<MetricExpr> {
    match metric {
        MetricExpr::Range(agg) => {
            ranges(agg).into_iter().map(|a| MetricExpr::Range(Box::new(a))).collect()
        }
        MetricExpr::Vector(agg) => {
            let mut out = vec![agg.inner.clone()];
            let mut bare = agg.clone();
            bare.grouping = None;
            out.push(MetricExpr::Vector(bare));
            out.extend(metrics(&agg.inner).into_iter().map(|inner| {
                let mut agg = agg.clone();
                agg.inner = inner;
                MetricExpr::Vector(agg)
            }));
            out
        }
        MetricExpr::LabelReplace(call) => {
            let mut out = vec![call.inner.clone()];
            out.extend(metrics(&call.inner).into_iter().map(|inner| {
                let mut call = call.clone();
                call.inner = inner;
                MetricExpr::LabelReplace(call)
            }));
            out
        }
        MetricExpr::Binary(binary) => {
            let mut out = vec![binary.left.clone(), binary.right.clone()];
            out.extend(metrics(&binary.left).into_iter().map(|left| {
                let mut binary = binary.clone();
                binary.left = left;
                MetricExpr::Binary(binary)
            }));
            out.extend(metrics(&binary.right).into_iter().map(|right| {
                let mut binary = binary.clone();
                binary.right = right;
                MetricExpr::Binary(binary)
            }));
            out
        }
        _ => Vec::new(),
    }
}

fn ranges(agg: &RangeAgg) -> Vec<RangeAgg> {
    let mut out = Vec::new();
    for log in logs(&agg.range.log) {
        let mut agg = agg.clone();
        agg.range.log = log;
        out.push(agg);
    }
    let bare = [
        |agg: &mut RangeAgg| agg.grouping = None,
        |agg: &mut RangeAgg| agg.range.offset_ns = 0,
        |agg: &mut RangeAgg| {
            agg.range.unwrap.iter_mut().for_each(|unwrap| unwrap.filters.clear());
        },
    ];
    for change in bare {
        let mut agg = agg.clone();
        change(&mut agg);
        out.push(agg);
    }
    out
}
