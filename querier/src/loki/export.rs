//! `export`: all lines of a log query, oldest first, as NDJSON or Parquet, however many there are.
//!
//! ```text
//! range in slices ─as wide as memory allows─▶ lines by time ─▶ NDJSON | Parquet ─pieces─▶ client
//! ```
//!
//! A slice is read when the client has taken the one before. Each waits for its turn as a query does
//! and may take as long as one, so that a slow client holds up nobody; what somebody asks to delete
//! meanwhile is hidden from then on. The first is read before the answer begins, so that what fails
//! early has its status; what fails later breaks the connection off.

mod encode;
mod slices;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use skald_limits::Limits;
use skald_logql::ast::LogExpr;
use skald_logql::{Direction, Expr, Pipeline, ResultEntry, ResultStream, SelectEntries, Work};
use skald_model::{Labels, Matcher, StreamEntries, TimeRange};
use skald_runtime::ByteSize;

use self::encode::{Encoder, Format, Written};
use self::slices::Slices;
use super::query::{check_length, direction, query_text};
use super::{Bounds, count, source};
use crate::frontend::queue::{self, Permit};
use crate::http::reply::{Answer, Streamed};
use crate::http::route::Call;
use crate::scope::Scope;
use crate::{Error, Querier};

/// What one slice may hold in memory, unless the tenant has less.
const MEMORY: u64 = 128 << 20;

/// A line and the labels of its stream.
type Line = (Labels, ResultEntry);

pub(super) async fn export(querier: Querier, call: Call) -> Result<Answer, Error> {
    let format = Format::of(&call.params)?;
    if direction(&call.params, Direction::Forward)? != Direction::Forward {
        return Err(Error::Invalid("export is oldest first; leave direction out".to_owned()));
    }
    let bounds = Bounds::of(&call.params, querier.now_ns())?;
    check_length(&call.scope, bounds.end.saturating_sub(bounds.start))?;
    let left = count(&call.params, "limit", usize::MAX)?;
    let LogExpr { matchers, stages, span } = log_query(&query_text(&call.params)?)?;
    let log = LogExpr { matchers: Vec::new(), stages, span };
    let pipeline = Pipeline::compile(&log).map_err(|e| Error::Invalid(e.to_string()))?;
    let permit = permit(&querier, &call.scope).await?;
    let range = TimeRange::new(bounds.start, bounds.end);
    let scope = modest(&call.scope);
    let shared: Arc<[Matcher]> = matchers.clone().into();
    let size = querier.fanout().stats(&scope, &shared, range).await?;
    let reader = Reader {
        querier,
        tenants: call.scope,
        scope,
        matchers,
        pipeline: Arc::new(pipeline),
        slices: Slices::new(range, size.bytes),
        left,
        has_turn: true,
        _permit: permit,
    };
    let export = Export { reader, lines: Vec::new().into_iter(), encoder: Encoder::new(format)? };
    let (first, rest) = export.step().await?;
    let first = stream::iter([Ok(first)]);
    let rest = stream::try_unfold(rest, |export| async {
        match export {
            Some(export) => export.step().await.map(Some),
            None => Ok(None),
        }
    });
    Ok(Answer::Stream(Streamed::new(format.headers(), first.chain(rest).boxed())))
}

fn log_query(text: &str) -> Result<LogExpr, Error> {
    match skald_logql::parse(text).map_err(|e| Error::Invalid(e.to_string()))? {
        // Nothing bounds what it would have to remember.
        Expr::Log(log) if log.distinct().is_some() => {
            Err(Error::Invalid("export takes no distinct; leave it out, or use query_range".into()))
        }
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => {
            Err(Error::Invalid("export needs a log query, not a metric query".to_owned()))
        }
    }
}

/// The tenant's right to one more export: as many as queries.
async fn permit(querier: &Querier, scope: &Scope) -> Result<Permit, Error> {
    let max_concurrent = scope.limits.max_concurrent_queries;
    let bounds = queue::Bounds { max_concurrent, max_waiting: 0, cost: 1 };
    querier.exports().enter(&scope.tenant, bounds).await
}

/// The same request with no more memory than a slice needs.
fn modest(scope: &Scope) -> Scope {
    let memory = match scope.limits.max_query_memory.0 {
        0 => MEMORY,
        own => own.min(MEMORY),
    };
    let limits = Limits { max_query_memory: ByteSize(memory), ..Limits::clone(&scope.limits) };
    scope.with_limits(Arc::new(limits))
}

/// An export under way.
struct Export {
    reader: Reader,
    /// Of the last slice, not yet written.
    lines: std::vec::IntoIter<Line>,
    encoder: Encoder,
}

/// Reads slice after slice.
struct Reader {
    querier: Querier,
    /// With the limits of the tenant.
    tenants: Scope,
    /// With those of a slice.
    scope: Scope,
    matchers: Vec<Matcher>,
    pipeline: Arc<Pipeline>,
    slices: Slices,
    /// Lines that may still come.
    left: usize,
    /// Whether the request still has its place in the queue.
    has_turn: bool,
    _permit: Permit,
}

// === impl Export ===

impl Export {
    /// Reads a slice if need be. The next bytes, or none yet, and what makes those behind them.
    async fn step(self) -> Result<(Vec<u8>, Option<Self>), Error> {
        let Self { mut reader, mut lines, encoder } = self;
        if lines.len() == 0 && !reader.is_done() {
            lines = reader.read().await?.into_iter();
            reader.has_turn = false;
        }
        let is_last = reader.is_done();
        let done = reader.querier.cpu().run(move || encoder.write(lines, is_last)).await;
        let Written { bytes, rest } = done.map_err(|e| Error::Internal(e.to_string()))??;
        Ok((bytes, rest.map(|(encoder, lines)| Self { reader, lines, encoder })))
    }
}

// === impl Reader ===

impl Reader {
    fn is_done(&self) -> bool {
        self.left == 0 || self.slices.is_done()
    }

    /// Reads the next slice, in smaller parts if it does not fit in memory.
    async fn read(&mut self) -> Result<Vec<Line>, Error> {
        let _turn = if self.has_turn { None } else { Some(self.turn().await?) };
        while let Some(range) = self.slices.next() {
            let limit = self.tenants.limits.query_timeout.0;
            let limit = if limit.is_zero() { Duration::MAX } else { limit };
            let read = tokio::time::timeout(limit, self.slice(range)).await;
            let timeout =
                |_| Error::Timeout(format!("a part of the export timed out after {limit:?}"));
            match read.map_err(timeout)? {
                Err(Error::Limit(_)) if self.slices.narrow() => {}
                Err(Error::Limit(_)) if self.scope.limits != self.tenants.limits => {
                    // So many lines of one time: what the tenant may have is the bound.
                    self.scope = self.tenants.clone();
                }
                Err(e) => return Err(e),
                Ok((mut lines, bytes)) => {
                    self.slices.passed(bytes);
                    lines.truncate(self.left);
                    self.left -= lines.len();
                    return Ok(lines);
                }
            }
        }
        Ok(Vec::new())
    }

    async fn turn(&self) -> Result<Permit, Error> {
        let limits = &self.tenants.limits;
        let max_concurrent = limits.max_concurrent_queries;
        // Begun is begun: the number of exports is bounded, so is that of those who wait.
        let bounds = queue::Bounds { max_concurrent, max_waiting: usize::MAX, cost: 1 };
        self.querier.queue().enter(&self.tenants.tenant, bounds).await
    }

    /// The lines of `range` by time, and the bytes that were read for them.
    async fn slice(&self, range: TimeRange) -> Result<(Vec<Line>, u64), Error> {
        let source = source(&self.querier, &self.scope).await?;
        let needles = self.pipeline.needles().to_vec();
        let all = SelectEntries::all(self.matchers.clone(), range);
        let select = SelectEntries { needles, ..all };
        let streams = source.select(&select).await;
        let streams = streams.map_err(|e| Error::of_kind(e.kind, e.message))?;
        let pipeline = Arc::clone(&self.pipeline);
        let work = move || sorted(&pipeline, streams, range);
        self.querier.cpu().run(work).await.map_err(|e| Error::Internal(e.to_string()))
    }
}

/// What passes, by time; lines of one time by stream, and as they were written.
fn sorted(
    pipeline: &Pipeline,
    mut streams: Vec<StreamEntries>,
    range: TimeRange,
) -> (Vec<Line>, u64) {
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    let (mut work, mut lines, mut bytes) = (Work::default(), Vec::new(), 0);
    for mut stream in streams {
        stream.entries.retain(|e| range.contains(e.timestamp_ns));
        bytes += stream.entries.iter().map(|e| e.size_bytes() as u64).sum::<u64>();
        for ResultStream { stream_labels, entries } in pipeline.run(&mut work, &stream) {
            lines.extend(entries.into_iter().map(|e| (stream_labels.clone(), e)));
        }
    }
    lines.sort_by_key(|(_, e): &Line| e.timestamp_ns);
    (lines, bytes)
}
