//! A range query: as a whole, or in pieces of time that are evaluated side by side.
//!
//! Invariant: the answer is that of the whole query. Where pieces cannot tell (an error, a limit, a
//! remark whose place they name differently), the whole is evaluated and its answer counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use skald_model::ErrorKind;
use skald_promql::syntax::ast::Expr;
use skald_promql::{Engine, EngineOptions, QueryError, QueryOptions, QueryResult, syntax};

use super::join::{Joined, size_bytes};
use super::results::Found;
use super::shape::{self, Reach};
use super::split::Steps;
use crate::Querier;
use crate::scope::Scope;
use crate::source::MetricSource;

/// One range query of a tenant.
#[derive(Debug)]
pub(crate) struct RangeQuery<'q> {
    pub(crate) querier: &'q Querier,
    pub(crate) scope: &'q Scope,
    pub(crate) engine: &'q Engine,
    pub(crate) text: &'q str,
    pub(crate) steps: Steps,
    pub(crate) options: &'q QueryOptions,
    /// Neither take from the cache of results nor keep anything there.
    pub(crate) no_store: bool,
}

/// How a query is evaluated in pieces.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) expr: Expr,
    /// The expression, however it was written.
    pub(super) text: Arc<str>,
    pub(super) lookback_ms: i64,
    pub(super) reach: Reach,
    pub(super) interval_ms: i64,
    /// One or more, in the order of time.
    pub(super) pieces: Vec<Steps>,
}

/// A part of a piece, by the number of the piece.
enum Part<'k> {
    Known(usize, &'k Found),
    Run(usize, Steps),
}

/// Why the pieces give no answer.
enum Stopped {
    /// The whole must be evaluated.
    Unclear,
    /// The whole would fail too.
    Failed(QueryError),
}

// === impl Part ===

impl Part<'_> {
    /// The number of its piece if it must be evaluated.
    fn runs(&self) -> Option<usize> {
        match self {
            Self::Known(..) => None,
            Self::Run(i, _) => Some(*i),
        }
    }
}

// === impl RangeQuery ===

impl RangeQuery<'_> {
    /// Evaluates the query. Cancel-safe.
    pub(crate) async fn evaluate(&self) -> Result<QueryResult, QueryError> {
        let Some(plan) = self.plan() else { return self.whole().await };
        let known = self.lookup(&plan).await;
        if known.is_none() && plan.pieces.len() < 2 {
            return self.whole().await;
        }
        let held = self.scope.memory.used();
        let found = known.as_ref().map_or(&[][..], |known| &known.found);
        match self.joined(&plan, found, known.is_some()).await {
            Ok((result, fresh)) => {
                if let Some(known) = known {
                    self.keep(&plan, known, fresh).await;
                }
                Ok(result)
            }
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Unclear) => {
                self.scope.memory.return_to(held);
                self.whole().await
            }
        }
    }

    pub(crate) async fn whole(&self) -> Result<QueryResult, QueryError> {
        run(self.engine, self.scope, self.querier, self.text, self.steps, self.options).await
    }

    /// `None` if the query must stay whole.
    fn plan(&self) -> Option<Plan> {
        let asked_ms = self.querier.config().split_queries_by_interval.as_millis();
        let (interval_ms, pieces) = self.steps.pieces(asked_ms)?;
        // What is no longer than a piece is not worth two, wherever it begins.
        let is_short = self.steps.end_ms.saturating_sub(self.steps.start_ms) <= interval_ms;
        if (is_short || pieces.len() < 2) && !self.may_be_known() {
            return None;
        }
        let asked = self.options.lookback_ms.filter(|ms| *ms > 0);
        let lookback_ms = asked.unwrap_or(self.engine.options().lookback_ms);
        let expr = syntax::parse(self.text).ok()?;
        let reach = shape::reach(&expr, lookback_ms)?;
        // Each piece fetches what its first step looks back to: that must not be most of it.
        if reach.total_ms() > interval_ms {
            return None;
        }
        let text = expr.to_string().into();
        Some(Plan { expr, text, lookback_ms, reach, interval_ms, pieces })
    }

    /// The whole answer, and if `keeps` those of the pieces that were evaluated.
    async fn joined(
        &self,
        plan: &Plan,
        found: &[Option<Found>],
        keeps: bool,
    ) -> Result<(QueryResult, Vec<(usize, QueryResult)>), Stopped> {
        let parts = parts(plan, found);
        // Of these the answers are kept, so they are put together on their own as well.
        let fresh: BTreeSet<usize> =
            parts.iter().filter_map(Part::runs).filter(|_| keeps).collect();
        let n_runs = parts.iter().filter_map(Part::runs).count();
        let is_whole = parts.len() == 1 && n_runs == 1;
        let parallel = self.querier.config().split_concurrency.clamp(1, n_runs.max(1));
        let whole = self.engine.options();
        let engine = self.engine.with_options(EngineOptions {
            // So that all that run at a time hold no more than the whole might.
            max_memory_bytes: whole.max_memory_bytes.map(|bytes| bytes / parallel),
            ..whole.clone()
        });
        let options = QueryOptions { limit: None, ..self.options.clone() };
        let (engine, options) = (&engine, &options);
        if plan.pieces.len() > 1 {
            self.scope.record.add_pieces(n_runs);
        }
        // Boxed: these futures are large and there may be many.
        let runs = parts.into_iter().map(|part| {
            let scope = self.scope.piece();
            Box::pin(async move {
                match part {
                    Part::Known(i, found) => (i, Ok(found.result())),
                    Part::Run(i, steps) => {
                        let run = run(engine, &scope, self.querier, self.text, steps, options);
                        (i, run.await)
                    }
                }
            })
        });
        let runs: Vec<_> = runs.collect();
        let mut runs = stream::iter(runs).buffered(parallel);
        let (mut joined, mut pieces) = (Joined::default(), BTreeMap::<usize, Joined>::new());
        while let Some((i, part)) = runs.next().await {
            let part = part.map_err(|e| if is_whole { Stopped::Failed(e) } else { stopped(e) })?;
            self.scope.memory.take(size_bytes(&part)).map_err(|_| Stopped::Unclear)?;
            if fresh.contains(&i) {
                let piece = pieces.entry(i).or_default();
                piece.push(part.clone()).map_err(|_| Stopped::Unclear)?;
            }
            joined.push(part).map_err(|_| Stopped::Unclear)?;
            if joined.n_points > whole.max_samples {
                return Err(Stopped::Unclear);
            }
        }
        let fresh = pieces.into_iter().map(|(i, piece)| (i, piece.finish(self.text, None)));
        let fresh = fresh.collect();
        Ok((joined.finish(self.text, self.options.limit), fresh))
    }
}

/// What of each piece is known, and what before and behind that is to be evaluated.
fn parts<'k>(plan: &Plan, found: &'k [Option<Found>]) -> Vec<Part<'k>> {
    let mut parts = Vec::new();
    for (i, piece) in plan.pieces.iter().enumerate() {
        let Steps { start_ms, step_ms, .. } = *piece;
        let end_ms = piece.last_ms();
        let mut run = |start_ms, end_ms| {
            if start_ms <= end_ms {
                parts.push(Part::Run(i, Steps { start_ms, end_ms, step_ms }));
            }
        };
        match found.get(i).and_then(Option::as_ref) {
            None => run(start_ms, end_ms),
            Some(known) => {
                run(start_ms, known.from.saturating_sub(step_ms));
                parts.push(Part::Known(i, known));
                if let Some(next) = known.to.checked_add(step_ms).filter(|next| *next <= end_ms) {
                    parts.push(Part::Run(i, Steps { start_ms: next, end_ms, step_ms }));
                }
            }
        }
    }
    parts
}

fn stopped(error: QueryError) -> Stopped {
    match error {
        QueryError::Timeout(_) | QueryError::Cancelled => Stopped::Failed(error),
        QueryError::Source(ref source) if source.kind != ErrorKind::LimitExceeded => {
            Stopped::Failed(error)
        }
        _ => Stopped::Unclear,
    }
}

async fn run(
    engine: &Engine,
    scope: &Scope,
    querier: &Querier,
    text: &str,
    steps: Steps,
    options: &QueryOptions,
) -> Result<QueryResult, QueryError> {
    let source = MetricSource::new(querier.fanout().clone(), scope.clone());
    let Steps { start_ms, end_ms, step_ms } = steps;
    engine.range(&source, text, start_ms, end_ms, step_ms, options).await
}
