//! Names of functions → what evaluates them.

use skald_vector::function::{Direction, date_part, math};

use crate::expr::{Function, HistogramStat, RangeFunction, ScalarFunction};

/// `None` for names that no function has.
pub(super) fn function(name: &str) -> Option<Function> {
    range_function(name)
        .map(Function::Range)
        .or_else(|| math(name).map(Function::Math))
        .or_else(|| date_part(name).map(Function::Date))
        .or_else(|| scalar(name).map(Function::Scalar))
        .or_else(|| other(name))
}

fn range_function(name: &str) -> Option<RangeFunction> {
    use RangeFunction as R;
    Some(match name {
        "rate" => R::Rate,
        "increase" => R::Increase,
        "delta" => R::Delta,
        "irate" => R::Irate,
        "idelta" => R::Idelta,
        "changes" => R::Changes,
        "resets" => R::Resets,
        "deriv" => R::Deriv,
        "predict_linear" => R::PredictLinear,
        "double_exponential_smoothing" => R::DoubleExponentialSmoothing,
        "avg_over_time" => R::AvgOverTime,
        "sum_over_time" => R::SumOverTime,
        "min_over_time" => R::MinOverTime,
        "max_over_time" => R::MaxOverTime,
        "count_over_time" => R::CountOverTime,
        "present_over_time" => R::PresentOverTime,
        "stddev_over_time" => R::StddevOverTime,
        "stdvar_over_time" => R::StdvarOverTime,
        "quantile_over_time" => R::QuantileOverTime,
        "mad_over_time" => R::MadOverTime,
        "first_over_time" => R::FirstOverTime,
        "last_over_time" => R::LastOverTime,
        "ts_of_first_over_time" => R::TsOfFirst,
        "ts_of_last_over_time" => R::TsOfLast,
        "ts_of_min_over_time" => R::TsOfMin,
        "ts_of_max_over_time" => R::TsOfMax,
        _ => return None,
    })
}

fn scalar(name: &str) -> Option<ScalarFunction> {
    Some(match name {
        "time" => ScalarFunction::Time,
        "pi" => ScalarFunction::Pi,
        "start" => ScalarFunction::Start,
        "end" => ScalarFunction::End,
        "range" => ScalarFunction::Range,
        "step" => ScalarFunction::Step,
        "min_of" => ScalarFunction::MinOf,
        "max_of" => ScalarFunction::MaxOf,
        _ => return None,
    })
}

fn other(name: &str) -> Option<Function> {
    Some(match name {
        "absent" => Function::Absent,
        "absent_over_time" => Function::AbsentOverTime,
        "clamp" => Function::Clamp,
        "clamp_min" => Function::ClampMin,
        "clamp_max" => Function::ClampMax,
        "histogram_fraction" => Function::HistogramFraction,
        "histogram_quantile" => Function::HistogramQuantile,
        "histogram_quantiles" => Function::HistogramQuantiles,
        "histogram_avg" => Function::HistogramStat(HistogramStat::Avg),
        "histogram_count" => Function::HistogramStat(HistogramStat::Count),
        "histogram_sum" => Function::HistogramStat(HistogramStat::Sum),
        "histogram_stddev" => Function::HistogramStat(HistogramStat::Stddev),
        "histogram_stdvar" => Function::HistogramStat(HistogramStat::Stdvar),
        "info" => Function::Info,
        "label_join" => Function::LabelJoin,
        "label_replace" => Function::LabelReplace,
        "round" => Function::Round,
        "sort" => Function::Sort(Direction::Ascending),
        "sort_desc" => Function::Sort(Direction::Descending),
        "sort_by_label" => Function::SortByLabel(Direction::Ascending),
        "sort_by_label_desc" => Function::SortByLabel(Direction::Descending),
        "start_timestamp" => Function::StartTimestamp,
        "timestamp" => Function::Timestamp,
        "scalar" => Function::ToScalar,
        "vector" => Function::ToVector,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::function;
    use crate::syntax::FUNCTIONS;

    #[test]
    fn every_function_of_the_language_is_evaluated() {
        let missing: Vec<&str> =
            FUNCTIONS.iter().map(|f| f.name).filter(|name| function(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
