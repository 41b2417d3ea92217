//! Which lines of a tenant go when a block of it is written anew: those past the retention of their
//! stream, and those that somebody asked to delete.

use std::collections::{BTreeSet, HashSet};

use skald_blocks::LogReader;
use skald_catalog::{BlockMeta, DeleteRequest};
use skald_limits::{DeletionMode, Limits};
use skald_logql::{Selection, Work};
use skald_model::{Labels, LogEntry, Matcher, TimeRange};
use tracing::warn;

/// The rules of one tenant at one time.
#[derive(Debug, Default)]
pub(crate) struct LogRules {
    /// Lines of streams without a rule of their own that are older go; `None` keeps all.
    cutoff_ns: Option<i64>,
    /// The highest priority first.
    streams: Vec<StreamRule>,
    deletes: Vec<Due>,
}

/// The retention of some streams.
#[derive(Debug)]
struct StreamRule {
    matchers: Vec<Matcher>,
    priority: u32,
    cutoff_ns: Option<i64>,
}

/// A request that nobody can withdraw any more.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) request: DeleteRequest,
    selection: Selection,
    range: TimeRange,
}

// === impl LogRules ===

impl LogRules {
    /// What `limits` and `deletes` say at `now_ns`. `settle_ms` is how long after the cancel period a
    /// request is carried out: by then what was in heads is in blocks.
    pub(crate) fn new<'a>(
        limits: &Limits,
        deletes: impl IntoIterator<Item = &'a DeleteRequest>,
        now_ns: i64,
        settle_ms: i64,
    ) -> Self {
        let before = |period: skald_runtime::HumanDuration| {
            (!period.is_zero()).then(|| now_ns.saturating_sub(period.as_nanos()))
        };
        let mut streams: Vec<StreamRule> = Vec::new();
        for rule in &limits.retention_stream {
            match skald_logql::parse_selector(&rule.selector) {
                Ok(matchers) => streams.push(StreamRule {
                    matchers,
                    priority: rule.priority,
                    cutoff_ns: before(rule.period),
                }),
                Err(error) => {
                    warn!(selector = rule.selector, %error, "selector of retention_stream is left out");
                }
            }
        }
        streams.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        let wait_ms = limits.delete_request_cancel_period.as_millis().saturating_add(settle_ms);
        let due = |request: &DeleteRequest| {
            let due_ms = request.created_ms.saturating_add(wait_ms);
            if request.finished_ms != 0 || due_ms.saturating_mul(1_000_000) > now_ns {
                return None;
            }
            let selection = Selection::parse(&request.query).ok()?;
            let range = TimeRange::new(request.start_ns, request.end_ns.saturating_add(1));
            Some(Due { request: request.clone(), selection, range })
        };
        let carries_out = limits.deletion_mode == DeletionMode::FilterAndDelete;
        let deletes = deletes.into_iter().filter(|_| carries_out).filter_map(due).collect();
        Self { cutoff_ns: before(limits.retention_period), streams, deletes }
    }

    /// Lines before this go whatever their stream.
    pub(crate) fn oldest_cutoff(&self) -> Option<i64> {
        let streams = self.streams.iter().map(|rule| rule.cutoff_ns);
        // Nothing if one of them keeps all.
        streams.fold(self.cutoff_ns, |a, b| Some(a?.min(b?)))
    }

    fn cutoff(&self, stream: &Labels) -> Option<i64> {
        let rule = self.streams.iter().find(|rule| Matcher::all(&rule.matchers, stream));
        rule.map_or(self.cutoff_ns, |rule| rule.cutoff_ns)
    }

    /// Takes out what goes of a stream's entries.
    pub(crate) fn apply(&self, work: &mut Work, stream: &Labels, entries: &mut Vec<LogEntry>) {
        if !self.streams.is_empty()
            && let Some(cutoff) = self.cutoff(stream)
        {
            entries.retain(|e| e.timestamp_ns >= cutoff);
        }
        for due in self.deletes.iter().filter(|due| due.selection.selects_stream(stream)) {
            entries.retain(|e| {
                !due.range.contains(e.timestamp_ns) || !due.selection.selects(work, stream, e)
            });
        }
    }

    /// Whether nothing goes of a stream's entries from `first_ns` to `last_ns`, both included.
    pub(crate) fn keep_all(&self, stream: &Labels, first_ns: i64, last_ns: i64) -> bool {
        let is_past = |cutoff: i64| first_ns < cutoff;
        let may_select = |due: &Due| {
            due.range.overlaps(first_ns, last_ns) && due.selection.selects_stream(stream)
        };
        let expires = !self.streams.is_empty() && self.cutoff(stream).is_some_and(is_past);
        !expires && !self.deletes.iter().any(may_select)
    }

    /// Requests that are being carried out.
    pub(crate) fn deletes(&self) -> &[Due] {
        &self.deletes
    }

    /// How many different cutoffs of streams a block lies behind; 0 if there are no rules for streams.
    pub(crate) fn cutoffs_passed(&self, block: &BlockMeta) -> usize {
        if self.streams.is_empty() { 0 } else { self.passed(block).len() }
    }

    fn passed(&self, block: &BlockMeta) -> BTreeSet<i64> {
        let all = self.streams.iter().map(|rule| rule.cutoff_ns).chain([self.cutoff_ns]);
        all.flatten().filter(|cutoff| block.max_time < *cutoff).collect()
    }

    /// Whether a block has a stream of which every line is past its retention.
    pub(crate) async fn has_expired_stream(
        &self,
        block: &BlockMeta,
        reader: &LogReader,
    ) -> Result<bool, skald_blocks::Error> {
        let passed = self.passed(block);
        let streams = reader.streams(&[], TimeRange::ALL).await?;
        // The block ends before these cutoffs, and so do its streams.
        Ok(streams.iter().any(|s| self.cutoff(s).is_some_and(|cutoff| passed.contains(&cutoff))))
    }
}

// === impl Due ===

impl Due {
    /// Whether the block may have what is to be deleted, as far as its time goes.
    pub(crate) fn concerns(&self, block: &BlockMeta) -> bool {
        self.range.overlaps(block.min_time, block.max_time)
    }

    /// Whether the block has a stream that the request names, in its range, and was not written
    /// without those lines.
    pub(crate) async fn meets(&self, reader: &LogReader) -> Result<bool, skald_blocks::Error> {
        if reader.is_without(&self.request.id) {
            return Ok(false);
        }
        Ok(!reader.streams(self.selection.matchers(), self.range).await?.is_empty())
    }
}

/// Blocks that were looked at and have nothing that goes, with what was looked for.
#[derive(Debug, Default)]
pub(crate) struct Clean(HashSet<(String, String)>);

// === impl Clean ===

impl Clean {
    pub(crate) fn has(&self, block: &BlockMeta, key: &str) -> bool {
        self.0.contains(&(block.id.clone(), key.to_owned()))
    }

    pub(crate) fn add(&mut self, block: &BlockMeta, key: &str) {
        self.0.insert((block.id.clone(), key.to_owned()));
    }

    /// Forgets blocks that are not there any more.
    pub(crate) fn keep(&mut self, mut is_there: impl FnMut(&str) -> bool) {
        self.0.retain(|(block, _)| is_there(block));
    }
}
