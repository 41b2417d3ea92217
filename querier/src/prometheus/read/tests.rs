//! Chunks are read back by a reader of their own, written from the format alone.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bit fields are as wide as their numbers"
)]

use skald_model::{BucketCounts, Histogram, Labels, ResetHint, Series, Span, stale_nan};
use skald_proto::public::prometheus as pb;

use super::chunk::chunks;

/// Bits from the front, the most significant first.
struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn take(&mut self, n: u32) -> u64 {
        (0..n).fold(0, |v, _| {
            let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
            self.1 += 1;
            v << 1 | u64::from(bit)
        })
    }

    /// Ones up to `most`, ended by a zero if there are fewer.
    fn ones(&mut self, most: usize) -> usize {
        (0..most).take_while(|_| self.take(1) == 1).count()
    }

    fn signed(&mut self, width: u32) -> i64 {
        let v = self.take(width);
        if (1..64).contains(&width) && v > 1 << (width - 1) {
            return v as i64 - (1 << width);
        }
        v as i64
    }

    fn float(&mut self) -> f64 {
        f64::from_bits(self.take(64))
    }

    fn uvarint(&mut self) -> u64 {
        let (mut v, mut shift) = (0, 0);
        loop {
            let b = self.take(8);
            v |= (b & 127) << shift;
            shift += 7;
            if b < 128 {
                return v;
            }
        }
    }

    fn width(&mut self) -> u32 {
        [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)]
    }

    fn int(&mut self) -> i64 {
        let width = self.width();
        self.signed(width)
    }

    fn uint(&mut self) -> u64 {
        let width = self.width();
        self.take(width)
    }

    fn xor(&mut self, state: &mut (f64, u32, u32)) -> f64 {
        if self.take(1) == 1 {
            if self.take(1) == 1 {
                let leading = self.take(5) as u32;
                let width = match self.take(6) as u32 {
                    0 => 64,
                    w => w,
                };
                (state.1, state.2) = (width, 64 - leading - width);
            }
            let change = self.take(state.1) << state.2;
            state.0 = f64::from_bits(state.0.to_bits() ^ change);
        }
        state.0
    }
}

fn floats(data: &[u8]) -> Vec<(i64, u64)> {
    let n = u16::from_be_bytes([data[0], data[1]]);
    let mut r = Reader(&data[2..], 0);
    let u = r.uvarint();
    let mut t = (u >> 1) as i64 ^ -((u & 1) as i64);
    let mut v = (r.float(), 0, 0);
    let mut out = vec![(t, v.0.to_bits())];
    let mut interval = 0;
    for i in 1..n {
        if i == 1 {
            interval = r.uvarint() as i64;
        } else {
            let width = [0, 14, 17, 20, 64][r.ones(4)];
            interval += r.signed(width);
        }
        t += interval;
        out.push((t, r.xor(&mut v).to_bits()));
    }
    out
}

fn spans(r: &mut Reader<'_>) -> Vec<Span> {
    let n = r.uint();
    let mut span = || Span { length: r.uint() as u32, offset: r.int() as i32 };
    (0..n).map(|_| span()).collect()
}

fn layout(r: &mut Reader<'_>) -> Histogram {
    let zero_threshold = match r.take(8) {
        0 => 0.0,
        255 => r.float(),
        code => 0.5 * 2f64.powi(code as i32 - 243),
    };
    let schema = r.int() as i32;
    let (positive_spans, negative_spans) = (spans(r), spans(r));
    let n = if schema == Histogram::CUSTOM_BUCKETS { r.uint() } else { 0 };
    let mut bound = || match r.uint() {
        0 => r.float(),
        v => (v - 1) as f64 / 1000.0,
    };
    let custom_values = (0..n).map(|_| bound()).collect();
    let counts = BucketCounts::Integer {
        count: 0,
        zero_count: 0,
        positive: Vec::new(),
        negative: Vec::new(),
    };
    let (reset_hint, sum) = (ResetHint::Unknown, 0.0);
    Histogram {
        schema,
        reset_hint,
        zero_threshold,
        sum,
        positive_spans,
        negative_spans,
        custom_values,
        counts,
    }
}

/// Header and histograms of a chunk; `integer` is its encoding.
fn histograms(data: &[u8], integer: bool) -> (u8, Vec<(i64, Histogram)>) {
    let n = u16::from_be_bytes([data[0], data[1]]);
    let mut r = Reader(&data[3..], 0);
    let like = layout(&mut r);
    let len = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
    let (n_positive, n_negative) = (len(&like.positive_spans), len(&like.negative_spans));
    let n_values = 2 + n_positive + n_negative;
    let (mut t, mut interval) = (0, 0);
    let mut ints = vec![(0i64, 0i64); n_values];
    let mut xors = vec![(0.0, 0, 0); n_values];
    let mut sum = (0.0, 0, 0);
    let mut out = Vec::new();
    for i in 0..n {
        if i == 0 {
            t = r.int();
        } else {
            interval += r.int();
            t += interval;
        }
        for k in 0..n_values {
            if k == 2 || k == n_values {
                sum.0 = if i == 0 { r.float() } else { r.xor(&mut sum) };
                if skald_model::is_stale(sum.0) {
                    break;
                }
            }
            if !integer {
                xors[k].0 = if i == 0 { r.float() } else { r.xor(&mut xors[k]) };
            } else if i == 0 {
                ints[k].0 = if k < 2 { r.uint() as i64 } else { r.int() };
            } else {
                ints[k].1 += r.int();
                ints[k].0 += ints[k].1;
            }
        }
        if n_values == 2 {
            sum.0 = if i == 0 { r.float() } else { r.xor(&mut sum) };
        }
        let mut h = Histogram { sum: sum.0, ..like.clone() };
        h.counts = if integer {
            let v: Vec<i64> = ints.iter().map(|v| v.0).collect();
            BucketCounts::Integer {
                count: v[0] as u64,
                zero_count: v[1] as u64,
                positive: v[2..2 + n_positive].to_vec(),
                negative: v[2 + n_positive..].to_vec(),
            }
        } else {
            let v: Vec<f64> = xors.iter().map(|v| v.0).collect();
            BucketCounts::Float {
                count: v[0],
                zero_count: v[1],
                positive: v[2..2 + n_positive].to_vec(),
                negative: v[2 + n_positive..].to_vec(),
            }
        };
        out.push((t, h));
    }
    (data[2], out)
}

fn series(points: Vec<(i64, f64)>, histograms: Vec<(i64, Histogram)>) -> Series {
    let (timestamps, values) = points.into_iter().unzip();
    Series { labels: Labels::empty(), timestamps, values, histograms, ..Series::default() }
}

fn integer(count: u64, positive: &[i64]) -> Histogram {
    Histogram {
        schema: 3,
        reset_hint: ResetHint::Unknown,
        zero_threshold: 2f64.powi(-128),
        sum: count as f64 * 0.7,
        positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 70, length: 2 }],
        negative_spans: vec![Span { offset: 5000, length: 1 }],
        custom_values: Vec::new(),
        counts: BucketCounts::Integer {
            count,
            zero_count: 1,
            positive: positive.to_vec(),
            negative: vec![4],
        },
    }
}

fn float(h: &Histogram) -> Histogram {
    let BucketCounts::Integer { count, zero_count, positive, negative } = &h.counts else {
        panic!("not of integers")
    };
    let absolute = |deltas: &[i64]| {
        let sums = deltas.iter().scan(0, |sum, d| {
            *sum += d;
            Some(*sum as f64 + 0.25)
        });
        sums.collect()
    };
    let counts = BucketCounts::Float {
        count: *count as f64,
        zero_count: *zero_count as f64,
        positive: absolute(positive),
        negative: absolute(negative),
    };
    Histogram { counts, ..h.clone() }
}

#[test]
fn floats_are_read_back_to_the_bit() {
    let times = [0, 15_000, 30_000, 30_001, 39_000, 200_000, 2_000_000, i64::MAX / 2];
    let values = [1.0, 1.0, f64::NAN, stale_nan(), -0.0, 1e300, 5e-324, f64::NEG_INFINITY];
    for start in [-60_000, 0, 1_767_225_600_000] {
        let points: Vec<_> = times.iter().map(|t| start + t).zip(values).collect();
        let found = chunks(&series(points.clone(), Vec::new())).unwrap();
        let bits = points.iter().map(|(t, v)| (*t, v.to_bits()));
        assert_eq!(floats(&found[0].data), bits.collect::<Vec<_>>());
        assert_eq!((found[0].min_time_ms, found[0].max_time_ms), (start, start + times[7]));
    }
}

#[test]
fn a_chunk_has_120_samples_at_most() {
    let points: Vec<_> = (0..301).map(|i| (i * 1000 + i % 7, i as f64 * 1.1)).collect();
    let found = chunks(&series(points.clone(), Vec::new())).unwrap();
    let read: Vec<_> = found.iter().flat_map(|c| floats(&c.data)).collect();
    assert_eq!(read, points.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>());
    let sizes: Vec<_> = found.iter().map(|c| floats(&c.data).len()).collect();
    assert_eq!(sizes, [120, 120, 61]);

    let growing = |i: i64| (i * 1000, integer(10 + i as u64, &[1, i, -1]));
    for kind in [false, true] {
        let hs: Vec<_> = (0..250i64).map(growing).collect();
        let hs: Vec<_> =
            hs.into_iter().map(|(t, h)| (t, if kind { h } else { float(&h) })).collect();
        let found = chunks(&series(Vec::new(), hs.clone())).unwrap();
        let read: Vec<_> = found.iter().map(|c| histograms(&c.data, kind)).collect();
        assert_eq!(read.iter().map(|(begin, _)| *begin).collect::<Vec<_>>(), [0x00, 0x40, 0x40]);
        assert_eq!(read.into_iter().flat_map(|(_, h)| h).collect::<Vec<_>>(), hs);
    }
}

#[test]
fn custom_buckets_and_odd_thresholds_are_read_back() {
    for zero_threshold in [0.0, 1024.0, 2048.0, 0.3, 2f64.powi(-243), 2f64.powi(-244)] {
        let h = Histogram { zero_threshold, ..integer(3, &[1, 2, 3]) };
        let found = chunks(&series(Vec::new(), vec![(5, h.clone())])).unwrap();
        assert_eq!(histograms(&found[0].data, true).1, [(5, h)]);
    }
    let h = Histogram {
        schema: Histogram::CUSTOM_BUCKETS,
        zero_threshold: 0.0,
        custom_values: vec![-1.0, 0.0, 0.005, 0.1, 1.0 / 3.0, 33_554.430, 33_554.431, 1e18],
        ..integer(3, &[1, 2, 3])
    };
    let found = chunks(&series(Vec::new(), vec![(5, h.clone())])).unwrap();
    assert_eq!(histograms(&found[0].data, true).1, [(5, h)]);
}

/// What makes the second of two histograms begin a chunk, and how that begins.
#[test]
fn a_chunk_ends_where_its_promises_would_break() {
    let first = integer(10, &[3, 1, 0]);
    let hint = |reset_hint, h: &Histogram| Histogram { reset_hint, ..h.clone() };
    let more = integer(11, &[3, 2, -1]);
    let stale = Histogram { sum: stale_nan(), ..integer(0, &[0, 0, 0]) };
    let gauge = |h| hint(ResetHint::Gauge, h);
    let wider = Histogram { zero_threshold: 0.5, ..more.clone() };
    let moved = Histogram { negative_spans: vec![Span { offset: 1, length: 1 }], ..more.clone() };
    let cases = [
        ("grown", first.clone(), more.clone(), None),
        ("hint that nothing was reset", first.clone(), hint(ResetHint::No, &more), None),
        ("hint of a reset", first.clone(), hint(ResetHint::Yes, &more), Some(0x80)),
        ("count", integer(12, &[3, 1, 0]), more.clone(), Some(0x80)),
        ("bucket", first.clone(), integer(11, &[3, 0, 5]), Some(0x80)),
        ("bucket of floats", float(&first), float(&integer(11, &[3, 0, 5])), Some(0x80)),
        ("schema", first.clone(), Histogram { schema: 2, ..more.clone() }, Some(0)),
        ("threshold", first.clone(), wider, Some(0)),
        ("spans", first.clone(), moved, Some(0)),
        ("kind", first.clone(), float(&more), Some(0)),
        ("gauge", first.clone(), gauge(&more), Some(0xc0)),
        ("no gauge", gauge(&first), more.clone(), Some(0)),
        ("gauges may fall", gauge(&more), gauge(&first), None),
        ("end of the series", first.clone(), stale.clone(), None),
        ("end of floats", float(&first), float(&stale), None),
        ("after the end", stale.clone(), more.clone(), Some(0)),
    ];
    for (name, a, b, want) in cases {
        let found = chunks(&series(Vec::new(), vec![(1, a.clone()), (2, b.clone())])).unwrap();
        assert_eq!(found.len(), 1 + usize::from(want.is_some()), "{name}");
        let second = found.get(1).map(|c| c.data[2]);
        assert_eq!(second, want, "{name}");
        let read: Vec<_> = found
            .iter()
            .flat_map(|c| {
                histograms(&c.data, c.r#type == i32::from(pb::chunk::Encoding::Histogram)).1
            })
            .collect();
        assert_eq!(read.len(), 2, "{name}");
        assert_eq!(read[1].1.sum.to_bits(), b.sum.to_bits(), "{name}");
        if !b.is_stale() {
            assert_eq!(read[1].1.counts, b.counts, "{name}");
        }
    }
}

#[test]
fn floats_and_histograms_of_a_series_take_turns() {
    let h = || integer(1, &[1, 0, 0]);
    let points = vec![(1, 1.0), (2, 1.0), (5, 1.0)];
    let found = chunks(&series(points, vec![(3, h()), (4, h()), (6, h())])).unwrap();
    let read: Vec<_> = found.iter().map(|c| (c.min_time_ms, c.max_time_ms, c.r#type)).collect();
    assert_eq!(read, [(1, 2, 1), (3, 4, 2), (5, 5, 1), (6, 6, 2)]);
}

#[test]
fn a_histogram_with_missing_buckets_is_an_error() {
    let h = integer(1, &[1]);
    assert!(chunks(&series(Vec::new(), vec![(1, h)])).is_err());
}
