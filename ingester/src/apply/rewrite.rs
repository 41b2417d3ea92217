//! Batches that the ingester writes itself: what was accepted of a batch, and labels once more.

use bytes::Bytes;
use skald_codec::batch::{Batch, LogsBuilder, MetricsBuilder, Starts, with_labels};
use skald_model::{Histogram, Labels, SeriesId};

use super::{Refused, position};
use crate::parsed::{InvalidBatch, LogsBatch, MetricsBatch};

/// Walks along ascending positions.
struct Skip<'a>(std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u32>>>);

impl<'a> Skip<'a> {
    fn new(positions: &'a [u32]) -> Self {
        Self(positions.iter().copied().peekable())
    }

    /// Whether `at` is among the positions; ask in ascending order.
    fn has(&mut self, at: usize) -> bool {
        let at = position(at);
        while self.0.next_if(|p| *p < at).is_some() {}
        self.0.next_if_eq(&at).is_some()
    }
}

/// The batch without what was refused; `None` when nothing is left.
pub(crate) fn accepted_metrics(batch: &MetricsBatch, refused: &Refused) -> Option<Bytes> {
    let base = batch.floats.first().map_or(0, |(t, _)| *t);
    let mut builder = MetricsBuilder::new(base);
    let mut items = Skip::new(&refused.items);
    let mut skip_floats = Skip::new(&refused.floats);
    let mut skip_histograms = Skip::new(&refused.histograms);
    let mut floats: Vec<(i64, f64)> = Vec::new();
    let mut histograms: Vec<(i64, Histogram)> = Vec::new();
    let (mut starts, mut histogram_starts) = (Vec::new(), Vec::new());
    for (at, item) in batch.items.iter().enumerate() {
        if items.has(at) {
            continue;
        }
        floats.clear();
        starts.clear();
        for i in item.floats().filter(|i| !skip_floats.has(*i)) {
            floats.push(batch.floats[i]);
            starts.push(batch.start(i));
        }
        histograms.clear();
        histogram_starts.clear();
        for i in item.histograms().filter(|i| !skip_histograms.has(*i)) {
            histograms.push(batch.histograms[i].clone());
            histogram_starts.push(batch.histogram_start(i));
        }
        let exemplars = &batch.exemplars[item.exemplars()];
        if floats.is_empty()
            && histograms.is_empty()
            && exemplars.is_empty()
            && item.labels.is_none()
        {
            continue;
        }
        let starts = Starts { floats: &starts, histograms: &histogram_starts };
        let floats = floats.iter().copied();
        let labels = item.labels.as_ref();
        builder.series_iter(item.id, labels, floats, &histograms, exemplars, starts);
    }
    batch.metadata.iter().for_each(|m| builder.metadata(m));
    (!builder.is_empty()).then(|| builder.finish())
}

/// As [`accepted_metrics`] for logs, read again: its entries lie elsewhere.
pub(crate) fn accepted_logs(
    batch: &LogsBatch,
    refused: &Refused,
) -> Result<Option<LogsBatch>, InvalidBatch> {
    let mut items = Skip::new(&refused.items);
    let accepted: Vec<u32> =
        (0..batch.items.len()).filter(|at| !items.has(*at)).map(position).collect();
    if accepted.is_empty() {
        return Ok(None);
    }
    let bytes = Bytes::from(with_labels(&batch.bytes, &accepted, |_| None)?);
    LogsBatch::parse(Batch::parse(&bytes)?, &bytes).map(Some)
}

/// A batch of labels only.
pub(crate) fn metrics_labels(series: impl Iterator<Item = (SeriesId, Labels)>) -> Bytes {
    let mut builder = MetricsBuilder::new(0);
    for (id, labels) in series {
        builder.series(id, Some(&labels), &[], &[], &[]);
    }
    builder.finish()
}

/// A batch of labels only.
pub(crate) fn logs_labels(streams: impl Iterator<Item = (SeriesId, Labels)>) -> Bytes {
    let mut builder = LogsBuilder::new(0);
    for (id, labels) in streams {
        builder.stream(id, Some(&labels));
    }
    builder.finish()
}
