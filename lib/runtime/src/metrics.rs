//! Bucket sets and label types shared by the metrics of all components.

use prometheus_client::metrics::histogram::Histogram;

/// Seconds, 1 ms to about 65 s.
pub fn latency_histogram() -> Histogram {
    Histogram::new((0..17).map(|i| 0.001 * f64::from(1u32 << i)))
}

/// Bytes, 256 B to 1 GiB.
pub fn bytes_histogram() -> Histogram {
    Histogram::new((0..12).map(|i| 256.0 * f64::from(1u32 << (2 * i))))
}

/// Counts, 1 to about a million.
pub fn counts_histogram() -> Histogram {
    Histogram::new((0..11).map(|i| f64::from(1u32 << (2 * i))))
}
