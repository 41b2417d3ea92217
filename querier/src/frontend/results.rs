//! Range queries and the cache of results: what of a query is known already, and what of its answer
//! is kept.
//!
//! Invariant: what comes from the cache is what an evaluation would give now. Steps are kept only if
//! all they can look at is in blocks: no head has anything of it. Before they are used the heads are
//! asked again, and the blocks of a view at least as new as their answer are compared with those of
//! then: late data, compaction and retention all show there. Requests to delete samples stand beside the
//! blocks, as if each were one.

use std::sync::Arc;

use skald_catalog::{Signal, deleted_times};
use skald_model::TimeRange;
use skald_promql::QueryResult;
use skald_rpc::ingester::SelectSeries;

use super::cache::{BlockSpan, Extent, Key, overlapping, part};
use super::join::Joined;
use super::range::{Plan, RangeQuery};
use super::split::Steps;
use crate::Error;

/// Most selectors of a query whose results are kept: the heads are asked about each.
const MAX_SELECTORS: usize = 32;

/// What is known of a query before it is evaluated.
#[derive(Debug)]
pub(super) struct Known {
    /// Of the tenant, all; and requests to delete that are not carried out.
    blocks: Vec<BlockSpan>,
    /// The last time of any block.
    newest: Option<i64>,
    /// Parallel to the pieces.
    pub(super) found: Vec<Option<Found>>,
}

/// Steps of a piece that need no evaluation.
#[derive(Debug)]
pub(super) struct Found {
    extent: Arc<Extent>,
    pub(super) from: i64,
    pub(super) to: i64,
    /// The last step of the extent that holds still.
    until: i64,
}

// === impl Found ===

impl Found {
    fn of(extent: Arc<Extent>, piece: Steps, blocks: &[BlockSpan], text: &str) -> Option<Self> {
        let until = extent.holds_until(blocks)?;
        let Steps { start_ms, end_ms, .. } = extent.steps;
        let (from, to) = (start_ms.max(piece.start_ms), until.min(piece.last_ms()));
        // A remark belongs to all steps together.
        let whole = (from, to) == (start_ms, end_ms) && &*extent.text == text;
        let usable = from <= to && (extent.annotations.is_empty() || whole);
        usable.then_some(Self { extent, from, to, until })
    }

    pub(super) fn result(&self) -> QueryResult {
        let series = self.extent.part(self.from, self.to);
        Joined::of(series, self.extent.annotations.clone())
    }
}

impl Plan {
    fn key(&self, query: &RangeQuery<'_>, piece: Steps) -> Key {
        let Steps { start_ms, step_ms, .. } = piece;
        Key {
            tenant: query.scope.tenant.clone(),
            expr: Arc::clone(&self.text),
            step_ms,
            phase_ms: start_ms.rem_euclid(step_ms),
            lookback_ms: self.lookback_ms,
            interval: (self.interval_ms, start_ms.div_euclid(self.interval_ms)),
        }
    }
}

impl RangeQuery<'_> {
    pub(super) fn may_be_known(&self) -> bool {
        !self.no_store && !self.querier.results().is_off()
    }

    /// `None` if the cache takes no part in this query.
    pub(super) async fn lookup(&self, plan: &Plan) -> Option<Known> {
        let cache = self.querier.results();
        if !self.may_be_known() || plan.expr.selectors().len() > MAX_SELECTORS {
            return None;
        }
        let keys = plan.pieces.iter().map(|piece| cache.get(&plan.key(self, *piece)));
        let mut kept: Vec<_> = keys.collect();
        let mut version = 0;
        // The last piece apart: heads have something of its time more often than of earlier ones.
        let last = kept.len().saturating_sub(1);
        let (before, last) = kept.split_at_mut(last);
        for group in [before, last] {
            let Some(range) = hull(group.iter().flatten().map(|e| e.looks_at())) else { continue };
            match self.heads_have(plan, range).await {
                Ok((false, newest)) => version = version.max(newest),
                Ok((true, _)) | Err(_) => group.fill(None),
            }
        }
        let view = self.querier.fanout().blocks.view(&self.scope.tenant, version).await.ok()?;
        let metrics = view.blocks.iter().filter(|b| b.signal == i32::from(Signal::Metrics));
        let mut blocks: Vec<_> = metrics.map(|b| (b.id.clone(), b.min_time, b.max_time)).collect();
        let newest = blocks.iter().map(|(_, _, max)| *max).max();
        // No id of a block has a space.
        blocks.extend(view.open_deletes(Signal::Metrics).map(|d| {
            let times = deleted_times(d);
            (format!("delete {}", d.id), times.start, times.end.saturating_sub(1))
        }));
        blocks.sort_unstable();
        let found = plan.pieces.iter().zip(kept);
        let found: Vec<_> = found.map(|(p, e)| Found::of(e?, *p, &blocks, self.text)).collect();
        let hits = found.iter().flatten().count();
        self.scope.record.add_cached(hits, found.len() - hits);
        Some(Known { blocks, newest, found })
    }

    /// Keeps what was evaluated, as far as it cannot change but by new blocks.
    pub(super) async fn keep(&self, plan: &Plan, known: Known, fresh: Vec<(usize, QueryResult)>) {
        let Some(newest) = known.newest else { return };
        let min_age = self.querier.config().results_cache_min_age.as_millis();
        let settled = newest.min(self.querier.now_ms().saturating_sub(min_age));
        let settled = settled.saturating_sub(plan.reach.future_ms);
        let last = plan.pieces.len().saturating_sub(1);
        let extents = fresh.into_iter().filter_map(|(i, result)| {
            let piece = *plan.pieces.get(i)?;
            let found = known.found.get(i)?.as_ref();
            let extent = self.extent(plan, piece, result, found, settled)?;
            let blocks = overlapping(&known.blocks, extent.looks_at());
            Some((i, plan.key(self, piece), Extent { blocks, ..extent }))
        });
        let (before, last): (Vec<_>, Vec<_>) = extents.partition(|(i, ..)| *i < last);
        for group in [before, last] {
            let Some(range) = hull(group.iter().map(|(_, _, e)| e.looks_at())) else { continue };
            if let Ok((false, _)) = self.heads_have(plan, range).await {
                group.into_iter().for_each(|(_, key, e)| self.querier.results().put(key, e));
            }
        }
    }

    /// The steps of `piece` up to `settled`, with those around them that were found.
    fn extent(
        &self,
        plan: &Plan,
        piece: Steps,
        result: QueryResult,
        found: Option<&Found>,
        settled: i64,
    ) -> Option<Extent> {
        let Steps { start_ms, step_ms, .. } = piece;
        let room = piece.last_ms().min(settled).checked_sub(start_ms).filter(|room| *room >= 0)?;
        let end_ms = start_ms + room - room % step_ms;
        let QueryResult { value: skald_promql::Value::Matrix(series), annotations, .. } = result
        else {
            return None;
        };
        let is_whole = end_ms == piece.last_ms();
        if !is_whole && !annotations.is_empty() {
            return None;
        }
        let mut steps = Steps { start_ms, end_ms, step_ms };
        let mut series = if is_whole { series } else { part(&series, start_ms, end_ms) };
        if let Some(Found { extent: old, until, .. }) = found
            && annotations.is_empty()
            && old.annotations.is_empty()
        {
            let before = old.part(old.steps.start_ms, start_ms.saturating_sub(1));
            let reaches_on = is_whole && *until > end_ms;
            let behind = if reaches_on { old.part(end_ms + 1, *until) } else { Vec::new() };
            steps.start_ms = start_ms.min(old.steps.start_ms);
            steps.end_ms = if reaches_on { *until } else { end_ms };
            series = Joined::series_of([before, series, behind]);
        }
        let (reach, text) = (plan.reach, self.text.into());
        Some(Extent { steps, reach, series, annotations, text, blocks: Vec::new() })
    }

    /// Whether heads have anything that the query selects between two times, both inclusive; and the
    /// newest commit that they rely on.
    async fn heads_have(&self, plan: &Plan, (from, to): (i64, i64)) -> Result<(bool, u64), Error> {
        let range = TimeRange::new(from, to.saturating_add(1));
        let mut newest = 0;
        for matchers in plan.expr.selectors() {
            let matchers = matchers.to_vec();
            let request = SelectSeries { matchers, range, only: Some(Vec::new()), ids: false };
            let scope = self.scope.piece();
            let (any, version) = self.querier.fanout().heads_have(&scope, request).await?;
            newest = newest.max(version);
            if any {
                return Ok((true, newest));
            }
        }
        Ok((false, newest))
    }
}

/// The times that all ranges together span.
fn hull(ranges: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
    ranges.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
}
