//! What of a tenant goes when a block of it is written anew: lines past the retention of their stream,
//! and lines and samples that somebody asked to delete.

use std::collections::{BTreeSet, HashSet};

use skald_blocks::{LabelWant, LogReader, MetricReader};
use skald_catalog::{BlockMeta, DeleteRequest, Signal, View, deleted_times};
use skald_limits::{DeletionMode, Limits};
use skald_logql::{Selection, Work};
use skald_model::{Labels, LogEntry, Matcher, Series, TimeRange};
use tracing::warn;

/// The rules of one tenant at one time.
#[derive(Debug, Default)]
pub(crate) struct LogRules {
    /// Lines of streams without a rule of their own that are older go; `None` keeps all.
    cutoff_ns: Option<i64>,
    /// The highest priority first.
    streams: Vec<StreamRule>,
    deletes: Vec<Due<Selection>>,
}

/// Which samples of one tenant go on request.
#[derive(Debug, Default)]
pub(crate) struct SampleRules {
    deletes: Vec<Due<Vec<Matcher>>>,
}

/// The retention of some streams.
#[derive(Debug)]
struct StreamRule {
    matchers: Vec<Matcher>,
    priority: u32,
    cutoff_ns: Option<i64>,
}

/// A request that nobody can withdraw any more, and what it selects.
#[derive(Debug)]
pub(crate) struct Due<W> {
    pub(crate) request: DeleteRequest,
    what: W,
    range: TimeRange,
}

/// A request to delete that makes no sense: what it names is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("delete request {id:?} cannot be read: {why}")]
pub struct BadRequest {
    pub id: String,
    pub why: String,
}

/// All requests of a signal that hide something, due or not.
fn hiding<W, E: std::fmt::Display>(
    view: &View,
    signal: Signal,
    read: impl Fn(&str) -> Result<W, E>,
) -> Result<Vec<Due<W>>, BadRequest> {
    let of = |request: &DeleteRequest| {
        let bad = |e: E| BadRequest { id: request.id.clone(), why: e.to_string() };
        let (what, range) = (read(&request.query).map_err(bad)?, deleted_times(request));
        Ok(Due { request: request.clone(), what, range })
    };
    view.open_deletes(signal).map(of).collect()
}

/// The requests of a signal that are carried out at `now_ns`. `settle_ms` is how long after the cancel period that is:
/// by then what was in heads is in blocks. What cannot be read waits.
fn due<W>(
    limits: &Limits,
    view: &View,
    signal: Signal,
    (now_ns, settle_ms): (i64, i64),
    read: impl Fn(&str) -> Option<W>,
) -> Vec<Due<W>> {
    if limits.deletion_mode != DeletionMode::FilterAndDelete {
        return Vec::new();
    }
    let wait_ms = limits.delete_request_cancel_period.as_millis().saturating_add(settle_ms);
    let is_due = |request: &&DeleteRequest| {
        let due_ms = request.created_ms.saturating_add(wait_ms);
        due_ms.saturating_mul(1_000_000) <= now_ns
    };
    let of = |request: &DeleteRequest| {
        let (what, range) = (read(&request.query)?, deleted_times(request));
        Some(Due { request: request.clone(), what, range })
    };
    view.open_deletes(signal).filter(is_due).filter_map(of).collect()
}

// === impl LogRules ===

impl LogRules {
    /// What `limits` and the requests of `view` say at `now_ns`, which are carried out `settle_ms` after their cancel
    /// period.
    pub(crate) fn new(limits: &Limits, view: &View, now_ns: i64, settle_ms: i64) -> Self {
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
        let read = |query: &str| Selection::parse(query).ok();
        let deletes = due(limits, view, Signal::Logs, (now_ns, settle_ms), read);
        Self { cutoff_ns: before(limits.retention_period), streams, deletes }
    }

    /// What readers must not see.
    pub(crate) fn hiding(view: &View) -> Result<Self, BadRequest> {
        let deletes = hiding(view, Signal::Logs, Selection::parse)?;
        Ok(Self { deletes, ..Self::default() })
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
        for due in self.deletes.iter().filter(|due| due.what.selects_stream(stream)) {
            entries.retain(|e| {
                !due.range.contains(e.timestamp_ns) || !due.what.selects(work, stream, e)
            });
        }
    }

    /// Whether nothing goes of a stream's entries from `first_ns` to `last_ns`, both included.
    pub(crate) fn keep_all(&self, stream: &Labels, first_ns: i64, last_ns: i64) -> bool {
        let is_past = |cutoff: i64| first_ns < cutoff;
        let may_select = |due: &Due<Selection>| {
            due.range.overlaps(first_ns, last_ns) && due.what.selects_stream(stream)
        };
        let expires = !self.streams.is_empty() && self.cutoff(stream).is_some_and(is_past);
        !expires && !self.deletes.iter().any(may_select)
    }

    /// Requests that are being carried out.
    pub(crate) fn deletes(&self) -> &[Due<Selection>] {
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

// === impl SampleRules ===

impl SampleRules {
    /// As [`LogRules::new`].
    pub(crate) fn new(limits: &Limits, view: &View, now_ns: i64, settle_ms: i64) -> Self {
        let read = |query: &str| {
            let selector = skald_promql::syntax::parse_selector(query).ok();
            selector.map(|selector| selector.matchers)
        };
        Self { deletes: due(limits, view, Signal::Metrics, (now_ns, settle_ms), read) }
    }

    /// What readers must not see.
    pub(crate) fn hiding(view: &View) -> Result<Self, BadRequest> {
        let read = |query: &str| {
            skald_promql::syntax::parse_selector(query).map(|selector| selector.matchers)
        };
        Ok(Self { deletes: hiding(view, Signal::Metrics, read)? })
    }

    /// Requests that are being carried out.
    pub(crate) fn deletes(&self) -> &[Due<Vec<Matcher>>] {
        &self.deletes
    }

    /// With these requests.
    #[cfg(test)]
    pub(crate) fn of(deletes: &[(&str, TimeRange)]) -> Self {
        let due = |(query, range): &(&str, TimeRange)| Due {
            request: DeleteRequest::default(),
            what: skald_promql::syntax::parse_selector(query)
                .map(|s| s.matchers)
                .unwrap_or_default(),
            range: *range,
        };
        Self { deletes: deletes.iter().map(due).collect() }
    }

    /// The times, in milliseconds, whose samples of a series go.
    pub(crate) fn times(&self, series: &Labels) -> Vec<TimeRange> {
        let selects = |due: &&Due<Vec<Matcher>>| Matcher::all(&due.what, series);
        self.deletes.iter().filter(selects).map(|due| due.range).collect()
    }
}

/// Whether the block may have what the request names, as far as its signal and time go.
pub(crate) fn concerns(request: &DeleteRequest, block: &BlockMeta) -> bool {
    let of_metrics = request.signal() == Signal::Metrics;
    (block.signal() == Signal::Metrics) == of_metrics
        && deleted_times(request).overlaps(block.min_time, block.max_time)
}

// === impl Due ===

impl Due<Selection> {
    /// Whether the block has a stream that the request names, in its range, and was not written
    /// without those lines.
    pub(crate) async fn meets(&self, reader: &LogReader) -> Result<bool, skald_blocks::Error> {
        if reader.is_without(&self.request.id) {
            return Ok(false);
        }
        Ok(!reader.streams(self.what.matchers(), self.range).await?.is_empty())
    }
}

impl Due<Vec<Matcher>> {
    /// Whether the block has a sample or an exemplar that the request names.
    pub(crate) async fn meets(&self, reader: &MetricReader) -> Result<bool, skald_blocks::Error> {
        let found = reader.encoded(&self.what, self.range, LabelWant::Only(&[])).await?;
        let range = self.range;
        let any = move || {
            let mut series = Series::default();
            // What cannot be decoded is for the merge to find.
            (0..found.len())
                .any(|i| found.decode(i, range, &mut series).is_err() || !series.is_empty())
        };
        let any = skald_runtime::spawn_blocking(any).await;
        if any.unwrap_or(true) {
            return Ok(true);
        }
        Ok(!reader.exemplars(&self.what, self.range).await?.is_empty())
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
