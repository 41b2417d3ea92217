//! Functions of single numbers by their names in the query languages.

use super::DatePart;

/// What the function computes; `None` for names that no such function has.
pub fn math(name: &str) -> Option<fn(f64) -> f64> {
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

/// The part of a date that the function tells.
pub fn date_part(name: &str) -> Option<DatePart> {
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
}
