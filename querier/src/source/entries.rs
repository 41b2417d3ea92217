//! Entries for LogQL.

use std::sync::Arc;

use async_trait::async_trait;
use skald_logql::{Direction, EntrySource, SelectEntries, SourceError};
use skald_model::StreamEntries;
use skald_rpc::ingester;

use crate::fanout::Fanout;
use crate::scope::Scope;

/// Entries of one tenant for one query.
#[derive(Clone, Debug)]
pub(crate) struct LogSource {
    fanout: Fanout,
    scope: Scope,
}

// === impl LogSource ===

impl LogSource {
    pub(crate) fn new(fanout: Fanout, scope: Scope) -> Self {
        Self { fanout, scope }
    }
}

#[async_trait]
impl EntrySource for LogSource {
    async fn select(&self, req: &SelectEntries) -> Result<Vec<StreamEntries>, SourceError> {
        let select = Arc::new(ingester::SelectEntries {
            matchers: req.matchers.clone(),
            range: req.range,
            needles: req.needles.clone(),
            limit: req.limit_hint.unwrap_or(0),
            backward: req.direction == Direction::Backward,
        });
        // The engine walks time in slices and drops each before the next: the limit is per slice.
        let scope = self.scope.with_fresh_memory();
        let found = self.fanout.entries(&scope, &select, req.needs_line).await;
        found.map_err(|e| SourceError { kind: e.kind(), message: e.to_string() })
    }
}
