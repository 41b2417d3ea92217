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
/// `timestamps` and `values` are parallel; histograms have timestamps of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    pub histograms: Vec<(i64, Histogram)>,
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
            + self.histograms.iter().map(|(_, h)| h.size_bytes()).sum::<usize>()
            + size_of::<Self>()
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
    fn only_one_nan_is_stale() {
        assert!(is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN));
        assert!(!is_stale(f64::from_bits(0x7ff8_0000_0000_0001)));
    }
}
