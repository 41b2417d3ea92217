//! Bucket boundaries and iteration.

use super::{Buckets, FloatHistogram};

/// Which ends belong to a bucket; the numbers are those of the JSON format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// `(lower, upper]`
    OpenLeft = 0,
    /// `[lower, upper)`
    OpenRight = 1,
    /// `(lower, upper)`
    OpenBoth = 2,
    /// `[lower, upper]`
    ClosedBoth = 3,
}

/// A bucket with its boundaries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub boundary: Boundary,
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// The upper bound of exponential bucket `index`.
pub(crate) fn exponential_bound(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let shift = u32::try_from(-schema).unwrap_or(0).min(31);
        let exp = i64::from(index) << shift;
        // The bucket that would end at 2^1024 ends at the largest float.
        return if exp == 1024 { f64::MAX } else { exp2(exp) };
    }
    let shift = u32::try_from(schema).unwrap_or(0).min(30);
    let per_power = 1i32 << shift;
    let (whole, part) = (index >> shift, index & (per_power - 1));
    if part == 0 && whole == 1024 {
        return f64::MAX;
    }
    let fraction = match FINEST.checked_sub(shift) {
        Some(finer) => known_fraction(part << finer),
        None => (f64::from(part) / f64::from(per_power)).exp2(),
    };
    fraction * exp2(i64::from(whole))
}

/// The highest resolution that bounds are tabled for.
const FINEST: u32 = 8;

/// How far Prometheus's bounds 2^(i/256) lie beside the nearest float, in steps of the last digit:
/// a digit means down, `+` one up. Bounds appear in answers and in labels made by `count_values`,
/// where another last digit would be another series.
const DEVIATIONS: &[u8; 256] = b"\
    00000010001000000012001111111111001000100111001100110+1100110011\
    0000001111221021001000100001000000010+00102200110111001010221111\
    1010112211211011111111212122212200110010112210221122101121221121\
    1132112122322232222222333344324311211222213311222132112222432233";

/// 2^(i/256), for i from 0 to 255.
fn known_fraction(i: i32) -> f64 {
    let nearest = (f64::from(i) / 256.0).exp2();
    let deviation = usize::try_from(i).ok().and_then(|i| DEVIATIONS.get(i)).copied();
    match deviation.unwrap_or(b'0') {
        b'+' => nearest.next_up(),
        digit => (b'0'..digit).fold(nearest, |v, _| v.next_down()),
    }
}

fn exp2(exp: i64) -> f64 {
    i32::try_from(exp.clamp(-4000, 4000)).map_or(f64::NAN, |e| f64::from(e).exp2())
}

/// The bucket of a lower resolution that contains bucket `index`.
pub(crate) fn downscaled_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = u32::try_from(from - to).unwrap_or(0).min(31);
    ((index.saturating_sub(1)) >> shift) + 1
}

/// Adds neighbours that fall into one bucket after `map`, which must not decrease.
pub(crate) fn remap(buckets: &mut Buckets, map: impl Fn(i32) -> i32) {
    let mut out: Buckets = Vec::with_capacity(buckets.len());
    for (index, count) in buckets.drain(..) {
        let index = map(index);
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => out.push((index, count)),
        }
    }
    *buckets = out;
}

impl FloatHistogram {
    /// Lower and upper bound of positive bucket `index`, before clipping to the zero bucket.
    pub(crate) fn bounds(&self, index: i32) -> (f64, f64) {
        if !self.uses_custom_buckets() {
            let lower = exponential_bound(index.saturating_sub(1), self.schema);
            return (lower, exponential_bound(index, self.schema));
        }
        let at = |i: i32| usize::try_from(i).ok().and_then(|i| self.custom_values.get(i)).copied();
        let lower = at(index.saturating_sub(1)).unwrap_or(f64::NEG_INFINITY);
        (lower, at(index).unwrap_or(f64::INFINITY))
    }

    pub(super) fn positive_bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let (mut lower, upper) = self.bounds(index);
        let mut boundary = Boundary::OpenLeft;
        if self.uses_custom_buckets() {
            if index == 0 {
                boundary = Boundary::ClosedBoth;
            }
        } else if lower < self.zero_threshold {
            lower = self.zero_threshold;
        }
        Bucket { boundary, lower, upper, count }
    }

    pub(super) fn negative_bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let (lower, upper) = self.bounds(index);
        let nearest = lower.max(self.zero_threshold);
        Bucket { boundary: Boundary::OpenRight, lower: -upper, upper: -nearest, count }
    }

    /// `None` when it is empty, or negative: as in Prometheus only the printed form has that.
    pub(super) fn zero_bucket(&self) -> Option<Bucket> {
        self.any_zero_bucket().filter(|b| b.count > 0.0)
    }

    fn any_zero_bucket(&self) -> Option<Bucket> {
        (!super::is_zero(self.zero_count)).then_some(Bucket {
            boundary: Boundary::ClosedBoth,
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            count: self.zero_count,
        })
    }

    /// The buckets that are not empty, from the lowest to the highest, clipped to the zero bucket;
    /// a zero bucket below nothing is left out.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.with_zero(self.zero_bucket())
    }

    fn with_zero(&self, zero: Option<Bucket>) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let negative = self.negative.iter().rev().map(|b| self.negative_bucket(*b));
        let positive = self.positive.iter().map(|b| self.positive_bucket(*b));
        negative.chain(zero).chain(positive)
    }
}

/// Prints as Prometheus does: `{count:10, sum:5, [-0.001,0.001]:2, (1,2]:8}`.
impl std::fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::function::format_float as num;
        write!(f, "{{count:{}, sum:{}", num(self.count), num(self.sum))?;
        for b in self.with_zero(self.any_zero_bucket()) {
            let (open, close) = match b.boundary {
                Boundary::OpenLeft => ('(', ']'),
                Boundary::OpenRight => ('[', ')'),
                Boundary::OpenBoth => ('(', ')'),
                Boundary::ClosedBoth => ('[', ']'),
            };
            write!(f, ", {open}{},{}{close}:{}", num(b.lower), num(b.upper), num(b.count))?;
        }
        f.write_str("}")
    }
}
