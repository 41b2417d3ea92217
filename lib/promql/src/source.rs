//! Where the engine gets its series from. The querier implements [`SeriesSource`].
//!
//! Fetching and decoding are apart: [`SeriesSource::select`] does the I/O and answers label sets with
//! samples still in the form in which they are kept; [`SeriesSet::read`] decodes one series, on a CPU
//! thread, into buffers that are used again for the next.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use skald_model::{ErrorKind, Labels, Matcher, Series, TimeRange};

use crate::FloatHistogram;

/// What one [`SeriesSource::select`] asks for.
#[derive(Clone, Debug)]
pub struct Select {
    pub matchers: Vec<Matcher>,
    /// Milliseconds, half-open.
    pub range: TimeRange,
    /// The distance of evaluation steps; 0 for an instant query. A hint.
    pub step_ms: i64,
    /// The function directly around the selector. A hint.
    pub func: Option<String>,
    /// Which labels the query looks at.
    pub labels: LabelNeed,
    /// Of histograms the query uses count and sum only. A hint: the engine looks at the buckets to
    /// find resets, and takes them away.
    pub histogram_stats: bool,
}

/// Which labels of its series a query looks at. A source may answer more, never fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelNeed {
    #[default]
    All,
    /// Only these, sorted. Several series may then have equal labels; they stay apart.
    Only(Vec<String>),
}

/// A source could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    pub kind: ErrorKind,
    pub message: String,
}

/// Series of one tenant.
#[async_trait]
pub trait SeriesSource: Send + Sync + Debug {
    /// All series that match and may have samples within the range, in any order, each once. Cancel-safe.
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError>;
}

/// What a select found. All methods are cheap but [`read`](Self::read), and none does I/O.
pub trait SeriesSet: Send + Sync + Debug {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn labels(&self, i: usize) -> Labels;

    /// At most how many samples [`read`](Self::read) gives for series `i`; from headers, without decoding.
    fn n_samples(&self, i: usize) -> usize;

    /// Bytes of memory that the set holds.
    fn size_bytes(&self) -> usize;

    /// Replaces what is in `out` by the samples of series `i` in the asked range.
    ///
    /// Sorted by time without duplicates; stale markers are left as they are. There may be none.
    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError>;
}

/// Decoded samples of one series in columns, floats and histograms apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds, strictly ascending.
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// Start timestamps, parallel to `times`, 0 = unknown; empty when none is known.
    pub starts: Vec<i64>,
    pub histogram_times: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
    /// As `starts`, for the histograms.
    pub histogram_starts: Vec<i64>,
}

// === impl Samples ===

impl Samples {
    /// Empties all columns and keeps their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histogram_times.is_empty()
    }
}

/// Series that are decoded already.
impl SeriesSet for Vec<Series> {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn labels(&self, i: usize) -> Labels {
        self[i].labels.clone()
    }

    fn n_samples(&self, i: usize) -> usize {
        self[i].n_samples()
    }

    fn size_bytes(&self) -> usize {
        self.iter().map(Series::size_bytes).sum()
    }

    fn read(&self, i: usize, out: &mut Samples) -> Result<(), SourceError> {
        let series = &self[i];
        out.clear();
        out.times.extend_from_slice(&series.timestamps);
        out.values.extend_from_slice(&series.values);
        out.starts.extend_from_slice(&series.starts);
        out.histogram_starts.extend_from_slice(&series.histogram_starts);
        for (t, h) in &series.histograms {
            out.histogram_times.push(*t);
            out.histograms.push(Arc::new(FloatHistogram::from(h)));
        }
        Ok(())
    }
}
