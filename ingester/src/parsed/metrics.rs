//! A checked metrics batch.

use std::ops::Range;

use bytes::Bytes;
use skald_codec::batch::{Batch, Samples};
use skald_model::{Exemplar, Histogram, Labels, MetricMetadata, SeriesId};

use super::{InvalidBatch, labels, position};

/// All series of a batch in flat columns.
#[derive(Debug, Default)]
pub(crate) struct MetricsBatch {
    pub(crate) items: Vec<MetricsItem>,
    pub(crate) floats: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<(i64, Histogram)>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) metadata: Vec<MetricMetadata>,
    /// Start timestamps, 0 = unknown; columns end where no further one is known.
    starts: Vec<i64>,
    histogram_starts: Vec<i64>,
}

/// One series of a batch: ranges of its columns.
#[derive(Debug)]
pub(crate) struct MetricsItem {
    pub(crate) id: SeriesId,
    pub(crate) labels: Option<Labels>,
    floats: (u32, u32),
    histograms: (u32, u32),
    exemplars: (u32, u32),
}

// === impl MetricsBatch ===

impl MetricsBatch {
    pub(super) fn parse(mut batch: Batch<'_>, bytes: &Bytes) -> Result<Self, InvalidBatch> {
        let mut out = Self { items: Vec::with_capacity(batch.n_items()), ..Self::default() };
        let mut samples = Samples::default();
        while let Some(series) = batch.next_series()? {
            let item = out.items.len();
            let labels = labels(bytes, series.labels, series.id, item)?;
            series.decode(&mut samples)?;
            let times = samples.floats.iter().map(|(t, _)| *t);
            if times.chain(samples.histograms.iter().map(|(t, _)| *t)).any(|t| t == i64::MAX) {
                return Err(InvalidBatch::Timestamp { item });
            }
            take_starts(&mut out.starts, out.floats.len(), &mut samples.starts);
            let at = out.histograms.len();
            take_starts(&mut out.histogram_starts, at, &mut samples.histogram_starts);
            out.items.push(MetricsItem {
                id: series.id,
                labels,
                floats: take(&mut out.floats, &mut samples.floats),
                histograms: take(&mut out.histograms, &mut samples.histograms),
                exemplars: take(&mut out.exemplars, &mut samples.exemplars),
            });
        }
        out.metadata = batch.metadata()?;
        Ok(out)
    }

    /// Start timestamp of a float, 0 = unknown.
    pub(crate) fn start(&self, float: usize) -> i64 {
        self.starts.get(float).copied().unwrap_or(0)
    }

    /// Start timestamp of a histogram, 0 = unknown.
    pub(crate) fn histogram_start(&self, histogram: usize) -> i64 {
        self.histogram_starts.get(histogram).copied().unwrap_or(0)
    }
}

/// Moves the start timestamps of samples that will stand at `at`.
fn take_starts(into: &mut Vec<i64>, at: usize, from: &mut Vec<i64>) {
    if !from.is_empty() {
        into.resize(at, 0);
        into.append(from);
    }
}

/// Moves a column behind another; answers where it is now.
fn take<T>(into: &mut Vec<T>, from: &mut Vec<T>) -> (u32, u32) {
    let start = position(into.len());
    into.append(from);
    (start, position(into.len()))
}

// === impl MetricsItem ===

impl MetricsItem {
    pub(crate) fn floats(&self) -> Range<usize> {
        range(self.floats)
    }

    pub(crate) fn histograms(&self) -> Range<usize> {
        range(self.histograms)
    }

    pub(crate) fn exemplars(&self) -> Range<usize> {
        range(self.exemplars)
    }

    /// Floats and histograms.
    pub(crate) fn n_samples(&self) -> usize {
        self.floats().len() + self.histograms().len()
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}
