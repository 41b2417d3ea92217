//! Native histograms in Prometheus chunks: a layout of buckets, then counts as changes of changes.
//!
//! A chunk promises its reader that all its histograms have one layout and that no counter was
//! reset within it; [`follows`] says whether a histogram can keep that promise.

use skald_model::{BucketCounts, Histogram, ResetHint, Span};

use super::bits::{Bits, Xor};

/// What the header of a chunk says about how it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Unknown = 0x00,
    NoReset = 0x40,
    Reset = 0x80,
    Gauge = 0xc0,
}

/// A chunk under construction.
#[derive(Debug)]
pub(super) struct Encoder {
    bits: Bits,
    time: i64,
    interval: i64,
    counts: Counts,
    sum: Xor,
}

#[derive(Debug)]
enum Counts {
    /// The last value and the last change of each: count, zero count, buckets.
    Integer(Vec<(i64, i64)>),
    Float(Vec<Xor>),
}

impl Begin {
    /// What `h` alone says.
    pub(super) fn of(h: &Histogram) -> Self {
        match h.reset_hint {
            ResetHint::Yes => Self::Reset,
            ResetHint::Gauge => Self::Gauge,
            // That of a series of which another part may have been left out.
            ResetHint::No | ResetHint::Unknown => Self::Unknown,
        }
    }
}

/// `None` when `h` may stand in the chunk of `prev`, else how its own begins.
pub(super) fn follows(prev: &Histogram, h: &Histogram) -> Option<Begin> {
    let (was_gauge, is_gauge) =
        (prev.reset_hint == ResetHint::Gauge, h.reset_hint == ResetHint::Gauge);
    let integer = |h: &Histogram| matches!(h.counts, BucketCounts::Integer { .. });
    if prev.is_stale() || integer(prev) != integer(h) {
        return Some(Begin::of(h));
    }
    // Nothing but the mark is kept of it.
    if h.is_stale() {
        return None;
    }
    if was_gauge != is_gauge || h.reset_hint == ResetHint::Yes || !same_layout(prev, h) {
        return Some(Begin::of(h));
    }
    (!is_gauge && decreased(prev, h)).then_some(Begin::Reset)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && bits(&a.custom_values) == bits(&b.custom_values)
}

/// Whether any count is smaller; both have the same layout.
fn decreased(a: &Histogram, b: &Histogram) -> bool {
    match (&a.counts, &b.counts) {
        (
            BucketCounts::Integer { count, zero_count, positive, negative },
            BucketCounts::Integer { count: c, zero_count: z, positive: p, negative: n },
        ) => c < count || z < zero_count || any_less(positive, p) || any_less(negative, n),
        (
            BucketCounts::Float { count, zero_count, positive, negative },
            BucketCounts::Float { count: c, zero_count: z, positive: p, negative: n },
        ) => {
            let less = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| b < a);
            c < count || z < zero_count || less(positive, p) || less(negative, n)
        }
        _ => true,
    }
}

/// Compares buckets that are given as differences to their neighbours.
fn any_less(a: &[i64], b: &[i64]) -> bool {
    let mut change = 0i64;
    a.iter().zip(b).any(|(a, b)| {
        change = change.wrapping_add(b.wrapping_sub(*a));
        change < 0
    })
}

/// Whether there are as many buckets as the spans say.
pub(super) fn is_sound(h: &Histogram) -> bool {
    let n = |spans: &[Span]| spans.iter().map(|s| u64::from(s.length)).sum::<u64>();
    let (positive, negative) = match &h.counts {
        BucketCounts::Integer { positive, negative, .. } => (positive.len(), negative.len()),
        BucketCounts::Float { positive, negative, .. } => (positive.len(), negative.len()),
    };
    n(&h.positive_spans) == positive as u64 && n(&h.negative_spans) == negative as u64
}

// === impl Encoder ===

impl Encoder {
    /// A chunk whose first sample is `h`.
    pub(super) fn new(begin: Begin, time: i64, h: &Histogram) -> Self {
        let mut bits = Bits::new(&[0, 0, begin as u8]);
        let empty = emptied(h);
        let h = empty.as_ref().unwrap_or(h);
        layout(h, &mut bits);
        bits.int(time);
        let counts = match &h.counts {
            BucketCounts::Integer { count, zero_count, positive, negative } => {
                bits.uint(*count);
                bits.uint(*zero_count);
                bits.float(h.sum);
                let buckets = positive.iter().chain(negative).copied();
                buckets.clone().for_each(|b| bits.int(b));
                let totals = [count.cast_signed(), zero_count.cast_signed()];
                Counts::Integer(totals.into_iter().chain(buckets).map(|v| (v, 0)).collect())
            }
            BucketCounts::Float { count, zero_count, positive, negative } => {
                for v in [*count, *zero_count, h.sum] {
                    bits.float(v);
                }
                let buckets = positive.iter().chain(negative).copied();
                buckets.clone().for_each(|b| bits.float(b));
                let totals = [*count, *zero_count];
                Counts::Float(totals.into_iter().chain(buckets).map(Xor::after).collect())
            }
        };
        Self { bits, time, interval: 0, counts, sum: Xor::after(h.sum) }
    }

    /// Appends a histogram that [`follows`] the one before.
    pub(super) fn push(&mut self, time: i64, h: &Histogram) {
        let empty = emptied(h);
        let (is_stale, h) = (empty.is_some(), empty.as_ref().unwrap_or(h));
        let interval = time.wrapping_sub(self.time);
        self.bits.int(interval.wrapping_sub(self.interval));
        (self.time, self.interval) = (time, interval);
        match (&h.counts, &mut self.counts) {
            (
                BucketCounts::Integer { count, zero_count, positive, negative },
                Counts::Integer(last),
            ) => {
                if is_stale {
                    self.bits.put(0, 2);
                    return self.sum.put(h.sum, &mut self.bits);
                }
                let totals = [count.cast_signed(), zero_count.cast_signed()];
                let values = totals.into_iter().chain(positive.iter().chain(negative).copied());
                for (i, (value, (was, change))) in values.zip(last).enumerate() {
                    if i == 2 {
                        self.sum.put(h.sum, &mut self.bits);
                    }
                    let now = value.wrapping_sub(*was);
                    self.bits.int(now.wrapping_sub(*change));
                    (*was, *change) = (value, now);
                }
                if positive.len() + negative.len() == 0 {
                    self.sum.put(h.sum, &mut self.bits);
                }
            }
            (
                BucketCounts::Float { count, zero_count, positive, negative },
                Counts::Float(last),
            ) => {
                let mut last = last.iter_mut();
                for (v, was) in [count, zero_count].into_iter().zip(&mut last) {
                    was.put(*v, &mut self.bits);
                }
                self.sum.put(h.sum, &mut self.bits);
                for (v, was) in positive.iter().chain(negative).zip(last) {
                    was.put(*v, &mut self.bits);
                }
            }
            // `follows` keeps the two kinds apart.
            _ => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bits.len()
    }

    pub(super) fn finish(self, n_samples: u16) -> Vec<u8> {
        self.bits.finish(n_samples)
    }
}

/// A stale mark has neither layout nor counts.
fn emptied(h: &Histogram) -> Option<Histogram> {
    let counts = match &h.counts {
        BucketCounts::Integer { .. } => BucketCounts::Integer {
            count: 0,
            zero_count: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        },
        BucketCounts::Float { .. } => BucketCounts::Float {
            count: 0.0,
            zero_count: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
        },
    };
    h.is_stale().then(|| Histogram {
        schema: 0,
        reset_hint: h.reset_hint,
        zero_threshold: 0.0,
        sum: h.sum,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts,
    })
}

fn layout(h: &Histogram, bits: &mut Bits) {
    zero_threshold(h.zero_threshold, bits);
    bits.int(h.schema.into());
    for spans in [&h.positive_spans, &h.negative_spans] {
        bits.uint(spans.len() as u64);
        for span in spans {
            bits.uint(span.length.into());
            bits.int(span.offset.into());
        }
    }
    if h.schema == Histogram::CUSTOM_BUCKETS {
        bits.uint(h.custom_values.len() as u64);
        h.custom_values.iter().for_each(|b| bound(*b, bits));
    }
}

/// One byte for 0 and the powers of two from 2^-243 to 2^10, else 255 and the float.
fn zero_threshold(v: f64, bits: &mut Bits) {
    const FRACTION: u64 = (1 << 52) - 1;
    if v == 0.0 {
        return bits.put(0, 8);
    }
    // Of sign and exponent: 1 for 2^-243.
    let code = (v.to_bits() >> 52).wrapping_sub(1023 - 244);
    if v.to_bits() & FRACTION == 0 && (1..=254).contains(&code) {
        return bits.put(code, 8);
    }
    bits.put(255, 8);
    bits.float(v);
}

/// Up to four bytes for thousandths that are not too many, else a zero bit and the float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "the range is checked, and only exact thousandths count"
)]
fn bound(v: f64, bits: &mut Bits) {
    const MOST: f64 = 33_554_430.0;
    let thousandths = (v * 1000.0).round();
    if (0.0..=MOST).contains(&(v * 1000.0)) && thousandths / 1000.0 == v {
        return bits.uint(thousandths as u64 + 1);
    }
    bits.put(0, 1);
    bits.float(v);
}
