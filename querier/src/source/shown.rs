//! Entries without those that somebody asked to delete.

use std::sync::Arc;

use async_trait::async_trait;
use skald_catalog::View;
use skald_logql::{EntrySink, EntrySource, SelectEntries, SourceError};
use skald_model::{ErrorKind, StreamEntries, TimeRange};

use super::LogSource;
use crate::Error;
use crate::deletes::Deletes;
use crate::fanout::Fanout;
use crate::scope::Scope;

/// A scan holds what is in this time, or in one of so many parts if that is longer.
const SLICE_NS: i64 = 3_600_000_000_000;
const MAX_SLICES: i64 = 500;

/// A source that hides what requests of `view` name.
#[derive(Debug)]
struct Shown {
    inner: LogSource,
    view: Arc<View>,
}

/// The entries of a tenant that queries may show.
pub(crate) async fn shown(fanout: &Fanout, scope: &Scope) -> Result<Box<dyn EntrySource>, Error> {
    let inner = LogSource::new(fanout.clone(), scope.clone());
    let view = fanout.blocks.view(&scope.tenant, 0).await?;
    if view.deletes.values().all(|d| d.finished_ms != 0) {
        return Ok(Box::new(inner));
    }
    Ok(Box::new(Shown { inner, view }))
}

#[async_trait]
impl EntrySource for Shown {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let failed = |e: Error| SourceError { kind: e.kind(), message: e.to_string() };
        let deletes = Deletes::of(&self.view, req.range, &req.matchers).map_err(failed)?;
        if deletes.is_empty() {
            return self.inner.select(req).await;
        }
        // Some of the newest lines may be hidden, and then older ones are wanted.
        let needs_line = req.needs_line || deletes.look_at_lines();
        let request = SelectEntries { limit_hint: None, needs_line, ..req.clone() };
        let mut streams = self.inner.select(&request).await?;
        let work = move || {
            deletes.apply(&mut streams);
            streams
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| SourceError { kind: ErrorKind::Internal, message: e.to_string() })
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let failed = |e: Error| SourceError { kind: e.kind(), message: e.to_string() };
        if Deletes::of(&self.view, req.range, &req.matchers).map_err(failed)?.is_empty() {
            return self.inner.scan(req, sink).await;
        }
        let length = req.range.end.saturating_sub(req.range.start);
        let width = (length / MAX_SLICES).max(SLICE_NS);
        let mut end = req.range.end;
        while end > req.range.start {
            let start = end.saturating_sub(width).max(req.range.start);
            let slice = SelectEntries { range: TimeRange::new(start, end), ..req.clone() };
            let (streams, sink) = (self.select(&slice).await?, Arc::clone(&sink));
            let taken = tokio::task::spawn_blocking(move || sink.take(streams)).await;
            let internal = |e: tokio::task::JoinError| SourceError {
                kind: ErrorKind::Internal,
                message: e.to_string(),
            };
            if taken.map_err(internal)?.is_break() {
                return Ok(());
            }
            end = start;
        }
        Ok(())
    }
}
