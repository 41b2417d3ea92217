//! What a request to delete would touch, for who wants to know before asking. Nothing changes.
//!
//! Time is gone through in slices, so that memory holds what a slice has. What is hidden already is not
//! counted.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use skald_blocks::LabelWant;
use skald_catalog::{DeleteRequest, View, deleted_times};
use skald_logql::{SelectEntries, Selection, Work};
use skald_model::{Matcher, Series, SeriesId, Signal, TimeRange};
use skald_rpc::ingester::SelectSeries;

use crate::blocks::Wanted;
use crate::http::reply::Api;
use crate::http::route::{Call, Class, Route};
use crate::memory::Size;
use crate::source::shown;
use crate::{Error, Querier};

/// Slices are this long, or there are so many if that is longer.
const SLICE_MS: i64 = 86_400_000;
const SLICE_NS: i64 = 3_600_000_000_000;
const MAX_SLICES: i64 = 1_000;

/// What would go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched {
    /// Series or streams.
    pub(crate) series: u64,
    /// Samples or lines.
    pub(crate) rows: u64,
    /// Of lines.
    pub(crate) bytes: u64,
    /// Blocks that would be written anew, of those that there are now.
    pub(crate) blocks: u64,
}

/// Whether a block has some of it.
struct Meets(bool);

impl Size for Meets {
    fn size_bytes(&self) -> usize {
        0
    }
}

/// Whether the client only wants to know. What is not understood must not delete.
pub(crate) fn is_dry_run(call: &Call) -> Result<bool, Error> {
    match call.params.all("dry_run").last() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => {
            Err(Error::parameter("dry_run", format!("{other:?} is not \"true\" or \"false\"")))
        }
    }
}

/// Counts the samples that `request` names.
pub(crate) async fn samples(
    querier: &Querier,
    call: &Call,
    request: &DeleteRequest,
) -> Result<Touched, Error> {
    let route = Route { api: Api::Prometheus, op: "delete_series", class: Class::Reads };
    let _permit = route.enter(querier, &call.scope, &call.params).await?;
    let selector = skald_promql::syntax::parse_selector(&request.query);
    let matchers = selector.map_err(|e| Error::parameter("match[]", e))?.matchers;
    let range = deleted_times(request);
    let (mut touched, mut series) = (Touched::default(), HashSet::<SeriesId>::new());
    let view = querier.fanout().blocks.view(&call.scope.tenant, 0).await?;
    for range in slices(&view, Signal::Metrics, range, SLICE_MS) {
        let scope = call.scope.with_fresh_memory();
        let request = SelectSeries { matchers: matchers.clone(), range, only: None, ids: false };
        let found = querier.fanout().encoded(&scope, request).await?;
        let work = move || {
            let mut counts: Vec<(SeriesId, usize)> = Vec::new();
            for i in 0..skald_promql::SeriesSet::len(&found) {
                let s = found.series(i)?;
                if !s.is_empty() {
                    counts.push((s.labels.id(), s.n_samples()));
                }
            }
            Ok::<_, Error>(counts)
        };
        let counts =
            querier.cpu().run(work).await.map_err(|e| Error::Internal(e.to_string()))??;
        touched.rows += counts.iter().map(|(_, n)| *n as u64).sum::<u64>();
        series.extend(counts.into_iter().map(|(id, _)| id));
    }
    touched.series = series.len() as u64;
    touched.blocks = metric_blocks(querier, call, matchers, range).await?;
    Ok(touched)
}

async fn metric_blocks(
    querier: &Querier,
    call: &Call,
    matchers: Vec<Matcher>,
    range: TimeRange,
) -> Result<u64, Error> {
    let matchers: Arc<[Matcher]> = matchers.into();
    let wanted = Wanted { signal: Signal::Metrics, range, manifest_version: 0 };
    let met = querier.fanout().blocks.read(&call.scope, wanted, |block| {
        let matchers = Arc::clone(&matchers);
        async move {
            let reader = block.metrics().await?;
            let found = reader.encoded(&matchers, range, LabelWant::Only(&[])).await?;
            let any = move || {
                let mut series = Series::default();
                (0..found.len())
                    .any(|i| found.decode(i, range, &mut series).is_err() || !series.is_empty())
            };
            let any = skald_runtime::spawn_blocking(any).await.unwrap_or(true);
            Ok(Meets(any || !reader.exemplars(&matchers, range).await?.is_empty()))
        }
        .boxed()
    });
    Ok(met.await?.iter().filter(|Meets(met)| *met).count() as u64)
}

/// Counts the lines that `request` names.
pub(crate) async fn lines(
    querier: &Querier,
    call: &Call,
    request: &DeleteRequest,
) -> Result<Touched, Error> {
    let route = Route { api: Api::Loki, op: "loki_delete", class: Class::Reads };
    let _permit = route.enter(querier, &call.scope, &call.params).await?;
    let selection = Selection::parse(&request.query).map_err(|e| Error::Invalid(e.to_string()))?;
    let selection = Arc::new(selection);
    let range = deleted_times(request);
    let source = shown(querier.fanout(), &call.scope).await?;
    let (mut touched, mut streams) = (Touched::default(), HashSet::<SeriesId>::new());
    let view = querier.fanout().blocks.view(&call.scope.tenant, 0).await?;
    for range in slices(&view, Signal::Logs, range, SLICE_NS) {
        let select = SelectEntries::all(selection.matchers().to_vec(), range);
        let found = source.select(&select).await;
        let found = found.map_err(|e| Error::of_kind(e.kind, e.message))?;
        let selection = Arc::clone(&selection);
        let count = move || {
            let (mut work, mut counts) = (Work::default(), Vec::new());
            for stream in &found {
                let (mut n, mut bytes) = (0u64, 0u64);
                for e in &stream.entries {
                    if selection.selects(&mut work, &stream.labels, e) {
                        (n, bytes) = (n + 1, bytes + e.line.len() as u64);
                    }
                }
                if n > 0 {
                    counts.push((stream.labels.id(), n, bytes));
                }
            }
            counts
        };
        let counts = querier.cpu().run(count).await.map_err(|e| Error::Internal(e.to_string()))?;
        for (id, n, bytes) in counts {
            touched.rows += n;
            touched.bytes += bytes;
            streams.insert(id);
        }
    }
    touched.series = streams.len() as u64;
    let matchers: Arc<[Matcher]> = selection.matchers().into();
    let wanted = Wanted { signal: Signal::Logs, range, manifest_version: 0 };
    let met = querier.fanout().blocks.read(&call.scope, wanted, |block| {
        let matchers = Arc::clone(&matchers);
        async move {
            let streams = block.logs().await?.streams(&matchers, range).await?;
            Ok(Meets(!streams.is_empty()))
        }
        .boxed()
    });
    touched.blocks = met.await?.iter().filter(|Meets(met)| *met).count() as u64;
    Ok(touched)
}

/// Parts of `range`: what is before the first block, where only heads may have something, and then slices.
fn slices(view: &View, signal: Signal, range: TimeRange, width: i64) -> Vec<TimeRange> {
    let is_of = |block: &skald_catalog::BlockMeta| match signal {
        Signal::Metrics => block.signal() == skald_catalog::Signal::Metrics,
        Signal::Logs => block.signal() == skald_catalog::Signal::Logs,
    };
    let times = view.blocks.iter().filter(|b| is_of(b)).map(|b| b.min_time);
    let first = times.min().unwrap_or(range.end).clamp(range.start, range.end.max(range.start));
    let width = width.max(range.end.saturating_sub(first) / MAX_SLICES);
    let mut slices = vec![TimeRange::new(range.start, first)];
    let mut start = first;
    while start < range.end {
        let end = start.saturating_add(width).min(range.end);
        slices.push(TimeRange::new(start, end));
        start = end;
    }
    slices.retain(|slice| !slice.is_empty());
    slices
}
