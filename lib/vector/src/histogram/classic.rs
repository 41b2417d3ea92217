//! Quantiles and fractions of classic histograms: cumulative counts under upper bounds.
#![expect(clippy::float_cmp, reason = "bounds and counts are compared exactly on purpose")]

/// Counts may differ by so much, relatively, from rounding alone.
const SMALL_DELTA: f64 = 1e-12;

/// A bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassicBucket {
    pub upper: f64,
    /// Cumulative.
    pub count: f64,
}

/// Counts that had to be raised to be cumulative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raised {
    /// Lowest and highest upper bound of their buckets.
    pub bounds: (f64, f64),
    pub max_diff: f64,
}

/// Adds buckets with equal bounds. `buckets` are sorted by bound.
fn coalesce(buckets: &mut Vec<ClassicBucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Adds buckets with equal bounds and makes counts cumulative. `buckets` are sorted by bound.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> Option<Raised> {
    coalesce(buckets);
    let mut raised: Option<Raised> = None;
    let mut highest = buckets.first().map_or(0.0, |b| b.count);
    for bucket in buckets.iter_mut().skip(1) {
        if bucket.count == highest {
            continue;
        }
        if almost_equal(highest, bucket.count) {
            bucket.count = highest;
        } else if bucket.count < highest {
            let before = raised.unwrap_or(Raised { bounds: (bucket.upper, 0.0), max_diff: 0.0 });
            raised = Some(Raised {
                bounds: (before.bounds.0, bucket.upper),
                max_diff: before.max_diff.max(highest - bucket.count),
            });
            bucket.count = highest;
        } else {
            highest = bucket.count;
        }
    }
    raised
}

fn almost_equal(a: f64, b: f64) -> bool {
    let size = a.abs() + b.abs();
    (a - b).abs() / size.min(f64::MAX) < SMALL_DELTA
}

/// The upper bound that a label `le` names, as Go reads numbers.
pub fn parse_bound(le: &str) -> Option<f64> {
    let plain = le.trim_start_matches(['+', '-']);
    let odd = plain.is_empty() || le.contains(char::is_whitespace);
    if odd { None } else { le.parse::<f64>().ok().filter(|v| !v.is_nan()) }
}

/// The φ-quantile of buckets that are sorted by bound, and what had to be mended to compute it;
/// ±Inf for φ outside of 0 to 1, NaN without a last bucket `+Inf` or without observations.
pub fn quantile(phi: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Raised>) {
    let no = |v| (v, None);
    if phi.is_nan() {
        return no(f64::NAN);
    }
    if phi < 0.0 {
        return no(f64::NEG_INFINITY);
    }
    if phi > 1.0 {
        return no(f64::INFINITY);
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return no(f64::NAN);
    }
    let raised = prepare(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, raised);
    }
    let mut rank = phi * observations;
    // Counts that are no numbers reach no rank.
    let at = buckets[..last].iter().position(|b| b.count >= rank).unwrap_or(last);
    if at == last {
        return (buckets[last - 1].upper, raised);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, raised);
    }
    let ClassicBucket { upper, mut count } = buckets[at];
    let mut lower = 0.0;
    if let Some(before) = at.checked_sub(1).map(|b| buckets[b]) {
        lower = before.upper;
        count -= before.count;
        rank -= before.count;
    }
    (lower + (upper - lower) * (rank / count), raised)
}

/// The share of observations between `low` and `high`, of buckets sorted by bound. Counts are taken as they are, as Prometheus does.
pub fn fraction(low: f64, high: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if low.is_nan() || high.is_nan() || buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let observations = buckets.last().map_or(0.0, |b| b.count);
    if observations == 0.0 {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let rank = |v| {
        let rank = rank_of(v, buckets);
        if rank > observations { observations } else { rank }
    };
    (rank(high) - rank(low)) / observations
}

/// How many observations lie below `v`, linear within buckets.
fn rank_of(v: f64, buckets: &[ClassicBucket]) -> f64 {
    let mut rank = 0.0;
    let mut lower = match buckets.first() {
        Some(first) if first.upper > 0.0 => 0.0,
        _ => f64::NEG_INFINITY,
    };
    for bucket in buckets {
        if lower >= v {
            return rank;
        }
        if v < bucket.upper {
            let within = bucket.count - rank;
            // An open end has no middle: below, all of the bucket is under `v`; above, nothing.
            return match (lower.is_infinite(), bucket.upper.is_infinite()) {
                (true, _) => bucket.count,
                (_, true) => rank,
                _ => rank + within * (v - lower) / (bucket.upper - lower),
            };
        }
        rank = bucket.count;
        lower = bucket.upper;
    }
    rank
}
