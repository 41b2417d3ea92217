//! Runs queries over an [`EntrySource`].
//!
//! Log queries walk the time range from the asked end in growing slices until the limit is met;
//! metric queries take entries while they are read and keep samples, not lines. Pipelines run on the blocking
//! pool under a flag that is raised when the query's future is dropped.

mod algebra;
mod call;
mod extract;
mod histogram;
mod leaf;
mod lines;
mod log;
mod metric;
mod sampler;
mod shift;
#[cfg(test)]
mod tests;
mod window;

use skald_vector::CancelFlag;

use crate::ast::Expr;
use crate::error::QueryError;
use crate::parser::parse;
use crate::result::{QueryResult, Stats, Value};
use crate::source::{Direction, EntrySource};

const MS: i64 = 1_000_000;
/// Most steps a range query may have.
pub const MAX_STEPS: i64 = 11_000;

/// The limits of queries.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Longest query text, in bytes. Default 131,072.
    pub max_query_bytes: usize,
    /// Most series a metric query may answer. Default 500.
    pub max_series: usize,
    /// Most lines a log query may ask for. Default 5,000.
    pub max_entries: usize,
    /// Most bytes of lines with their labels that a log query may hold at once. Default: no limit.
    pub max_line_bytes: usize,
    /// Most samples a metric query may hold at once, all ranges together. Default 50,000,000.
    pub max_samples: usize,
    /// Longest piece of time a metric query asks the source for at once, in nanoseconds. Default: all;
    /// a source hands on what it reads piece by piece.
    pub metric_slice_ns: i64,
}

/// A query over a range of time.
#[derive(Clone, Debug)]
pub struct RangeParams {
    pub query: String,
    pub start_ns: i64,
    /// Excluded for lines, included for steps.
    pub end_ns: i64,
    pub step_ns: i64,
    /// Lines nearer to the last one returned than this are left out; 0 keeps all.
    pub interval_ns: i64,
    pub limit: usize,
    pub direction: Direction,
}

/// A query at one time.
#[derive(Clone, Debug)]
pub struct InstantParams {
    pub query: String,
    pub time_ns: i64,
}

/// Evaluates queries. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

/// The steps of a metric query: `start, start + step, … ≤ end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start_ns: i64,
    pub(crate) step_ns: i64,
    pub(crate) n: usize,
}

// === impl EngineOptions ===

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_query_bytes: crate::lexer::MAX_QUERY_BYTES,
            max_series: 500,
            max_entries: 5_000,
            max_line_bytes: usize::MAX,
            max_samples: 50_000_000,
            metric_slice_ns: i64::MAX,
        }
    }
}

// === impl Steps ===

impl Steps {
    fn new(start_ns: i64, end_ns: i64, step_ns: i64) -> Result<Self, QueryError> {
        if step_ns <= 0 {
            return Err(QueryError::Invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
            ));
        }
        // As the peers count: whole steps within the range.
        let n = end_ns.saturating_sub(start_ns) / step_ns;
        if n > MAX_STEPS {
            return Err(QueryError::Invalid(
                "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter".to_owned(),
            ));
        }
        Ok(Self { start_ns, step_ns, n: usize::try_from(n + 1).unwrap_or(0) })
    }

    fn instant(time_ns: i64) -> Self {
        Self { start_ns: time_ns, step_ns: 1, n: 1 }
    }

    pub(crate) fn at(&self, i: usize) -> i64 {
        let i = i64::try_from(i).unwrap_or(i64::MAX);
        self.start_ns.saturating_add(i.saturating_mul(self.step_ns))
    }

    pub(crate) fn end_ns(&self) -> i64 {
        self.at(self.n.saturating_sub(1))
    }
}

// === impl Engine ===

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    fn parse(&self, query: &str) -> Result<Expr, QueryError> {
        let limit = self.options.max_query_bytes;
        if query.len() >= limit {
            let len = query.len();
            return Err(QueryError::Invalid(format!(
                "query of {len} bytes is longer than the limit of {limit}"
            )));
        }
        Ok(parse(query)?)
    }

    /// A log query, or a metric query at each step. Cancelled by dropping the future.
    pub async fn query_range(
        &self,
        source: &dyn EntrySource,
        params: &RangeParams,
    ) -> Result<QueryResult, QueryError> {
        let expr = self.parse(&params.query)?;
        if params.end_ns < params.start_ns {
            return Err(QueryError::Invalid(
                "end timestamp must not be before or equal to start time".to_owned(),
            ));
        }
        match expr {
            Expr::Log(log) => log::run(&self.options, source, &log, params).await,
            Expr::Metric(metric) => {
                let steps = Steps::new(params.start_ns, params.end_ns, params.step_ns)?;
                let (value, stats) = metric::run(&self.options, source, &metric, steps).await?;
                let value = value.into_range(steps, &self.options)?;
                Ok(QueryResult { value, stats, warnings: Vec::new() })
            }
        }
    }

    /// A metric query at one time. Cancelled by dropping the future.
    pub async fn query_instant(
        &self,
        source: &dyn EntrySource,
        params: &InstantParams,
    ) -> Result<QueryResult, QueryError> {
        let Expr::Metric(metric) = self.parse(&params.query)? else {
            return Err(QueryError::Invalid(
                "log queries are not supported as an instant query type, please change your query to a range query type".to_owned(),
            ));
        };
        let steps = Steps::instant(params.time_ns);
        let (value, stats) = metric::run(&self.options, source, &metric, steps).await?;
        let value = value.into_instant(steps, &metric, &self.options)?;
        Ok(QueryResult { value, stats, warnings: Vec::new() })
    }
}

/// Stops blocking work when the future that waits for it is dropped.
#[derive(Debug, Default)]
pub(crate) struct CancelOnDrop(CancelFlag);

impl CancelOnDrop {
    /// The flag for the work.
    pub(crate) fn flag(&self) -> CancelFlag {
        self.0.clone()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    match skald_runtime::spawn_blocking(work).await {
        Ok(out) => out,
        Err(e) if e.is_cancelled() => Err(QueryError::Cancelled),
        Err(e) => Err(QueryError::Internal(e.to_string())),
    }
}

pub(crate) fn ns_to_ms(ns: i64) -> i64 {
    ns.div_euclid(MS)
}

pub(crate) fn empty(value: Value) -> QueryResult {
    QueryResult { value, stats: Stats::default(), warnings: Vec::new() }
}
