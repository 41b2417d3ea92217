//! Native histograms, the same message in both versions: read losslessly and checked as Prometheus does.

use skald_limits::Limits;
use skald_model::{BucketCounts, Histogram, ResetHint, Span};

use crate::wire::{Fields, Malformed, Value, doubles, varints, zigzag};

/// Buckets of one histogram that are read at all; more is no honest client.
const HARD_MAX_BUCKETS: usize = 1 << 16;
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;

/// What is wrong with a histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    Schema(i32),
    TooManyBuckets { n: usize, limit: usize },
    SpanNegativeOffset,
    SpansBucketsMismatch { spans: u64, buckets: usize },
    NegativeCount,
    CountMismatch { count: u64, buckets: u64 },
    CountNotBigEnough { count: u64, buckets: u64 },
    CustomBoundsInfinite,
    CustomBoundsUnsorted,
    CustomMismatch(&'static str),
}

/// A histogram with its times in milliseconds.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) ts: i64,
    /// 0 = unknown.
    pub(super) start: i64,
    pub(super) histogram: Histogram,
}

/// Reads and checks one `Histogram` message.
pub(super) fn read(message: &[u8], limits: &Limits) -> Result<Result<Stamped, Fault>, Malformed> {
    let mut parts = Parts::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        parts.field(number, value)?;
    }
    Ok(parts.build(limits))
}

#[derive(Debug, Default)]
struct Parts {
    ts: i64,
    start: i64,
    is_float: bool,
    count_int: u64,
    count_float: f64,
    zero_int: u64,
    zero_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative: Side,
    positive: Side,
    reset_hint: u64,
    custom_values: Vec<f64>,
    n_values: usize,
}

/// Buckets on one side of zero.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

// === impl Parts ===

impl Parts {
    fn field(&mut self, number: u64, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => {
                self.count_int = value.varint()?;
                self.is_float = false;
            }
            2 => {
                self.count_float = value.double()?;
                self.is_float = true;
            }
            3 => self.sum = value.double()?,
            4 => self.schema = value.sint32()?,
            5 => self.zero_threshold = value.double()?,
            6 => self.zero_int = value.varint()?,
            7 => self.zero_float = value.double()?,
            8 | 11 => {
                let span = span(value.bytes()?)?;
                self.side(number == 11).spans.push(span);
                self.count_value()?;
            }
            9 | 12 => varints(value, |v| {
                self.side(number == 12).deltas.push(zigzag(v));
                self.count_value()
            })?,
            10 | 13 => doubles(value, |v| {
                self.side(number == 13).counts.push(v);
                self.count_value()
            })?,
            14 => self.reset_hint = value.varint()?,
            15 => self.ts = value.int64()?,
            16 => doubles(value, |v| {
                self.custom_values.push(v);
                self.count_value()
            })?,
            // Only in version 2.
            17 => self.start = value.int64().unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    fn side(&mut self, positive: bool) -> &mut Side {
        if positive { &mut self.positive } else { &mut self.negative }
    }

    fn count_value(&mut self) -> Result<(), Malformed> {
        self.n_values += 1;
        if self.n_values > 4 * HARD_MAX_BUCKETS {
            return Err(Malformed("histogram with more than 262144 values"));
        }
        Ok(())
    }

    fn build(self, limits: &Limits) -> Result<Stamped, Fault> {
        self.check(limits)?;
        let (positive, negative) = (self.positive, self.negative);
        let counts = if self.is_float {
            BucketCounts::Float {
                count: self.count_float,
                zero_count: self.zero_float,
                positive: positive.counts,
                negative: negative.counts,
            }
        } else {
            BucketCounts::Integer {
                count: self.count_int,
                zero_count: self.zero_int,
                positive: positive.deltas,
                negative: negative.deltas,
            }
        };
        let reset_hint = match self.reset_hint {
            1 => ResetHint::Yes,
            2 => ResetHint::No,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        let histogram = Histogram {
            schema: self.schema,
            reset_hint,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: positive.spans,
            negative_spans: negative.spans,
            custom_values: self.custom_values,
            counts,
        };
        Ok(Stamped { ts: self.ts, start: self.start, histogram })
    }

    fn check(&self, limits: &Limits) -> Result<(), Fault> {
        let n = self.n_buckets(true) + self.n_buckets(false);
        let limit = limits.max_native_histogram_buckets;
        if limit > 0 && n > limit {
            return Err(Fault::TooManyBuckets { n, limit });
        }
        match self.schema {
            Histogram::CUSTOM_BUCKETS => self.check_custom()?,
            MIN_SCHEMA..=MAX_SCHEMA if self.custom_values.is_empty() => {}
            MIN_SCHEMA..=MAX_SCHEMA => {
                return Err(Fault::CustomMismatch("bounds in an exponential histogram"));
            }
            other => return Err(Fault::Schema(other)),
        }
        for positive in [true, false] {
            self.check_spans(positive)?;
        }
        if self.is_float { self.check_float() } else { self.check_integer() }
    }

    fn n_buckets(&self, positive: bool) -> usize {
        let side = if positive { &self.positive } else { &self.negative };
        if self.is_float { side.counts.len() } else { side.deltas.len() }
    }

    fn check_spans(&self, positive: bool) -> Result<(), Fault> {
        let side = if positive { &self.positive } else { &self.negative };
        // The first offset is a position and may be negative, the others are gaps.
        if side.spans.iter().skip(1).any(|s| s.offset < 0) {
            return Err(Fault::SpanNegativeOffset);
        }
        let spans: u64 = side.spans.iter().map(|s| u64::from(s.length)).sum();
        let buckets = self.n_buckets(positive);
        if spans != buckets as u64 {
            return Err(Fault::SpansBucketsMismatch { spans, buckets });
        }
        Ok(())
    }

    fn check_integer(&self) -> Result<(), Fault> {
        let mut buckets = self.zero_int;
        for side in [&self.positive, &self.negative] {
            let mut here = 0i64;
            for delta in &side.deltas {
                here = here.checked_add(*delta).ok_or(Fault::NegativeCount)?;
                let n = u64::try_from(here).map_err(|_| Fault::NegativeCount)?;
                buckets = buckets.saturating_add(n);
            }
        }
        let count = self.count_int;
        // NaN observations, and the staleness marker, are counted but in no bucket.
        if self.sum.is_nan() {
            if buckets > count {
                return Err(Fault::CountNotBigEnough { count, buckets });
            }
        } else if buckets != count {
            return Err(Fault::CountMismatch { count, buckets });
        }
        Ok(())
    }

    fn check_float(&self) -> Result<(), Fault> {
        let buckets = self.positive.counts.iter().chain(&self.negative.counts);
        // Float counts carry rounding errors, so their sum is not compared.
        let mut all = buckets.chain([&self.count_float, &self.zero_float]);
        if all.any(|n| *n < 0.0) { Err(Fault::NegativeCount) } else { Ok(()) }
    }

    fn check_custom(&self) -> Result<(), Fault> {
        let bounds = &self.custom_values;
        if bounds.iter().any(|b| !b.is_finite()) {
            return Err(Fault::CustomBoundsInfinite);
        }
        if !bounds.is_sorted_by(|a, b| a < b) {
            return Err(Fault::CustomBoundsUnsorted);
        }
        if !self.negative.spans.is_empty() || self.n_buckets(false) > 0 {
            return Err(Fault::CustomMismatch("negative buckets"));
        }
        if self.zero_int > 0 || self.zero_float != 0.0 || self.zero_threshold != 0.0 {
            return Err(Fault::CustomMismatch("a zero bucket"));
        }
        let mut end = 0i64;
        for span in &self.positive.spans {
            if span.offset < 0 {
                return Err(Fault::SpanNegativeOffset);
            }
            end = end.saturating_add(i64::from(span.offset) + i64::from(span.length));
        }
        // One bucket more than bounds: the one up to infinity.
        if usize::try_from(end).is_ok_and(|end| end > bounds.len() + 1) {
            return Err(Fault::CustomMismatch("buckets beyond the bounds"));
        }
        Ok(())
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Schema(_) => "err-skald-invalid-native-histogram-schema",
            Self::TooManyBuckets { .. } => "err-skald-max-native-histogram-buckets",
            Self::SpanNegativeOffset => "err-skald-native-histogram-span-negative-offset",
            Self::SpansBucketsMismatch { .. } => {
                "err-skald-native-histogram-spans-buckets-mismatch"
            }
            Self::NegativeCount => "err-skald-native-histogram-negative-bucket-count",
            Self::CountMismatch { .. } => "err-skald-native-histogram-count-mismatch",
            Self::CountNotBigEnough { .. } => "err-skald-native-histogram-count-not-big-enough",
            Self::CustomBoundsInfinite => "err-skald-native-histogram-custom-buckets-infinite",
            Self::CustomBoundsUnsorted => "err-skald-native-histogram-custom-buckets-invalid",
            Self::CustomMismatch(_) => "err-skald-native-histogram-custom-buckets-mismatch",
        }
    }

    pub(super) fn describe(&self, limits: &Limits) -> String {
        match self {
            Self::Schema(schema) => {
                format!("histogram schema {schema} is neither -53 nor between -4 and 8")
            }
            Self::TooManyBuckets { n, .. } => format!(
                "{n} histogram buckets exceed the limit of {} (setting max_native_histogram_buckets)",
                limits.max_native_histogram_buckets
            ),
            Self::SpanNegativeOffset => "histogram span with a negative offset".to_owned(),
            Self::SpansBucketsMismatch { spans, buckets } => {
                format!("histogram spans need {spans} buckets, there are {buckets}")
            }
            Self::NegativeCount => "histogram with a negative count".to_owned(),
            Self::CountMismatch { count, buckets } | Self::CountNotBigEnough { count, buckets } => {
                format!("histogram count is {count}, its buckets hold {buckets}")
            }
            Self::CustomBoundsInfinite => "custom bucket bounds must be finite".to_owned(),
            Self::CustomBoundsUnsorted => "custom bucket bounds must ascend".to_owned(),
            Self::CustomMismatch(what) => format!("histogram with custom buckets: {what}"),
        }
    }
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => span.offset = value.sint32()?,
            2 => span.length = value.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}
