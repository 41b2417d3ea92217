//! The decimal arithmetic of `addf`, `subf`, `mulf` and `divf`: 0.1 and 0.2 are 0.3.

/// Digits behind the point that a quotient keeps.
const DIVISION_PLACES: i32 = 16;
/// Least exponent that is computed exactly; beyond it floats do.
const MIN_EXPONENT: i32 = -300;

/// `digits` · 10^`exponent`.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

/// One of the four operations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

/// `a op b op c …`; what is no finite number, or divided by zero, is an error.
pub(super) fn fold(op: Op, numbers: impl IntoIterator<Item = f64>) -> Result<f64, String> {
    let mut numbers = numbers.into_iter();
    let mut value = finite(numbers.next().unwrap_or(0.0))?;
    for number in numbers {
        let number = finite(number)?;
        if matches!(op, Op::Div) && number == 0.0 {
            return Err("decimal division by 0".to_owned());
        }
        value = exact(op, value, number).unwrap_or_else(|| match op {
            Op::Add => value + number,
            Op::Sub => value - number,
            Op::Mul => value * number,
            Op::Div => value / number,
        });
    }
    Ok(value)
}

fn finite(number: f64) -> Result<f64, String> {
    if number.is_finite() { Ok(number) } else { Err(format!("cannot compute with {number}")) }
}

/// `None` where there are too many digits.
fn exact(op: Op, a: f64, b: f64) -> Option<f64> {
    let (a, b) = (Decimal::new(a)?, Decimal::new(b)?);
    let out = match op {
        Op::Add | Op::Sub => {
            let exponent = a.exponent.min(b.exponent);
            let (a, b) = (a.at(exponent)?, b.at(exponent)?);
            let digits = if matches!(op, Op::Add) { a.checked_add(b) } else { a.checked_sub(b) };
            Decimal { digits: digits?, exponent }
        }
        Op::Mul => {
            Decimal { digits: a.digits.checked_mul(b.digits)?, exponent: a.exponent + b.exponent }
        }
        Op::Div => a.over(b)?,
    };
    format!("{}e{}", out.digits, out.exponent).parse().ok()
}

// === impl Decimal ===

impl Decimal {
    /// The shortest decimal that reads as `value`.
    fn new(value: f64) -> Option<Self> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
        (exponent >= MIN_EXPONENT).then_some(Self { digits, exponent })
    }

    /// The digits with a smaller exponent.
    fn at(self, exponent: i32) -> Option<i128> {
        let shift = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10i128.checked_pow(shift)?)
    }

    /// The quotient, rounded half away from zero.
    fn over(self, by: Self) -> Option<Self> {
        let shift = self.exponent - by.exponent + DIVISION_PLACES;
        let scale = 10i128.checked_pow(shift.unsigned_abs())?;
        let (top, bottom) = if shift >= 0 {
            (self.digits.checked_mul(scale)?, by.digits)
        } else {
            (self.digits, by.digits.checked_mul(scale)?)
        };
        let (quotient, rest) = (top.checked_div(bottom)?, top.checked_rem(bottom)?);
        let up = rest.unsigned_abs().checked_mul(2)? >= bottom.unsigned_abs();
        let away = if (top < 0) == (bottom < 0) { 1 } else { -1 };
        let digits = if up { quotient.checked_add(away)? } else { quotient };
        Some(Self { digits, exponent: -DIVISION_PLACES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(fold(Op::Add, [0.0, 0.1, 0.2]), Ok(0.3));
        assert_eq!(fold(Op::Sub, [0.3, 0.1]), Ok(0.2));
        assert_eq!(fold(Op::Mul, [1.1, 1.1]), Ok(1.21));
        assert_eq!(fold(Op::Div, [1.0, 3.0]), Ok(0.333_333_333_333_333_3));
        assert_eq!(fold(Op::Div, [2.0, -3.0]), Ok(-0.666_666_666_666_666_7));
        assert_eq!(fold(Op::Div, [1e-10, 3.0]), Ok(3.333_33e-11));
    }

    #[test]
    fn nothing_is_too_large_or_too_small() {
        assert_eq!(fold(Op::Add, [1e300, 1.0]), Ok(1e300));
        assert_eq!(fold(Op::Mul, [f64::MIN_POSITIVE, 0.5]), Ok(f64::MIN_POSITIVE / 2.0));
        assert_eq!(fold(Op::Mul, [1e300, 1e300]), Ok(f64::INFINITY));
        assert_eq!(fold(Op::Sub, [-5.0]), Ok(-5.0));
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        assert!(fold(Op::Add, [0.0, f64::NAN]).is_err());
        assert!(fold(Op::Mul, [f64::INFINITY, 1.0]).is_err());
        assert!(fold(Op::Div, [1.0, 0.0]).is_err());
    }
}
