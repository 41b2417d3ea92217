//! The samples of one series, as evaluations look at them.

use std::sync::Arc;

use skald_model::Labels;
use skald_vector::FloatHistogram;

use super::select;
use crate::{QueryError, Samples, SeriesSet};

/// One fetched series, histograms in the form in which queries compute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub labels: Labels,
    pub drop_name: bool,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// Start timestamps, parallel to `times`; empty when none is known.
    pub starts: Vec<i64>,
    pub histogram_times: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
    pub histogram_starts: Vec<i64>,
    /// The samples were computed, not read.
    pub computed: bool,
}

// === impl Loaded ===

impl Loaded {
    /// Replaces the samples by those of series `i`, in the same memory.
    pub(crate) fn read(&mut self, set: &dyn SeriesSet, i: usize) -> Result<(), QueryError> {
        let mut samples = Samples {
            times: std::mem::take(&mut self.times),
            values: std::mem::take(&mut self.values),
            histogram_times: std::mem::take(&mut self.histogram_times),
            histograms: std::mem::take(&mut self.histograms),
            starts: std::mem::take(&mut self.starts),
            histogram_starts: std::mem::take(&mut self.histogram_starts),
        };
        let read = set.read(i, &mut samples).map_err(QueryError::Source);
        self.times = samples.times;
        self.values = samples.values;
        self.histogram_times = samples.histogram_times;
        self.histograms = samples.histograms;
        self.starts = samples.starts;
        self.histogram_starts = samples.histogram_starts;
        read
    }

    /// Takes out the stale markers.
    pub(crate) fn remove_stale(&mut self) {
        if let std::borrow::Cow::Owned(clean) = select::without_stale(self) {
            *self = clean;
        }
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.times.len() + self.histograms.iter().map(|h| h.size_in_samples()).sum::<usize>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histogram_times.is_empty()
    }
}
