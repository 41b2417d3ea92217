//! Names of functions → what evaluates them.

use skald_vector::function::{DatePart, Direction};

use crate::expr::{Function, HistogramStat, RangeFunction, ScalarFunction};

/// `None` for names that no function has.
pub(super) fn function(name: &str) -> Option<Function> {
    range_function(name)
        .map(Function::Range)
        .or_else(|| math(name).map(Function::Math))
        .or_else(|| date(name).map(Function::Date))
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

fn math(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "ln" => ln,
        "log2" => f64::log2,
        "log10" => log10,
        "sqrt" => f64::sqrt,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => sinh,
        "cosh" => cosh,
        "tanh" => f64::tanh,
        "asinh" => asinh,
        "acosh" => acosh,
        "atanh" => f64::atanh,
        // In this order: it rounds and overflows otherwise.
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "sgn" => |v| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

fn date(name: &str) -> Option<DatePart> {
    Some(match name {
        "minute" => DatePart::Minute,
        "hour" => DatePart::Hour,
        "day_of_week" => DatePart::DayOfWeek,
        "day_of_month" => DatePart::DayOfMonth,
        "day_of_year" => DatePart::DayOfYear,
        "days_in_month" => DatePart::DaysInMonth,
        "month" => DatePart::Month,
        "year" => DatePart::Year,
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

/// Beyond this, 1 beside x² makes no difference.
const LARGE: f64 = (1u64 << 28) as f64;

/// Also where x² is beyond all floats.
fn acosh(v: f64) -> f64 {
    if v > LARGE { v.ln() + std::f64::consts::LN_2 } else { v.acosh() }
}

fn asinh(v: f64) -> f64 {
    if v.abs() > LARGE {
        return (v.abs().ln() + std::f64::consts::LN_2).copysign(v);
    }
    v.asinh()
}

/// From here on Go takes half of e^|x|, which is infinite a little earlier than the result.
const STEEP: f64 = 21.0;

fn cosh(v: f64) -> f64 {
    if v.abs() > STEEP { v.abs().exp() * 0.5 } else { v.cosh() }
}

fn sinh(v: f64) -> f64 {
    if v.abs() > STEEP { (v.abs().exp() * 0.5).copysign(v) } else { v.sinh() }
}

/// The natural logarithm as Go has it on amd64, where a subnormal counts as 2^-1023 and more.
fn ln(v: f64) -> f64 {
    if v > 0.0 && v < f64::MIN_POSITIVE {
        let mantissa = f64::from_bits(v.to_bits() | 1.0f64.to_bits());
        return mantissa.ln() - 1023.0 * std::f64::consts::LN_2;
    }
    v.ln()
}

fn log10(v: f64) -> f64 {
    if v > 0.0 && v < f64::MIN_POSITIVE { ln(v) * std::f64::consts::LOG10_E } else { v.log10() }
}

#[cfg(test)]
mod tests {
    use super::function;
    use crate::syntax::FUNCTIONS;

    #[test]
    fn steep_functions_end_where_those_of_prometheus_do() {
        let at = |name: &str, v: f64| super::math(name).unwrap()(v);
        assert!(at("cosh", 710.0).is_infinite() && at("sinh", 710.0).is_infinite());
        assert!(at("sinh", -710.0).is_infinite() && at("sinh", -710.0).is_sign_negative());
        assert!(at("rad", f64::MAX).is_infinite() && at("deg", 1e307).is_infinite());
        assert!((at("acosh", f64::MAX) - 710.475_860_073_943_9).abs() < 1e-9);
        assert!((at("asinh", -f64::MAX) + 710.475_860_073_943_9).abs() < 1e-9);
        for v in [0.5, 20.9, 21.1, 300.0] {
            assert!((at("cosh", v) / v.cosh() - 1.0).abs() < 1e-12, "{v}");
            assert!((at("sinh", v) / v.sinh() - 1.0).abs() < 1e-12, "{v}");
        }
    }

    #[test]
    fn every_function_of_the_language_is_evaluated() {
        let missing: Vec<&str> =
            FUNCTIONS.iter().map(|f| f.name).filter(|name| function(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
