//! What the grammar lets pass and the language does not.

use skald_model::Matcher;

use crate::ast::{Expr, MetricExpr, RangeAgg, RangeOp, Stage, Subquery};
use crate::error::ParseError;

const NO_MATCHER: &str = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

/// Refuses a selector that every stream without labels would match.
pub fn check_selector(matchers: &[Matcher]) -> Result<(), ParseError> {
    if matchers.iter().any(|m| !m.matches_empty()) {
        return Ok(());
    }
    Err(ParseError::whole(NO_MATCHER))
}

pub(super) fn expr(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => check_selector(&log.matchers),
        Expr::Metric(expr) => metric(expr),
    }
}

fn metric(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Range(agg) => range(agg),
        MetricExpr::Vector(agg) => metric(&agg.inner),
        MetricExpr::LabelReplace(call) => metric(&call.inner),
        MetricExpr::Binary(binary) => {
            metric(&binary.left)?;
            metric(&binary.right)
        }
        MetricExpr::Call(call) => call.exprs().try_for_each(metric),
        MetricExpr::Negate(inner) => metric(inner),
        MetricExpr::Subquery(sub) => subquery(sub),
        MetricExpr::Literal(_) | MetricExpr::Constant(_) => Ok(()),
    }
}

fn subquery(sub: &Subquery) -> Result<(), ParseError> {
    let name = sub.op.as_str();
    let problem = match (sub.op, sub.param) {
        (RangeOp::Rate | RangeOp::BytesRate | RangeOp::BytesOverTime, _) => {
            format!("{name} counts lines and takes no subquery; rate_counter takes one")
        }
        (op, param) => match wrong_parameter(op, param) {
            Some(problem) => problem,
            None => return metric(&sub.inner),
        },
    };
    Err(ParseError::whole(problem))
}

fn wrong_parameter(op: RangeOp, param: Option<f64>) -> Option<String> {
    let name = op.as_str();
    match (op, param) {
        (RangeOp::Quantile, None) => Some(format!("parameter required for operation {name}")),
        (RangeOp::Quantile, Some(_)) | (_, None) => None,
        (_, Some(param)) => Some(format!("parameter {param} not supported for operation {name}")),
    }
}

fn range(agg: &RangeAgg) -> Result<(), ParseError> {
    use RangeOp::{
        Absent, Avg, BytesOverTime, BytesRate, CountOverTime, First, Last, Max, Min, Quantile,
        Rate, Stddev, Stdvar,
    };
    check_selector(&agg.range.log.matchers)?;
    let name = agg.op.as_str();
    let counts = matches!(agg.op, CountOverTime | BytesOverTime | BytesRate);
    let problem = if agg.range.unwrap.is_some() && counts {
        format!("invalid aggregation {name} with unwrap")
    } else if agg.range.unwrap.is_none() && !counts && !matches!(agg.op, Rate | Absent) {
        format!("invalid aggregation {name} without unwrap")
    } else if agg.grouping.is_some()
        && !matches!(agg.op, Avg | Min | Max | Stddev | Stdvar | Quantile | First | Last)
    {
        format!("grouping not allowed for {name} aggregation")
    } else if let Some(Stage::Distinct(_)) = agg.range.log.stages.last() {
        "distinct is a stage of log queries only".to_owned()
    } else {
        match wrong_parameter(agg.op, agg.param) {
            Some(problem) => problem,
            None => return Ok(()),
        }
    };
    Err(ParseError::whole(problem))
}
