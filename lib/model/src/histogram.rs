//! Native histograms as Prometheus defines them, kept exactly as they came (integer or float).

/// What the sender said about counter resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetHint {
    #[default]
    Unknown,
    Yes,
    No,
    Gauge,
}

/// A run of consecutive buckets: `offset` buckets after the previous run, `length` buckets long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// Counts in the form in which they were sent.
#[derive(Clone, Debug, PartialEq)]
pub enum BucketCounts {
    /// Bucket values are deltas to the previous bucket (the first is absolute).
    Integer { count: u64, zero_count: u64, positive: Vec<i64>, negative: Vec<i64> },
    /// Bucket values are absolute.
    Float { count: f64, zero_count: f64, positive: Vec<f64>, negative: Vec<f64> },
}

/// A native histogram; schema −53 means custom bucket bounds in `custom_values`.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub schema: i32,
    pub reset_hint: ResetHint,
    pub zero_threshold: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub custom_values: Vec<f64>,
    pub counts: BucketCounts,
}

impl Histogram {
    /// Schema of histograms with custom bucket bounds.
    pub const CUSTOM_BUCKETS: i32 = -53;

    /// Whether the sample marks the end of its series (the sum is the stale NaN).
    pub fn is_stale(&self) -> bool {
        crate::series::is_stale(self.sum)
    }

    /// A number that grows with memory use, for accounting.
    pub fn size_bytes(&self) -> usize {
        let buckets = match &self.counts {
            BucketCounts::Integer { positive, negative, .. } => positive.len() + negative.len(),
            BucketCounts::Float { positive, negative, .. } => positive.len() + negative.len(),
        };
        size_of::<Self>()
            + 8 * (buckets
                + self.positive_spans.len()
                + self.negative_spans.len()
                + self.custom_values.len())
    }
}
