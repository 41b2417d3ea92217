//! Series in a batch: floats, histograms, exemplars; and metric metadata behind them.

use bytes::Bytes;
use skald_model::{Exemplar, Histogram, Labels, MetricMetadata, SeriesId, Signal};

use super::{Item, finish, header, put_item};
use crate::histogram;
use crate::wire::{
    WireError, count, put_bytes, put_f64, put_ivarint, put_uvarint, take_bytes, take_f64,
    take_ivarint, uvarint,
};

const FLOATS: u8 = 2;
const HISTOGRAMS: u8 = 4;
const EXEMPLARS: u8 = 8;
const STARTS: u8 = 16;

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
    /// Start timestamps of the floats, 0 = unknown; as many as floats, or none when none is known.
    pub starts: Vec<i64>,
    /// As `starts`, of the histograms.
    pub histogram_starts: Vec<i64>,
}

/// Start timestamps of the samples of one series: as many as there are of each kind, or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starts<'a> {
    pub floats: &'a [i64],
    pub histograms: &'a [i64],
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
        let floats = floats.iter().copied();
        self.series_iter(id, labels, floats, histograms, exemplars, Starts::default());
    }

    /// As [`Self::series`], with floats from wherever they are, and with start timestamps.
    pub fn series_iter(
        &mut self,
        id: SeriesId,
        labels: Option<&Labels>,
        floats: impl ExactSizeIterator<Item = (i64, f64)>,
        histograms: &[(i64, Histogram)],
        exemplars: &[Exemplar],
        starts: Starts<'_>,
    ) {
        let n_floats = floats.len();
        let mut flags = 0;
        self.body.clear();
        let body = &mut self.body;
        if n_floats > 0 {
            flags |= FLOATS;
            put_uvarint(body, n_floats as u64);
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
        if starts.any() {
            flags |= STARTS;
            starts.put(self.base, n_floats, histograms.len(), body);
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
        if self.flags & STARTS != 0 {
            take_starts(&mut rest, self.base, into)?;
        }
        Ok(())
    }
}

// === impl Starts ===

impl Starts<'_> {
    fn any(&self) -> bool {
        self.floats.iter().chain(self.histograms).any(|start| *start != 0)
    }

    /// Appends runs that cover all floats, then all histograms.
    fn put(&self, base: i64, n_floats: usize, n_histograms: usize, out: &mut Vec<u8>) {
        let mut all = Vec::with_capacity(n_floats + n_histograms);
        for (starts, n) in [(self.floats, n_floats), (self.histograms, n_histograms)] {
            all.extend(starts.iter().copied().chain(std::iter::repeat(0)).take(n));
        }
        let mut last = base;
        for run in all.chunk_by(|a, b| a == b) {
            let start = run.first().copied().unwrap_or(0);
            put_uvarint(out, run.len() as u64);
            put_ivarint(out, start.wrapping_sub(last));
            last = start;
        }
    }
}

/// Takes the start timestamps of the floats and histograms that `into` has.
fn take_starts(rest: &mut &[u8], base: i64, into: &mut Samples) -> Result<(), WireError> {
    let (n_floats, n_all) = (into.floats.len(), into.floats.len() + into.histograms.len());
    let mut start = base;
    let mut at = 0;
    while at < n_all {
        let run = usize::try_from(uvarint(rest)?).unwrap_or(usize::MAX);
        start = start.wrapping_add(take_ivarint(rest)?);
        if run == 0 || run > n_all - at {
            return Err(WireError::Range("run of start timestamps"));
        }
        let n = run.min(n_floats.saturating_sub(at));
        into.starts.extend(std::iter::repeat_n(start, n));
        into.histogram_starts.extend(std::iter::repeat_n(start, run - n));
        at += run;
    }
    for starts in [&mut into.starts, &mut into.histogram_starts] {
        if starts.iter().all(|start| *start == 0) {
            starts.clear();
        }
    }
    Ok(())
}

// === impl Samples ===

impl Samples {
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.starts.clear();
        self.histogram_starts.clear();
    }
}
