//! What the metadata routes need of the query language: selectors, alone and inside queries.

use async_trait::async_trait;
use parking_lot::Mutex;
use skald_model::Matcher;
use skald_promql::{QueryError, Select, SeriesSet, SeriesSource, SourceError};

use super::query::at_once;

/// The matchers of a series selector.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    skald_promql::parse_selector(text)
}

/// The matchers of every selector of a query: what it asks of a source that has nothing.
pub(super) async fn selectors(text: &str) -> Result<Vec<Vec<Matcher>>, QueryError> {
    let recorder = Recorder::default();
    at_once(&recorder, text).await?;
    Ok(recorder.0.into_inner())
}

/// An empty source that remembers what it was asked.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Vec<Matcher>>>);

#[async_trait]
impl SeriesSource for Recorder {
    async fn select(&self, req: &Select) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut asked = self.0.lock();
        if !asked.contains(&req.matchers) {
            asked.push(req.matchers.clone());
        }
        Ok(Box::new(Vec::new()))
    }
}
