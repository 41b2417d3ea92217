//! Samples of one series as chunks in Prometheus's encodings, in order of time.

use skald_model::{Histogram, Series};
use skald_proto::public::prometheus as pb;

use super::bits::{Bits, Xor};
use super::histogram::{Begin, Encoder, follows, is_sound};
use crate::Error;

/// Samples of a chunk at most.
const MAX_SAMPLES: u16 = 120;
/// No histogram is added to a chunk that has reached this.
const LARGE_BYTES: usize = 128 << 10;

/// A chunk of histograms to which more may be added.
#[derive(Debug)]
struct Open<'a> {
    encoder: Encoder,
    last: &'a Histogram,
    min_time: i64,
    max_time: i64,
    n: u16,
}

/// The chunks of a series.
pub(super) fn chunks(series: &Series) -> Result<Vec<pb::Chunk>, Error> {
    let mut out = Vec::new();
    let (mut times, mut values) = (series.timestamps.as_slice(), series.values.as_slice());
    let mut histograms = series.histograms.as_slice();
    // Floats and histograms take turns; each turn takes all before the other's next.
    while !times.is_empty() || !histograms.is_empty() {
        let until = times.first().copied().unwrap_or(i64::MAX);
        let n = histograms.partition_point(|(t, _)| *t <= until);
        let (now, later) = histograms.split_at(n);
        cut(now, &mut out)?;
        histograms = later;
        let n = match histograms.first() {
            Some((until, _)) => times.partition_point(|t| t < until),
            None => times.len(),
        };
        let (now, later) = times.split_at(n);
        let (now_values, later_values) = values.split_at(n.min(values.len()));
        let size = usize::from(MAX_SAMPLES);
        out.extend(now.chunks(size).zip(now_values.chunks(size)).filter_map(|(t, v)| floats(t, v)));
        (times, values) = (later, later_values);
    }
    Ok(out)
}

/// At most [`MAX_SAMPLES`] floats.
fn floats(times: &[i64], values: &[f64]) -> Option<pb::Chunk> {
    let mut bits = Bits::new(&[0, 0]);
    let mut samples = times.iter().copied().zip(values.iter().copied());
    let (min_time, first) = samples.next()?;
    bits.varint(min_time);
    bits.float(first);
    let (mut time, mut interval, mut value, mut n) = (min_time, None, Xor::after(first), 1);
    for (t, v) in samples {
        let now = t.wrapping_sub(time);
        match interval {
            None => bits.uvarint(now.cast_unsigned()),
            Some(before) => bits.time(now.wrapping_sub(before)),
        }
        value.put(v, &mut bits);
        (time, interval, n) = (t, Some(now), n + 1);
    }
    let r#type = pb::chunk::Encoding::Xor.into();
    Some(pb::Chunk {
        min_time_ms: min_time,
        max_time_ms: time,
        r#type,
        data: bits.finish(n).into(),
    })
}

/// Cuts histograms wherever a chunk may not go on.
fn cut(histograms: &[(i64, Histogram)], out: &mut Vec<pb::Chunk>) -> Result<(), Error> {
    let mut open: Option<Open<'_>> = None;
    for (time, h) in histograms {
        if !is_sound(h) {
            return Err(Error::Internal("a histogram's buckets do not match its spans".to_owned()));
        }
        let begin = match &open {
            None => Some(Begin::of(h)),
            Some(o) => follows(o.last, h).or_else(|| o.full(h)),
        };
        match (&mut open, begin) {
            (Some(o), None) => o.push(*time, h),
            (slot, begin) => {
                let begin = begin.unwrap_or(Begin::Unknown);
                let next = Open::new(begin, *time, h);
                out.extend(slot.replace(next).map(Open::finish));
            }
        }
    }
    out.extend(open.map(Open::finish));
    Ok(())
}

// === impl Open ===

impl<'a> Open<'a> {
    fn new(begin: Begin, time: i64, h: &'a Histogram) -> Self {
        let encoder = Encoder::new(begin, time, h);
        Self { encoder, last: h, min_time: time, max_time: time, n: 1 }
    }

    fn push(&mut self, time: i64, h: &'a Histogram) {
        self.encoder.push(time, h);
        (self.last, self.max_time, self.n) = (h, time, self.n + 1);
    }

    /// How the chunk of `h`, which could stand in this one, begins if this one is full.
    fn full(&self, h: &Histogram) -> Option<Begin> {
        let full = self.n >= MAX_SAMPLES || self.encoder.len() >= LARGE_BYTES;
        full.then(|| match Begin::of(h) {
            Begin::Unknown if !h.is_stale() => Begin::NoReset,
            begin => begin,
        })
    }

    fn finish(self) -> pb::Chunk {
        let encoding = match self.last.counts {
            skald_model::BucketCounts::Integer { .. } => pb::chunk::Encoding::Histogram,
            skald_model::BucketCounts::Float { .. } => pb::chunk::Encoding::FloatHistogram,
        };
        pb::Chunk {
            min_time_ms: self.min_time,
            max_time_ms: self.max_time,
            r#type: encoding.into(),
            data: self.encoder.finish(self.n).into(),
        }
    }
}
