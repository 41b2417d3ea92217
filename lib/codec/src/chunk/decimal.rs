//! Values that are decimals: integers, an exponent, and the few values that do not fit.
//!
//! ```text
//! decimal := flags:u8 exponent:u8 zigzag(m₀) [uvarint(gcd)] [zigzag(first delta)] blocks [ulp blocks] [exceptions]
//! flags   := form:2 (0 m/10ᵉ, 1 m·10⁻ᵉ, 2 m/10ᵉ moved by some ulp, 3 bits of the double)  predictor:2 (0 raw, 1 delta, 2 delta²)
//!            gcd:1 exceptions:1
//! blocks  := q₁… with q = (m − m₀)/gcd, or their deltas, or (from the third value on) deltas of the deltas
//! exceptions := uvarint(n) { uvarint(distance from the one before) f64 }*n
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "conversions between floats and integers are verified bit for bit"
)]

mod decode;

use skald_model::labels::put_uvarint;

pub(super) use self::decode::decode;
use super::blocks::{self, Packings};
use crate::bits::zigzag;

const MAX_EXPONENT: u8 = 20;
/// Below this, adding and subtracting [`ROUND`] rounds to an integer.
const MAX_SCALED: f64 = 2_251_799_813_685_248.0;
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Integers as large as this still have deltas of deltas within 64 bits.
const MAX_WHOLE: f64 = 1_152_921_504_606_846_976.0;
/// Below this a few ulp are far less than the distance of two decimals.
const MAX_ULP_SCALED: f64 = 17_592_186_044_416.0;
const MAX_ULP: u64 = 3;
const N_SAMPLED: usize = 8;

const GCD: u8 = 1 << 4;
const EXCEPTIONS: u8 = 1 << 5;

const POW10: [f64; MAX_EXPONENT as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20,
];

/// How an integer and the exponent become the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Divide,
    Multiply,
    Ulp,
    /// No decimal: the integer is what orders the bits of a double.
    Bits,
}

/// Values taken apart; `whole[i]` of an exception repeats its neighbour.
#[derive(Debug)]
pub(super) struct Decimal {
    form: Form,
    exponent: u8,
    whole: Vec<i64>,
    ulps: Vec<i64>,
    exceptions: Vec<(usize, f64)>,
}

// === impl Form ===

impl Form {
    /// The integer (and ulps) that gives exactly `v` with this exponent.
    #[inline]
    fn split(self, v: f64, exponent: u8) -> Option<(i64, i64)> {
        let power = POW10[exponent as usize];
        let scaled = v * power;
        if scaled.abs() < MAX_SCALED {
            let m = (scaled + ROUND) - ROUND;
            let back = self.join(m, power);
            if back.to_bits() == v.to_bits() {
                return Some((m as i64, 0));
            }
            if self == Self::Ulp && scaled.abs() < MAX_ULP_SCALED {
                let ulps = v.to_bits().wrapping_sub(back.to_bits()).cast_signed();
                return (ulps.unsigned_abs() <= MAX_ULP).then_some((m as i64, ulps));
            }
            return None;
        }
        if exponent == 0 && v.abs() < MAX_WHOLE {
            let m = v as i64;
            return ((m as f64).to_bits() == v.to_bits()).then_some((m, 0));
        }
        None
    }

    #[inline]
    fn join(self, m: f64, power: f64) -> f64 {
        match self {
            Self::Multiply => m * (1.0 / power),
            Self::Divide | Self::Ulp | Self::Bits => m / power,
        }
    }

    /// The smallest exponent of at least `from` with which `v` is a decimal.
    fn exponent(self, v: f64, from: u8) -> Option<u8> {
        let mut e = from;
        while e <= MAX_EXPONENT {
            if self.split(v, e).is_some() {
                return Some(e);
            }
            if (v * POW10[e as usize]).abs() >= MAX_SCALED {
                return None;
            }
            e += 1;
        }
        None
    }

    fn from_flags(flags: u8) -> Self {
        match flags & 3 {
            0 => Self::Divide,
            1 => Self::Multiply,
            2 => Self::Ulp,
            _ => Self::Bits,
        }
    }
}

// === impl Decimal ===

impl Decimal {
    /// Takes `vals` apart; `None` when too many of them are no decimals.
    pub(super) fn of(vals: &[f64]) -> Option<Self> {
        [Form::Divide, Form::Multiply, Form::Ulp].into_iter().find_map(|form| {
            let exponent = sample_exponent(form, vals)?;
            Self::convert(form, exponent, vals)
        })
    }

    /// The bits of `vals`, which need be no decimals, as integers of the same order.
    pub(super) fn bits_of(vals: &[f64]) -> Self {
        let whole = vals.iter().map(|v| ordered(v.to_bits().cast_signed())).collect();
        let (ulps, exceptions) = Default::default();
        Self { form: Form::Bits, exponent: 0, whole, ulps, exceptions }
    }

    fn convert(form: Form, mut exponent: u8, vals: &[f64]) -> Option<Self> {
        let mut this = Self {
            form,
            exponent,
            whole: Vec::with_capacity(vals.len()),
            ulps: Vec::new(),
            exceptions: Vec::new(),
        };
        while !this.try_convert(exponent, vals)? {
            exponent = this.exponent;
        }
        Some(this)
    }

    /// False when a larger exponent (now in `self`) is needed, `None` when there is no use.
    fn try_convert(&mut self, exponent: u8, vals: &[f64]) -> Option<bool> {
        self.whole.clear();
        self.ulps.clear();
        self.exceptions.clear();
        let mut first = None;
        let mut last = 0;
        for (i, &v) in vals.iter().enumerate() {
            if let Some((m, ulps)) = self.form.split(v, exponent) {
                if self.form == Form::Ulp {
                    self.ulps.push(ulps);
                }
                first = first.or(Some(m));
                last = m;
            } else {
                if let Some(larger) = self.form.exponent(v, exponent + 1) {
                    self.exponent = larger;
                    return Some(false);
                }
                if self.form == Form::Ulp {
                    self.ulps.push(0);
                }
                self.exceptions.push((i, v));
                if self.exceptions.len() > vals.len() / 8 + 1 {
                    return None;
                }
            }
            self.whole.push(last);
        }
        // Exceptions at the front repeat what follows.
        let first = first?;
        for (i, _) in self.exceptions.iter().enumerate().take_while(|(i, (at, _))| i == at) {
            self.whole[i] = first;
        }
        Some(true)
    }

    pub(super) fn encode(&self, packings: Packings, out: &mut Vec<u8>) {
        let mut delta: Vec<i64> = self.whole.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        let gcd = common_divisor(&delta);
        if gcd > 1 {
            delta.iter_mut().for_each(|d| *d /= gcd);
        }
        let mut sum = 0;
        let raw: Vec<i64> = delta
            .iter()
            .map(|d| {
                sum = d.wrapping_add(sum);
                sum
            })
            .collect();
        let delta2: Vec<i64> = delta.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        let first_delta = delta.first().copied().unwrap_or(0);
        let costs = [
            blocks::cost(&raw, packings),
            blocks::cost(&delta, packings),
            blocks::cost(&delta2, packings) + 1,
        ];
        let predictor =
            if costs[1] <= costs[0].min(costs[2]) { 1 } else { u8::from(costs[2] < costs[0]) * 2 };
        let some = |yes: bool, flag: u8| if yes { flag } else { 0 };
        let flags = self.form as u8
            | predictor << 2
            | some(gcd > 1, GCD)
            | some(!self.exceptions.is_empty(), EXCEPTIONS);
        out.extend_from_slice(&[flags, self.exponent]);
        put_uvarint(out, zigzag(self.whole[0]));
        if gcd > 1 {
            put_uvarint(out, gcd.cast_unsigned());
        }
        match predictor {
            0 => blocks::encode(&raw, packings, out),
            1 => blocks::encode(&delta, packings, out),
            _ => {
                put_uvarint(out, zigzag(first_delta));
                blocks::encode(&delta2, packings, out);
            }
        }
        if self.form == Form::Ulp {
            blocks::encode(&self.ulps, packings, out);
        }
        self.encode_exceptions(out);
    }

    fn encode_exceptions(&self, out: &mut Vec<u8>) {
        if self.exceptions.is_empty() {
            return;
        }
        put_uvarint(out, self.exceptions.len() as u64);
        let mut last = 0;
        for (at, v) in &self.exceptions {
            put_uvarint(out, (at - last) as u64);
            out.extend_from_slice(&v.to_le_bytes());
            last = *at;
        }
    }
}

/// Moves the bits of doubles to integers of the same order, and back.
#[inline]
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

/// The exponent that most of a few values need; `None` when they are no decimals.
fn sample_exponent(form: Form, vals: &[f64]) -> Option<u8> {
    let step = vals.len().div_ceil(N_SAMPLED);
    let (mut n, mut hits, mut exponent) = (0, 0, 0);
    for v in vals.iter().step_by(step.max(1)).filter(|v| v.is_finite()) {
        n += 1;
        if let Some(e) = form.exponent(*v, 0) {
            hits += 1;
            exponent = exponent.max(e);
        }
    }
    (hits * 4 >= n * 3 && hits > 0).then_some(exponent)
}

/// Greatest common divisor of all differences; 1 when there is none.
fn common_divisor(deltas: &[i64]) -> i64 {
    let mut gcd = 0u64;
    for d in deltas.iter().map(|d| d.unsigned_abs()).filter(|d| *d != 0) {
        let (mut a, mut b) = (d, gcd);
        while b != 0 {
            (a, b) = (b, remainder(a, b));
        }
        gcd = a;
        if gcd == 1 {
            break;
        }
    }
    i64::try_from(gcd.max(1)).unwrap_or(1)
}

/// `a % b`, by the far cheaper short division when both are short.
#[inline]
fn remainder(a: u64, b: u64) -> u64 {
    match (u32::try_from(a), u32::try_from(b)) {
        (Ok(a), Ok(b)) => u64::from(a % b),
        _ => a % b,
    }
}
