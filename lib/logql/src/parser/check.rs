//! What the grammar lets pass and the language does not.

use skald_model::Matcher;

use crate::ast::{Expr, MetricExpr, RangeAgg, RangeOp};
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
        MetricExpr::Literal(_) | MetricExpr::Constant(_) => Ok(()),
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
    } else {
        match (agg.op, agg.param) {
            (Quantile, None) => format!("parameter required for operation {name}"),
            (Quantile, Some(phi)) if phi < 0.0 || phi.is_nan() => {
                format!("invalid parameter for operation {name}: {phi} is negative")
            }
            (Quantile, Some(_)) | (_, None) => return Ok(()),
            _ => {
                format!("parameter {} not supported for operation {name}", agg.param.unwrap_or(0.0))
            }
        }
    };
    Err(ParseError::whole(problem))
}
