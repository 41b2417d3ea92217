//! The engine: bounds, fetch, evaluation off the I/O threads, cancellation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use skald_runtime::CpuPool;
use skald_vector::{CancelFlag, Context, Grid, NameRemoval, Seen};
use tokio::time::Instant;

use crate::eval::{Answer, Evaluator};
use crate::exec::{Fetched, Memory};
use crate::expr::{Expr, ValueType};
use crate::plan::{Plan, Span, plan};
use crate::syntax::Env;
use crate::{QueryError, QueryResult, SeriesSource, Stats, Value, parse, result};

/// How many selectors of one query are fetched at a time.
const CONCURRENT_SELECTS: usize = 8;
/// What a query may look at to be evaluated where it is: about a quarter of a millisecond each.
const SMALL: Small =
    Small { series: 1 << 10, points: 32 << 10, samples: 96 << 10, windows: 256 << 10 };
const LIMIT_WARNING: &str = "results truncated due to limit";

/// Bounds and defaults of all queries.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far an instant selector looks back.
    pub lookback_ms: i64,
    /// Most samples that a query may hold at once, loaded and computed.
    pub max_samples: usize,
    /// Most bytes that a query may hold: what was fetched, columns and accumulators.
    pub max_memory_bytes: Option<usize>,
    /// Most steps of a range query.
    pub max_points: usize,
    /// The step of `[5m:]`.
    pub default_subquery_step_ms: i64,
    /// Longest run of a query, unless its options say less.
    pub timeout: Duration,
    /// When metric names disappear from results; Prometheus by default removes them at once.
    pub names: NameRemoval,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_memory_bytes: None,
            max_points: 11_000,
            default_subquery_step_ms: 60_000,
            timeout: Duration::from_secs(120),
            names: NameRemoval::Immediate,
        }
    }
}

/// What one query may choose.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    pub lookback_ms: Option<i64>,
    /// Most series in the answer; more are cut off with a warning.
    pub limit: Option<usize>,
    /// Shorter than the engine's, or it has no effect.
    pub timeout: Option<Duration>,
    /// Whether the statistics have counts for each step.
    pub step_stats: bool,
}

/// Evaluates queries. Stateless between them.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
    cpu: Option<CpuPool>,
}

/// What is evaluated.
struct Query<'q> {
    text: &'q str,
    expr: Expr,
    grid: Grid,
    /// What `step()` is: nothing where a query begins and ends at one time.
    step_ms: i64,
    mode: Mode,
}

/// Asks the evaluation to stop when the query's future is dropped.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

// === impl Engine ===

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        Self { options, cpu: None }
    }

    /// Lets queries compute on as many threads as `pool` has free. Results do not depend on it.
    #[must_use]
    pub fn on(self, pool: CpuPool) -> Self {
        Self { cpu: Some(pool), ..self }
    }

    /// The same engine, on the same pool, with other bounds.
    #[must_use]
    pub fn with_options(&self, options: EngineOptions) -> Self {
        Self { options, ..self.clone() }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    #[cfg(test)]
    pub(crate) fn has_helpers(&self) -> bool {
        self.cpu.is_some()
    }

    /// Evaluates `query` at one time. Cancel-safe: dropping the future stops the work.
    pub async fn instant(
        &self,
        source: &dyn SeriesSource,
        query: &str,
        time_ms: i64,
        opts: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse::parse(query, Env { step: 0.0, range: 0.0 })?;
        let grid = Grid::instant(time_ms);
        self.run(source, Query { text: query, expr, grid, step_ms: 0, mode: Mode::Instant }, opts)
            .await
    }

    /// Evaluates `query` at `start_ms`, every `step_ms`, up to and including `end_ms`. Cancel-safe.
    pub async fn range(
        &self,
        source: &dyn SeriesSource,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        opts: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        if step_ms <= 0 {
            return Err(QueryError::Invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer"
                    .to_owned(),
            ));
        }
        if end_ms < start_ms {
            let text = "end timestamp must not be before start time".to_owned();
            return Err(QueryError::Invalid(text));
        }
        let grid = Grid::range(start_ms, end_ms, step_ms);
        // The number of steps between the ends is what is limited.
        if grid.n.saturating_sub(1) > self.options.max_points {
            return Err(QueryError::Invalid(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                    .to_owned(),
            ));
        }
        let seconds = |ms: i64| Duration::from_millis(ms.unsigned_abs()).as_secs_f64();
        let env = Env { step: seconds(step_ms), range: seconds(end_ms.saturating_sub(start_ms)) };
        let expr = parse::parse(query, env)?;
        let value_type = expr.value_type();
        if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::Invalid(format!(
                "invalid expression type \"{value_type}\" for range query, must be Scalar or instant Vector"
            )));
        }
        let step_ms = if start_ms == end_ms { 0 } else { step_ms };
        self.run(source, Query { text: query, expr, grid, step_ms, mode: Mode::Range }, opts).await
    }

    async fn run(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        opts: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let timeout = opts.timeout.map_or(self.options.timeout, |t| t.min(self.options.timeout));
        let cancel = CancelFlag::default();
        let _guard = CancelOnDrop(cancel.clone());
        let work = self.fetch_and_evaluate(source, query, opts, cancel);
        tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            Err(QueryError::Timeout("query timed out in expression evaluation".to_owned()))
        })
    }

    async fn fetch_and_evaluate(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        opts: &QueryOptions,
        cancel: CancelFlag,
    ) -> Result<QueryResult, QueryError> {
        let Query { text, expr, grid, step_ms, mode } = query;
        let lookback = opts.lookback_ms.filter(|ms| *ms > 0);
        let span = Span {
            grid,
            step_ms,
            lookback_ms: lookback.unwrap_or(self.options.lookback_ms),
            default_step_ms: self.options.default_subquery_step_ms,
        };
        let begin = Instant::now();
        let plan = plan(&expr, &span);
        let series = fetch(source, &plan, &cancel).await?;
        let mut memory = Memory::new(self.options.max_memory_bytes);
        for (select, found) in plan.selects.iter().zip(&series) {
            memory.fetched(select, found.size_bytes())?;
        }
        let mut stats = Stats { selects: series.len() as u64, ..Stats::default() };
        stats.series_read = series.iter().map(|s| s.len() as u64).sum();
        stats.fetch_us = micros(begin);
        let max_samples = self.options.max_samples;
        let ctx = Context {
            cancel,
            names: self.options.names,
            seen: if opts.step_stats { Seen::per_step(grid.n) } else { Seen::default() },
            max_slots: Some(max_samples.min(memory.max_samples())),
            ..Context::default()
        };
        let limit = opts.limit.filter(|limit| *limit > 0);
        let begin = Instant::now();
        let is_small = SMALL.has(&plan, &series);
        let cpu = self.cpu.clone().filter(|_| !is_small);
        let text = text.to_owned();
        let evaluate = move || {
            // Whether or not a slot is free, the evaluation goes on: many small queries take turns.
            let _slot = cpu.as_ref().and_then(CpuPool::try_slot);
            let mut evaluator = Evaluator::new(span, ctx, &plan, &series, max_samples, memory);
            evaluator.cpu.clone_from(&cpu);
            let answer = evaluator.answer(&expr, mode).map_err(|e| evaluator.explain(e))?;
            let Context { mut annotations, seen, cancel, .. } = evaluator.ctx;
            // Where the evaluation stood last is nobody's business.
            annotations.place = None;
            let mut warnings = annotations.warnings(&text);
            let ctx = Context { cancel, ..Context::default() };
            let value = finish(answer, grid.start_ms, mode, limit, &mut warnings, &ctx)?;
            let infos = annotations.infos(&text);
            let stats = Stats::default();
            let result = QueryResult { value, warnings, infos, annotations, stats };
            Ok::<_, QueryError>((result, seen, evaluator.counters))
        };
        let (mut result, seen, counters) = if is_small {
            let done = catch_unwind(AssertUnwindSafe(evaluate));
            done.map_err(|_| evaluation_failed(&"panic"))??
        } else {
            skald_runtime::spawn_blocking(evaluate).await.map_err(|e| evaluation_failed(&e))??
        };
        stats.samples_decoded = counters.read as u64;
        stats.samples_read = seen.read;
        stats.samples_total = seen.total;
        let steps = grid.times().zip(seen.steps.into_iter().flatten());
        stats.steps = steps.map(|(time, (total, read))| (time, total, read)).collect();
        stats.peak_samples = counters.peak as u64;
        stats.eval_us = micros(begin);
        result.stats = stats;
        Ok(result)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Instant,
    Range,
}

/// Bounds of work that is not worth another thread.
struct Small {
    /// Of one selector, to be put in order.
    series: usize,
    /// Steps of nodes times series.
    points: usize,
    samples: usize,
    /// Samples times steps that look at windows of them.
    windows: usize,
}

// === impl Small ===

impl Small {
    fn has(&self, plan: &Plan, fetched: &[Arc<Fetched>]) -> bool {
        let series: usize = fetched.iter().map(|f| f.len()).sum();
        if plan.node_steps.saturating_mul(series.max(1)) > self.points {
            return false;
        }
        let samples: usize = fetched.iter().map(|f| f.n_samples()).sum();
        samples <= self.samples && samples.saturating_mul(plan.window_steps) <= self.windows
    }
}

fn evaluation_failed(error: &dyn std::fmt::Display) -> QueryError {
    tracing::error!(%error, "query evaluation failed");
    QueryError::Execution("query evaluation failed unexpectedly".to_owned())
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Fetches all requests of a plan, a few at a time, in the plan's order.
async fn fetch(
    source: &dyn SeriesSource,
    plan: &Plan,
    cancel: &CancelFlag,
) -> Result<Vec<Arc<Fetched>>, QueryError> {
    // Each future is boxed: the source's are large and there may be many.
    let requests = plan.selects.iter().map(|select| async move {
        let set = source.select(select).await.map_err(QueryError::Source)?;
        let ctx = Context { cancel: cancel.clone(), ..Context::default() };
        let (is_small, stats) = (set.len() <= SMALL.series, select.histogram_stats);
        let in_order = move || Fetched::new(set, stats, &ctx);
        let fetched = if is_small {
            in_order()?
        } else {
            skald_runtime::spawn_blocking(in_order).await.map_err(|e| evaluation_failed(&e))??
        };
        Ok(Arc::new(fetched))
    });
    let requests: Vec<_> = requests.collect();
    stream::iter(requests).buffered(CONCURRENT_SELECTS).try_collect().await
}

fn finish(
    answer: Answer,
    time_ms: i64,
    mode: Mode,
    limit: Option<usize>,
    warnings: &mut Vec<String>,
    ctx: &Context,
) -> Result<Value, QueryError> {
    let mut cut = |n: usize| {
        let limit = limit.filter(|l| *l < n)?;
        warnings.push(LIMIT_WARNING.to_owned());
        Some(limit)
    };
    Ok(match answer {
        Answer::Scalar(v) => Value::Scalar { time_ms, value: v },
        Answer::Text(value) => Value::String { time_ms, value },
        Answer::Series(mut series) => {
            if let Some(limit) = cut(series.len()) {
                series.truncate(limit);
            }
            Value::Matrix(series)
        }
        Answer::Steps(matrix) if mode == Mode::Range => {
            let mut series = result::matrix(matrix, ctx)?;
            if let Some(limit) = cut(series.len()) {
                series.truncate(limit);
            }
            Value::Matrix(series)
        }
        Answer::Steps(matrix) => {
            let mut samples = result::vector(&matrix, ctx)?;
            if let Some(limit) = cut(samples.len()) {
                samples.truncate(limit);
            }
            Value::Vector(samples)
        }
    })
}

/// Series as loaded, shared between the selectors that asked for the same.
pub(crate) type Shared = Arc<Vec<crate::eval::Loaded>>;
