//! Entries for LogQL, all at once or as they are read.

use std::sync::Arc;

use async_trait::async_trait;
use skald_blocks::{Early, EntryTest, FieldTest, Fields, LogSelect, Metadata, Syntax, Test};
use skald_logql::{Direction, EarlyTest, EntrySink, EntrySource, SelectEntries, SourceError};
use skald_model::StreamEntries;
use skald_rpc::ingester;

use super::reading::Reading;
use crate::Error;
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
        let select = Arc::new(question(req));
        // The engine walks time in slices and drops each before the next: the limit is per slice.
        let scope = self.scope.with_fresh_memory();
        let found = self.fanout.entries(&scope, &select, req.needs_line).await;
        found.map_err(|e| failed(&e))
    }

    async fn lines_to_search(&self, req: &SelectEntries) -> Result<Option<usize>, SourceError> {
        let found = super::reading::lines_left(&self.fanout, &self.scope, &question(req)).await;
        found.map_err(|e| failed(&e))
    }

    async fn scan(&self, req: &SelectEntries, sink: Arc<dyn EntrySink>) -> Result<(), SourceError> {
        let (fanout, scope) = (self.fanout.clone(), self.scope.with_fresh_memory());
        let metadata = match &req.metadata {
            Some(names) => Metadata::Only(Arc::clone(names)),
            None => Metadata::All,
        };
        let some = req.fields.as_deref().map(fields);
        let wanted = LogSelect { needs_line: req.needs_line, metadata, fields: some };
        let early = req.early.as_ref().map(|test| Early {
            fields: fields(&test.fields),
            test: Arc::new(First(test.clone())),
        });
        let needles_decide = req.needles_decide;
        let (select, useful) = (question(req), req.useful.clone());
        let reading = Reading { fanout, scope, select, wanted, early, useful, needles_decide };
        reading.run(&sink).await.map_err(|e| failed(&e))
    }
}

/// The engine's first look, as blocks want it.
#[derive(Debug)]
struct First(EarlyTest);

impl EntryTest for First {
    fn begin(&self) -> Test {
        let mut tester = self.0.tester();
        Box::new(move |stream, ts, metadata, line| tester.may_pass(stream, ts, metadata, line))
    }

    fn fields(&self) -> Vec<(String, FieldTest)> {
        let one = |test: &skald_logql::FieldTest| {
            let mut tester = test.tester();
            let passes: FieldTest = Box::new(move |line| tester.may_pass(line));
            (test.name().to_owned(), passes)
        };
        self.0.field_tests.iter().map(one).collect()
    }

    fn fields_decide(&self) -> bool {
        self.0.field_tests_decide
    }
}

fn fields(wanted: &skald_logql::Fields) -> Arc<Fields> {
    let syntax = match wanted.syntax {
        skald_logql::Syntax::Json => Syntax::Json,
        skald_logql::Syntax::Logfmt => Syntax::Logfmt,
    };
    Arc::new(Fields { syntax, names: wanted.names.clone() })
}

fn question(req: &SelectEntries) -> ingester::SelectEntries {
    ingester::SelectEntries {
        matchers: req.matchers.clone(),
        range: req.range,
        needles: req.needles.clone(),
        limit: req.limit_hint.unwrap_or(0),
        backward: req.direction == Direction::Backward,
    }
}

fn failed(e: &Error) -> SourceError {
    SourceError { kind: e.kind(), message: e.to_string() }
}

#[cfg(test)]
mod tests;
