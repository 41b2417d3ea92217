//! Native histograms that go on from sample to sample.

use skald_proto::public::prometheus::histogram::{Count, ResetHint, ZeroCount};
use skald_proto::public::prometheus::{BucketSpan, Histogram};

use skald_testkit::rng::Rng;

const CUSTOM: i32 = -53;

/// Counts per bucket, in the order of their bounds.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    schema: i32,
    custom_values: Vec<f64>,
    positive: Vec<i64>,
    negative: Vec<i64>,
    zero: i64,
    sum: f64,
}

// === impl Buckets ===

impl Buckets {
    pub(super) fn new(schema: i32) -> Self {
        let (positive, negative) = (vec![0; 6], vec![0; 3]);
        Self { schema, custom_values: Vec::new(), positive, negative, zero: 0, sum: 0.0 }
    }

    pub(super) fn custom(bounds: &[f64]) -> Self {
        let positive = vec![0; bounds.len() + 1];
        let custom_values = bounds.to_vec();
        Self { schema: CUSTOM, custom_values, positive, negative: Vec::new(), zero: 0, sum: 0.0 }
    }

    /// Counts go up; now and then it begins anew, or in another resolution.
    pub(super) fn counter(mut self, rng: &mut Rng, times: &[i64]) -> Vec<Histogram> {
        let mut out = Vec::new();
        for t in times {
            if rng.chance(1) {
                self.clear();
                if self.schema != CUSTOM && rng.chance(50) {
                    self.schema = 1 - self.schema;
                }
            }
            self.observe(rng);
            out.push(self.whole(*t));
        }
        out
    }

    /// Any counts each time, and fractions of them.
    pub(super) fn gauge(mut self, rng: &mut Rng, times: &[i64]) -> Vec<Histogram> {
        let mut out = Vec::new();
        for t in times {
            self.clear();
            self.observe(rng);
            out.push(self.fractions(*t));
        }
        out
    }

    fn clear(&mut self) {
        self.positive.iter_mut().chain(&mut self.negative).for_each(|c| *c = 0);
        (self.zero, self.sum) = (0, 0.0);
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn observe(&mut self, rng: &mut Rng) {
        // Never one side alone: which zeros are stored beside it is not ours to know.
        self.positive[0] += 1;
        self.negative.iter_mut().take(1).for_each(|c| *c += 1);
        for _ in 0..rng.below(4) {
            let n = rng.between(1, 6);
            match rng.below(10) {
                0 if self.schema != CUSTOM => self.zero += n,
                1..3 if !self.negative.is_empty() => {
                    let i = rng.below(self.negative.len() as u64);
                    self.negative[usize::try_from(i).unwrap_or(0)] += n;
                    self.sum -= rng.unit() * n as f64;
                }
                _ => {
                    let i = rng.below(self.positive.len() as u64);
                    self.positive[usize::try_from(i).unwrap_or(0)] += n;
                    self.sum += rng.unit() * n as f64 * 3.0;
                }
            }
        }
    }

    fn total(&self) -> i64 {
        self.positive.iter().chain(&self.negative).sum::<i64>() + self.zero
    }

    fn layout(&self, timestamp: i64) -> Histogram {
        let first = if self.schema == CUSTOM { 0 } else { -2 };
        let span = |counts: &[i64]| {
            let length = u32::try_from(counts.len()).unwrap_or(0);
            let spans = [BucketSpan { offset: first, length }];
            spans.into_iter().filter(|s| s.length > 0).collect()
        };
        Histogram {
            sum: self.sum,
            schema: self.schema,
            zero_threshold: if self.schema == CUSTOM { 0.0 } else { 1e-4 },
            positive_spans: span(&self.positive),
            negative_spans: span(&self.negative),
            custom_values: self.custom_values.clone(),
            timestamp,
            ..Histogram::default()
        }
    }

    fn whole(&self, timestamp: i64) -> Histogram {
        let deltas = |counts: &[i64]| {
            let before = std::iter::once(&0).chain(counts);
            counts.iter().zip(before).map(|(c, b)| c - b).collect()
        };
        Histogram {
            count: Some(Count::CountInt(self.total().unsigned_abs())),
            zero_count: Some(ZeroCount::ZeroCountInt(self.zero.unsigned_abs())),
            positive_deltas: deltas(&self.positive),
            negative_deltas: deltas(&self.negative),
            ..self.layout(timestamp)
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn fractions(&self, timestamp: i64) -> Histogram {
        let counts = |counts: &[i64]| counts.iter().map(|c| *c as f64 / 2.0).collect();
        Histogram {
            count: Some(Count::CountFloat(self.total() as f64 / 2.0)),
            zero_count: Some(ZeroCount::ZeroCountFloat(self.zero as f64 / 2.0)),
            positive_counts: counts(&self.positive),
            negative_counts: counts(&self.negative),
            reset_hint: ResetHint::Gauge.into(),
            ..self.layout(timestamp)
        }
    }
}
