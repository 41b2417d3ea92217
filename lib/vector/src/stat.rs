//! Numerics: compensated sums, running means and variances, quantiles.
#![expect(clippy::float_cmp, reason = "infinities and exact ranks are compared on purpose")]

/// Neumaier-compensated sum. Infinite sums drop the compensation, so that they stay infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KahanSum {
    pub sum: f64,
    pub compensation: f64,
}

impl KahanSum {
    pub fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    pub fn add(&mut self, v: f64) {
        let total = self.sum + v;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= v.abs() {
            self.compensation += (self.sum - total) + v;
        } else {
            self.compensation += (v - total) + self.sum;
        }
        self.sum = total;
    }

    /// As [`add`](Self::add), without branches: for loops over many sums.
    #[inline]
    pub(crate) fn add_evenly(&mut self, v: f64) {
        let total = self.sum + v;
        let larger = self.sum.abs() >= v.abs();
        let (large, small) = if larger { (self.sum, v) } else { (v, self.sum) };
        let compensation = self.compensation + ((large - total) + small);
        self.compensation = if total.is_infinite() { 0.0 } else { compensation };
        self.sum = total;
    }

    pub fn value(&self) -> f64 {
        self.sum + self.compensation
    }
}

/// Mean of a stream of values: a compensated sum, and a running mean from where the sum overflows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    acc: KahanSum,
    n: f64,
    incremental: bool,
}

impl Mean {
    pub fn add(&mut self, v: f64) {
        self.n += 1.0;
        if !self.incremental {
            let mut next = self.acc;
            next.add(v);
            if !next.sum.is_infinite() || self.n == 1.0 {
                self.acc = next;
                return;
            }
            self.incremental = true;
            self.acc.sum /= self.n - 1.0;
            self.acc.compensation /= self.n - 1.0;
        }
        let keep = (self.n - 1.0) / self.n;
        self.acc.sum *= keep;
        self.acc.compensation *= keep;
        self.acc.add(v / self.n);
    }

    /// NaN when nothing was added.
    pub fn value(&self) -> f64 {
        if self.incremental {
            self.acc.value()
        } else {
            self.acc.sum / self.n + self.acc.compensation / self.n
        }
    }
}

/// Population variance by Welford's recurrence, with compensated mean and sum of squares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variance {
    n: f64,
    mean: KahanSum,
    squares: KahanSum,
}

impl Variance {
    pub fn add(&mut self, v: f64) {
        self.n += 1.0;
        let delta = v - self.mean.value();
        self.mean.add(delta / self.n);
        self.squares.add(delta * (v - self.mean.value()));
    }

    pub fn variance(&self) -> f64 {
        self.squares.value() / self.n
    }

    pub fn stddev(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// Population variance by Welford's recurrence without compensation: what Prometheus's `stddev` and
/// `stdvar` over series are, whose last digits would differ otherwise, and more than these where the
/// values are large beside their distances.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainVariance {
    n: f64,
    mean: f64,
    squares: f64,
}

impl PlainVariance {
    pub fn add(&mut self, v: f64) {
        self.n += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (v - self.mean);
    }

    pub fn variance(&self) -> f64 {
        self.squares / self.n
    }

    pub fn stddev(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// The `phi`-quantile with linear interpolation between ranks; sorts `values`.
///
/// No values or a NaN `phi` give NaN, `phi` below 0 −Inf, above 1 +Inf. NaN sorts first.
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    quantile_sorted(phi, values)
}

/// As [`quantile`], of values that are sorted (NaN first) and not empty, `phi` within 0..=1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rank < len")]
pub fn quantile_sorted(phi: f64, values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let rank = phi * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// Total order of floats in which NaN comes before everything.
pub fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal),
    }
}

/// Minimum that ignores NaN unless everything is NaN.
pub fn min_ignoring_nan(acc: f64, v: f64) -> f64 {
    if acc.is_nan() || v < acc { v } else { acc }
}

/// Maximum that ignores NaN unless everything is NaN.
pub fn max_ignoring_nan(acc: f64, v: f64) -> f64 {
    if acc.is_nan() || v > acc { v } else { acc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_without_branches_are_the_same() {
        let values = [1.0, -0.0, 1e100, f64::NAN, f64::INFINITY, -f64::INFINITY, 3.5, -1e100];
        for from in 0..values.len() {
            let (mut one, mut other) = (KahanSum::default(), KahanSum::default());
            for v in values.iter().cycle().skip(from).take(6) {
                one.add(*v);
                other.add_evenly(*v);
                assert_eq!(one.sum.to_bits(), other.sum.to_bits());
                assert_eq!(one.compensation.to_bits(), other.compensation.to_bits());
            }
        }
    }

    #[test]
    fn sums_keep_small_terms_beside_large_ones() {
        let mut s = KahanSum::default();
        for v in [1.0, 1e100, 1.0, -1e100] {
            s.add(v);
        }
        assert_eq!(s.value(), 2.0);
        let mut s = KahanSum::default();
        for v in [f64::INFINITY, 1.0] {
            s.add(v);
        }
        assert_eq!(s.value(), f64::INFINITY);
    }

    #[test]
    fn means_survive_overflow_of_the_sum() {
        let mut m = Mean::default();
        for _ in 0..4 {
            m.add(1.5e308);
        }
        assert!((m.value() / 1.5e308 - 1.0).abs() < 1e-12);
        let mut m = Mean::default();
        for v in [1.0, f64::INFINITY, 2.0] {
            m.add(v);
        }
        assert_eq!(m.value(), f64::INFINITY);
        assert!(Mean::default().value().is_nan());
    }

    #[test]
    fn quantiles_interpolate_between_ranks() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile(0.0, &mut [3.0, 1.0]), 1.0);
        assert_eq!(quantile(1.0, &mut [3.0, 1.0]), 3.0);
        assert_eq!(quantile(-1.0, &mut [3.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &mut [3.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn variance_is_of_the_population() {
        let mut v = Variance::default();
        for x in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            v.add(x);
        }
        assert!((v.variance() - 4.0).abs() < 1e-12);
        assert!((v.stddev() - 2.0).abs() < 1e-12);
    }
}
