//! What a query holds, in bytes, and the error when that is more than it may.

use skald_model::Matcher;

use crate::{QueryError, Select};

/// Bytes of a sample, decoded or computed.
const SAMPLE_BYTES: usize = 16;

/// The account of one query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    limit: Option<usize>,
    /// Selectors as text and the bytes that were fetched for them.
    selectors: Vec<(String, usize)>,
    /// Bytes of what was fetched, and of labels made of it.
    fetched: usize,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Adds what a select gave.
    pub(crate) fn fetched(&mut self, select: &Select, bytes: usize) -> Result<(), QueryError> {
        self.fetched = self.fetched.saturating_add(bytes);
        if self.limit.is_some() {
            self.selectors.push((text(&select.matchers), bytes));
        }
        self.check(0)
    }

    /// Adds label values that the query makes; like what was fetched, they stay until it ends.
    pub(crate) fn made(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.fetched = self.fetched.saturating_add(bytes);
        self.check(0)
    }

    /// Fails when `bytes` more than what was fetched are more than the query may hold.
    pub(crate) fn check(&self, bytes: usize) -> Result<(), QueryError> {
        let Some(limit) = self.limit else { return Ok(()) };
        let total = self.fetched.saturating_add(bytes);
        if total <= limit {
            return Ok(());
        }
        let most = self.selectors.iter().max_by_key(|(_, bytes)| *bytes);
        let most = most.map(|(selector, bytes)| {
            format!("; most of what was fetched, {bytes} bytes, is for {selector}")
        });
        Err(QueryError::Memory(format!(
            "the query needs {total} bytes of memory, more than it may have (limit: {limit} bytes) \
             (err-skald-max-query-memory){}; narrow the selector or the time range, or raise max_query_memory",
            most.unwrap_or_default()
        )))
    }

    /// As [`check`](Self::check), of samples.
    pub(crate) fn check_samples(&self, n: usize) -> Result<(), QueryError> {
        self.check(n.saturating_mul(SAMPLE_BYTES))
    }

    /// How many samples fit beside what was fetched.
    pub(crate) fn max_samples(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit.saturating_sub(self.fetched) / SAMPLE_BYTES)
    }
}

/// `{a="b"}` of a selector.
fn text(matchers: &[Matcher]) -> String {
    let list: Vec<String> = matchers.iter().map(|m| format!("{m:?}")).collect();
    format!("{{{}}}", list.join(", "))
}
