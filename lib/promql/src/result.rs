//! What a query answers.

use std::sync::Arc;

use skald_model::Labels;
use skald_vector::{Annotations, Context, FloatHistogram, Matrix, Sample, VectorError};

#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    pub labels: Labels,
    pub time_ms: i64,
    pub value: SampleValue,
}

/// A series with the points it has, in time order; floats and histograms apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixSeries {
    pub labels: Labels,
    pub points: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar {
        time_ms: i64,
        value: f64,
    },
    String {
        time_ms: i64,
        value: String,
    },
    /// In the order of the result: `sort` and `topk` matter.
    Vector(Vec<VectorSample>),
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What a query cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that steps looked at, each for the first step that does; a histogram counts by its
    /// size.
    pub samples_read: u64,
    /// The same, for every step that looks at them.
    pub samples_total: u64,
    /// Time, total and read of each step, when asked for.
    pub steps: Vec<(i64, u64, u64)>,
    /// Samples that were decoded.
    pub samples_decoded: u64,
    /// Most samples held at one time.
    pub peak_samples: u64,
    pub series_read: u64,
    /// Requests to the source.
    pub selects: u64,
    /// Microseconds spent waiting for the source, and evaluating.
    pub fetch_us: u64,
    pub eval_us: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    pub value: Value,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// What `warnings` and `infos` were written from.
    pub annotations: Annotations,
    pub stats: Stats,
}

/// The one step of an instant query.
pub(crate) fn vector(matrix: &Matrix, ctx: &Context) -> Result<Vec<VectorSample>, VectorError> {
    let time_ms = matrix.grid.start_ms;
    let sample = |c: &skald_vector::Column| {
        let value = match c.get(0)? {
            Sample::Float(v) => SampleValue::Float(v),
            Sample::Histogram(h) => SampleValue::Histogram(Arc::clone(h)),
        };
        Some(VectorSample { labels: c.labels.clone(), time_ms, value })
    };
    let mut out = Vec::with_capacity(matrix.columns.len());
    for column in &matrix.columns {
        ctx.check()?;
        out.extend(sample(column));
    }
    Ok(out)
}

/// All steps, sorted by labels.
pub(crate) fn matrix(mut matrix: Matrix, ctx: &Context) -> Result<Vec<MatrixSeries>, VectorError> {
    matrix.sort_by_labels(ctx)?;
    let grid = matrix.grid;
    let series = matrix.columns.into_iter().filter(|c| !c.is_empty()).map(|c| {
        ctx.check()?;
        let mut out = MatrixSeries { labels: c.labels.clone(), ..MatrixSeries::default() };
        if !c.has_histograms() {
            out.points.reserve_exact(c.present.count());
        }
        for (i, sample) in c.samples() {
            match sample {
                Sample::Float(v) => out.points.push((grid.time(i), v)),
                Sample::Histogram(h) => out.histograms.push((grid.time(i), Arc::clone(h))),
            }
        }
        Ok(out)
    });
    series.collect()
}
