//! Series in a batch: floats, histograms, exemplars; and metric metadata behind them.

use bytes::Bytes;
use skald_model::{Exemplar, Histogram, Labels, MetricMetadata, SeriesId, Signal};

use super::{Item, finish, header, put_item};
use crate::histogram;
use crate::wire::{
    WireError, count, put_bytes, put_f64, put_ivarint, put_uvarint, take_bytes, take_f64,
    take_ivarint,
};

const FLOATS: u8 = 2;
const HISTOGRAMS: u8 = 4;
const EXEMPLARS: u8 = 8;

/// Writes a metrics batch.
#[derive(Debug)]
pub struct MetricsBuilder {
    out: Vec<u8>,
    base: i64,
    n: u32,
    body: Vec<u8>,
    metadata: Vec<u8>,
    n_metadata: u64,
}

/// One series of a batch.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    pub id: SeriesId,
    /// Canonical label bytes, not yet validated; absent when the sender expects them to be known.
    pub labels: Option<&'a [u8]>,
    flags: u8,
    base: i64,
    body: &'a [u8],
}

/// Decoded samples of one series; reuse it to avoid allocation.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Histogram)>,
    pub exemplars: Vec<Exemplar>,
}

// === impl MetricsBuilder ===

impl MetricsBuilder {
    /// `base_ms`: a time near the samples', so that offsets are short.
    pub fn new(base_ms: i64) -> Self {
        Self {
            out: header(Signal::Metrics, base_ms),
            base: base_ms,
            n: 0,
            body: Vec::new(),
            metadata: Vec::new(),
            n_metadata: 0,
        }
    }

    pub fn n_series(&self) -> u32 {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0 && self.n_metadata == 0
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len() + self.metadata.len()
    }

    /// Adds a series. Times may come in any order; sorted ones are shorter.
    pub fn series(
        &mut self,
        id: SeriesId,
        labels: Option<&Labels>,
        floats: &[(i64, f64)],
        histograms: &[(i64, Histogram)],
        exemplars: &[Exemplar],
    ) {
        self.series_iter(id, labels, floats.iter().copied(), histograms, exemplars);
    }

    /// As [`Self::series`], with floats from wherever they are.
    pub fn series_iter(
        &mut self,
        id: SeriesId,
        labels: Option<&Labels>,
        floats: impl ExactSizeIterator<Item = (i64, f64)>,
        histograms: &[(i64, Histogram)],
        exemplars: &[Exemplar],
    ) {
        let mut flags = 0;
        self.body.clear();
        let body = &mut self.body;
        if floats.len() > 0 {
            flags |= FLOATS;
            put_uvarint(body, floats.len() as u64);
            let mut last = self.base;
            for (ts, value) in floats {
                put_ivarint(body, ts.wrapping_sub(last));
                put_f64(body, value);
                last = ts;
            }
        }
        if !histograms.is_empty() {
            flags |= HISTOGRAMS;
            put_uvarint(body, histograms.len() as u64);
            let mut last = self.base;
            for (ts, h) in histograms {
                put_ivarint(body, ts.wrapping_sub(last));
                histogram::encode(h, body);
                last = *ts;
            }
        }
        if !exemplars.is_empty() {
            flags |= EXEMPLARS;
            put_uvarint(body, exemplars.len() as u64);
            let mut last = self.base;
            for e in exemplars {
                put_ivarint(body, e.timestamp_ms.wrapping_sub(last));
                put_f64(body, e.value);
                put_bytes(body, e.labels.as_bytes());
                last = e.timestamp_ms;
            }
        }
        put_item(&mut self.out, id, flags, labels.map(|l| &l.as_bytes()[..]), &self.body);
        self.n += 1;
    }

    pub fn metadata(&mut self, m: &MetricMetadata) {
        for field in [&m.name, &m.kind, &m.help, &m.unit] {
            put_bytes(&mut self.metadata, field.as_bytes());
        }
        self.n_metadata += 1;
    }

    pub fn finish(mut self) -> Bytes {
        finish(&mut self.out, self.n);
        put_uvarint(&mut self.out, self.n_metadata);
        self.out.extend_from_slice(&self.metadata);
        self.out.into()
    }
}

// === impl SeriesView ===

impl<'a> SeriesView<'a> {
    pub(super) fn new(item: Item<'a>, base: i64) -> Self {
        Self { id: item.id, labels: item.labels, flags: item.flags, base, body: item.body }
    }

    /// Whether any sample, histogram or exemplar follows.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Decodes everything into `into`, which is cleared first.
    pub fn decode(&self, into: &mut Samples) -> Result<(), WireError> {
        into.clear();
        let mut rest = self.body;
        if self.flags & FLOATS != 0 {
            let n = count(&mut rest, 9)?;
            into.floats.reserve(n);
            let mut ts = self.base;
            for _ in 0..n {
                ts = ts.wrapping_add(take_ivarint(&mut rest)?);
                into.floats.push((ts, take_f64(&mut rest)?));
            }
        }
        if self.flags & HISTOGRAMS != 0 {
            let n = count(&mut rest, 24)?;
            let mut ts = self.base;
            for _ in 0..n {
                ts = ts.wrapping_add(take_ivarint(&mut rest)?);
                into.histograms.push((ts, histogram::decode(&mut rest)?));
            }
        }
        if self.flags & EXEMPLARS != 0 {
            let n = count(&mut rest, 10)?;
            let mut ts = self.base;
            for _ in 0..n {
                ts = ts.wrapping_add(take_ivarint(&mut rest)?);
                let value = take_f64(&mut rest)?;
                let labels = Labels::from_bytes(Bytes::copy_from_slice(take_bytes(&mut rest)?))
                    .map_err(|_| WireError::Labels)?;
                into.exemplars.push(Exemplar { labels, timestamp_ms: ts, value });
            }
        }
        Ok(())
    }
}

// === impl Samples ===

impl Samples {
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }
}
