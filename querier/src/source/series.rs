//! Series for PromQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use skald_model::ErrorKind;
use skald_promql::{LabelNeed, Select, SeriesSet, SeriesSource, SourceError};
use skald_rpc::ingester::SelectSeries;

use crate::fanout::Fanout;
use crate::scope::Scope;

/// Series of one tenant for one query.
#[derive(Clone, Debug)]
pub(crate) struct MetricSource {
    fanout: Fanout,
    scope: Scope,
    /// Series given to the query so far.
    n_series: Arc<AtomicUsize>,
}

// === impl MetricSource ===

impl MetricSource {
    pub(crate) fn new(fanout: Fanout, scope: Scope) -> Self {
        Self { fanout, scope, n_series: Arc::default() }
    }

    fn count(&self, n: usize) -> Result<(), SourceError> {
        self.scope.record.add_series(n);
        let total = self.n_series.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        let limit = self.scope.limits.max_fetched_series_per_query;
        if limit == 0 || total <= limit {
            return Ok(());
        }
        Err(SourceError {
            kind: ErrorKind::LimitExceeded,
            message: format!(
                "the query hit the max number of series limit (limit: {limit} series) \
                 (err-skald-max-series-per-query); to adjust, set max_fetched_series_per_query"
            ),
        })
    }
}

#[async_trait]
impl SeriesSource for MetricSource {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        let only = match &req.labels {
            LabelNeed::All => None,
            LabelNeed::Only(names) => Some(names.clone()),
        };
        let (matchers, range) = (req.matchers.clone(), req.range);
        let request = SelectSeries { matchers, range, only, ids: false };
        let found = self.fanout.encoded(&self.scope, request).await;
        let found = found.map_err(|e| SourceError { kind: e.kind(), message: e.to_string() })?;
        self.count(found.len())?;
        Ok(Box::new(found))
    }
}
