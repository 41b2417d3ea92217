//! Native histograms with absolute float counts, the form in which queries compute.
//!
//! Buckets are kept sparse: `(index, count)` sorted by index, never with a zero count, so that a
//! histogram is always compact. For exponential schemas (−4..=8) bucket `i` is
//! `(2^((i−1)·2^−schema), 2^(i·2^−schema)]` and mirrored on the negative side; with custom bounds
//! (schema −53) bucket `i` is `(bounds[i−1], bounds[i]]`, the last one open-ended.

mod accumulate;
mod arithmetic;
mod bucket;
pub mod classic;
mod estimate;
mod reset;
mod trim;
mod zero;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use skald_model::{BucketCounts, Histogram, ResetHint, Span};

pub use self::accumulate::HistogramSum;
pub use self::arithmetic::{HistogramError, MergeNotes};
pub use self::bucket::{Boundary, Bucket};
pub use self::estimate::QuantileNote;
pub use self::trim::Keep;

/// Sparse bucket counts of one side.
pub type Buckets = Vec<(i32, f64)>;

/// A native histogram with float counts.
///
/// Invariant: buckets are sorted by index, unique, and not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatHistogram {
    pub schema: i32,
    pub reset_hint: ResetHint,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Upper bounds of custom buckets, ascending, without +Inf.
    pub custom_values: Arc<[f64]>,
}

impl FloatHistogram {
    /// No observations, in the layout of `like`.
    pub fn empty_like(like: &Self) -> Self {
        Self {
            schema: like.schema,
            reset_hint: like.reset_hint,
            zero_threshold: like.zero_threshold,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
            custom_values: Arc::clone(&like.custom_values),
        }
    }

    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == Histogram::CUSTOM_BUCKETS
    }

    /// How many float samples it weighs in a query's sample limit.
    pub fn size_in_samples(&self) -> usize {
        (176 + 8 * (self.positive.len() + self.negative.len() + self.custom_values.len())) / 16
    }

    /// Sum over count.
    pub fn avg(&self) -> f64 {
        self.sum / self.count
    }

    /// Whether both count the same in the same layout, bit for bit. What is known about resets
    /// does not matter.
    pub fn equals(&self, other: &Self) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let sides = |a: &Buckets, b: &Buckets| {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0 && bits(x.1, y.1))
        };
        self.schema == other.schema
            && bits(self.count, other.count)
            && bits(self.sum, other.sum)
            && bits(self.zero_count, other.zero_count)
            && (self.uses_custom_buckets() || bits(self.zero_threshold, other.zero_threshold))
            && arithmetic::same_bounds(&self.custom_values, &other.custom_values)
            && sides(&self.positive, &other.positive)
            && sides(&self.negative, &other.negative)
    }

    /// Drops buckets that became zero.
    pub fn compact(&mut self) {
        for side in [&mut self.positive, &mut self.negative] {
            if side.iter().any(|(_, c)| is_zero(*c)) {
                side.retain(|(_, c)| !is_zero(*c));
            }
        }
    }

    /// The spans that cover the positive (or negative) buckets, as the wire formats want them.
    pub fn spans(buckets: &[(i32, f64)]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut next: i64 = 0;
        for (index, _) in buckets {
            let index = i64::from(*index);
            match spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => {
                    let offset = i32::try_from(index - next).unwrap_or(i32::MAX);
                    spans.push(Span { offset, length: 1 });
                }
            }
            next = index + 1;
        }
        spans
    }

    /// The model's form of the same histogram, with float counts.
    pub fn to_model(&self) -> Histogram {
        let counts = |side: &Buckets| side.iter().map(|(_, c)| *c).collect();
        Histogram {
            schema: self.schema,
            reset_hint: self.reset_hint,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: Self::spans(&self.positive),
            negative_spans: Self::spans(&self.negative),
            custom_values: self.custom_values.to_vec(),
            counts: BucketCounts::Float {
                count: self.count,
                zero_count: self.zero_count,
                positive: counts(&self.positive),
                negative: counts(&self.negative),
            },
        }
    }
}

impl From<&Histogram> for FloatHistogram {
    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 lose their last bits")]
    fn from(h: &Histogram) -> Self {
        let (count, zero_count, positive, negative) = match &h.counts {
            BucketCounts::Integer { count, zero_count, positive, negative } => (
                *count as f64,
                *zero_count as f64,
                sparse(&h.positive_spans, absolute(positive)),
                sparse(&h.negative_spans, absolute(negative)),
            ),
            BucketCounts::Float { count, zero_count, positive, negative } => (
                *count,
                *zero_count,
                sparse(&h.positive_spans, positive.iter().copied()),
                sparse(&h.negative_spans, negative.iter().copied()),
            ),
        };
        Self {
            schema: h.schema,
            reset_hint: h.reset_hint,
            zero_threshold: h.zero_threshold,
            zero_count,
            count,
            sum: h.sum,
            positive,
            negative,
            custom_values: h.custom_values.as_slice().into(),
        }
    }
}

/// Whether a bucket with this count may be left out.
pub(crate) fn is_zero(count: f64) -> bool {
    count == 0.0
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 lose their last bits")]
fn absolute(deltas: &[i64]) -> impl Iterator<Item = f64> + '_ {
    deltas.iter().scan(0i64, |acc, d| {
        *acc = acc.wrapping_add(*d);
        Some(*acc as f64)
    })
}

/// Lays counts out over spans. Counts without a span and spans without counts are dropped.
fn sparse(spans: &[Span], mut counts: impl Iterator<Item = f64>) -> Buckets {
    let mut out = Vec::with_capacity(counts.size_hint().1.unwrap_or(0));
    let mut index: i32 = 0;
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            let ordered = out.last().is_none_or(|(last, _)| *last < index);
            if !is_zero(count) && ordered {
                out.push((index, count));
            }
            index = index.saturating_add(1);
        }
    }
    out
}
