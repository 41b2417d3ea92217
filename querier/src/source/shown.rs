//! Entries without those that somebody asked to delete.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use skald_catalog::{Signal, View};
use skald_logql::{EntrySink, EntrySource, SelectEntries, SourceError};
use skald_model::{ErrorKind, StreamEntries};

use super::LogSource;
use crate::Error;
use crate::deletes::Deletes;
use crate::fanout::Fanout;
use crate::scope::Scope;

/// A source that hides what requests of `view` name.
#[derive(Debug)]
struct Shown {
    inner: LogSource,
    view: Arc<View>,
}

/// Takes deleted entries out before they reach `sink`.
#[derive(Debug)]
struct Hiding {
    deletes: Deletes,
    sink: Arc<dyn EntrySink>,
}

/// The entries of a tenant that queries may show.
pub(crate) async fn shown(fanout: &Fanout, scope: &Scope) -> Result<Box<dyn EntrySource>, Error> {
    let inner = LogSource::new(fanout.clone(), scope.clone());
    let view = fanout.blocks.view(&scope.tenant, 0).await?;
    if view.open_deletes(Signal::Logs).next().is_none() {
        return Ok(Box::new(inner));
    }
    Ok(Box::new(Shown { inner, view }))
}

#[async_trait]
impl EntrySource for Shown {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let deletes = self.deletes(req)?;
        if deletes.is_empty() {
            return self.inner.select(req).await;
        }
        let mut streams = self.inner.select(&deletes.widen(req)).await?;
        let work = move || {
            deletes.apply(&mut streams);
            streams
        };
        skald_runtime::spawn_blocking(work)
            .await
            .map_err(|e| SourceError { kind: ErrorKind::Internal, message: e.to_string() })
    }

    async fn lines_to_search(&self, req: &SelectEntries) -> Result<Option<usize>, SourceError> {
        self.inner.lines_to_search(req).await
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let deletes = self.deletes(req)?;
        if deletes.is_empty() {
            return self.inner.scan(req, sink).await;
        }
        let request = deletes.widen(req);
        self.inner.scan(&request, Arc::new(Hiding { deletes, sink })).await
    }
}

// === impl Shown ===

impl Shown {
    fn deletes(&self, req: &SelectEntries) -> Result<Deletes, SourceError> {
        let found = Deletes::of(&self.view, req.range, &req.matchers);
        found.map_err(|e| SourceError { kind: e.kind(), message: e.to_string() })
    }
}

// === impl Hiding ===

impl EntrySink for Hiding {
    fn take(&self, mut streams: Vec<StreamEntries>) -> ControlFlow<()> {
        self.deletes.apply(&mut streams);
        self.sink.take(streams)
    }

    fn reset(&self) {
        self.sink.reset();
    }
}
