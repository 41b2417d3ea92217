//! Volumes counted from lines, where some of them are hidden and directories would say too much.

use std::collections::BTreeMap;

use skald_logql::SelectEntries;
use skald_model::{Labels, Matcher, TimeRange};

use super::source;
use crate::deletes::Deletes;
use crate::fanout::Grouping;
use crate::scope::Scope;
use crate::{Error, Querier};

/// Lines are read in slices of this length, or in so many if that is longer.
const SLICE_NS: i64 = 3_600_000_000_000;
const MAX_SLICES: i64 = 500;

/// Bytes by group, and lines.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) groups: BTreeMap<Labels, u64>,
    pub(super) entries: u64,
}

/// Counts the lines of `matchers` that may be shown; `None` when nothing is hidden of them.
pub(super) async fn count(
    querier: &Querier,
    scope: &Scope,
    matchers: &[Matcher],
    range: TimeRange,
    grouping: &Grouping,
) -> Result<Option<Counted>, Error> {
    let view = querier.fanout().blocks.view(&scope.tenant, 0).await?;
    if Deletes::of(&view, range, matchers)?.is_empty() {
        return Ok(None);
    }
    let source = source(querier, scope).await?;
    let mut counted = Counted::default();
    let width = (range.end.saturating_sub(range.start) / MAX_SLICES).max(SLICE_NS);
    let mut start = range.start;
    while start < range.end {
        let end = start.saturating_add(width).min(range.end);
        let select = SelectEntries::all(matchers.to_vec(), TimeRange::new(start, end));
        let found = source.select(&select).await;
        for stream in found.map_err(|e| Error::of_kind(e.kind, e.message))? {
            let bytes = stream.entries.iter().map(|e| e.line.len() as u64).sum::<u64>();
            counted.entries += stream.entries.len() as u64;
            for group in grouping.of(&stream.labels) {
                *counted.groups.entry(group).or_default() += bytes;
            }
        }
        start = end;
    }
    Ok(Some(counted))
}
