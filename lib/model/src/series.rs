//! Samples of a series in columns, exemplars and metric metadata.

use crate::{Histogram, Labels};

const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker of Prometheus: one exact NaN bit pattern.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Whether `v` is the staleness marker, bit for bit.
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_BITS
}

/// Samples of one series in columns, sorted by time, one sample at most per timestamp.
///
/// `timestamps` and `values` are parallel; histograms have timestamps of their own. A column of start
/// timestamps is either empty or as long as its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    /// When each sample's counter began to count: parallel to `timestamps`, 0 = unknown; empty when none is known.
    pub starts: Vec<i64>,
    pub histograms: Vec<(i64, Histogram)>,
    /// As `starts`, for the histograms.
    pub histogram_starts: Vec<i64>,
}

impl Series {
    pub fn new(labels: Labels) -> Self {
        Self { labels, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_empty()
    }

    pub fn n_samples(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// A number that grows with memory use, for accounting.
    pub fn size_bytes(&self) -> usize {
        self.labels.as_bytes().len()
            + 16 * self.timestamps.len()
            + 8 * (self.starts.len() + self.histogram_starts.len())
            + self.histograms.iter().map(|(_, h)| h.size_bytes()).sum::<usize>()
            + size_of::<Self>()
    }

    /// Appends a float; a start of 0 is unknown.
    pub fn push(&mut self, timestamp_ms: i64, value: f64, start_ms: i64) {
        push_start(&mut self.starts, self.timestamps.len(), start_ms);
        self.timestamps.push(timestamp_ms);
        self.values.push(value);
    }

    /// Appends a histogram; a start of 0 is unknown.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: Histogram, start_ms: i64) {
        push_start(&mut self.histogram_starts, self.histograms.len(), start_ms);
        self.histograms.push((timestamp_ms, histogram));
    }

    /// After samples were appended without start timestamps: these are unknown.
    pub fn pad_starts(&mut self) {
        pad(&mut self.starts, self.timestamps.len());
        pad(&mut self.histogram_starts, self.histograms.len());
    }

    /// Sorts by time and keeps one sample per time, the one that stands first.
    pub fn sort(&mut self) {
        if !self.timestamps.is_sorted_by(|a, b| a < b) {
            self.sort_floats();
        }
        if !self.histograms.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.sort_histograms();
        }
    }

    fn sort_floats(&mut self) {
        let times = self.timestamps.iter().copied();
        let starts = self.starts.iter().copied().chain(std::iter::repeat(0));
        let mut all: Vec<(i64, f64, i64)> = times
            .zip(self.values.iter().copied())
            .zip(starts)
            .map(|((t, v), s)| (t, v, s))
            .collect();
        all.sort_by_key(|(t, ..)| *t);
        all.dedup_by_key(|(t, ..)| *t);
        self.timestamps.clear();
        self.values.clear();
        self.starts.clear();
        for (t, v, start) in all {
            self.push(t, v, start);
        }
    }

    fn sort_histograms(&mut self) {
        let starts = std::mem::take(&mut self.histogram_starts);
        let starts = starts.into_iter().chain(std::iter::repeat(0));
        let mut all: Vec<((i64, Histogram), i64)> = self.histograms.drain(..).zip(starts).collect();
        all.sort_by_key(|((t, _), _)| *t);
        all.dedup_by_key(|((t, _), _)| *t);
        for ((t, histogram), start) in all {
            self.push_histogram(t, histogram, start);
        }
    }
}

/// Appends the start of the sample at position `at`.
fn push_start(starts: &mut Vec<i64>, at: usize, start: i64) {
    if start != 0 || !starts.is_empty() {
        starts.resize(at, 0);
        starts.push(start);
    }
}

fn pad(starts: &mut Vec<i64>, n: usize) {
    if !starts.is_empty() {
        starts.resize(n, 0);
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// Type, help and unit of a metric name. `kind` is the word of the exposition format (`counter`, …, `unknown`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricMetadata {
    pub name: String,
    pub kind: String,
    pub help: String,
    pub unit: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_moves_start_timestamps_along() {
        let mut series = Series::default();
        series.push(30, 3.0, 0);
        series.push(10, 1.0, 7);
        series.push(30, 9.0, 8);
        series.sort();
        assert_eq!((series.timestamps, series.values), (vec![10, 30], vec![1.0, 3.0]));
        assert_eq!(series.starts, [7, 0]);
    }

    #[test]
    fn only_one_nan_is_stale() {
        assert!(is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN));
        assert!(!is_stale(f64::from_bits(0x7ff8_0000_0000_0001)));
    }
}
