//! Entries of a batch into the logs head, in two steps: plan, and store once the plan is in the WAL.

use std::collections::HashSet;
use std::sync::Arc;

use skald_model::{ErrorKind, Labels, SeriesId};
use skald_wal::Kept;

use super::reject::reject;
use super::{Applied, Rules, shown};
use crate::head::logs::{LogsHead, Run};
use crate::parsed::LogsBatch;

/// Finds out what the rules allow, changing nothing.
pub(crate) fn plan_logs(head: &LogsHead, batch: &LogsBatch, rules: &Rules<'_>) -> Applied {
    let mut applied = Applied::default();
    let mut new: HashSet<SeriesId> = HashSet::new();
    for (at, item) in (0u32..).zip(&batch.items) {
        let n_entries = item.n_entries();
        let taken = match (head.index.find(item.id), &item.labels) {
            (Some(r), labels) => {
                if labels.is_none() && head.index.logged(r) != head.log.generation {
                    applied.relog.push((item.id, r));
                }
                true
            }
            (None, _) if new.contains(&item.id) => true,
            (None, None) => {
                applied.outcome.unknown_series.push(at);
                false
            }
            (None, Some(labels)) => {
                let n = head.index.len() + new.len();
                let taken = has_room(n, labels, n_entries, rules, &mut applied);
                if taken {
                    new.insert(item.id);
                }
                taken
            }
        };
        if taken {
            applied.outcome.entries += n_entries;
        } else {
            applied.refused.items.push(at);
        }
    }
    applied
}

/// Stores a batch without what [`plan_logs`] refused. Its labels are in the WAL by now.
///
/// `payload` is the batch as the log has it.
pub(crate) fn store_logs(head: &mut LogsHead, batch: &LogsBatch, payload: &Arc<Kept>) {
    let generation = head.log.generation;
    let mut held = None;
    for item in &batch.items {
        let r = match (head.index.find(item.id), &item.labels) {
            (Some(r), Some(_)) => {
                head.index.set_logged(r, generation);
                Some(r)
            }
            (Some(r), None) => Some(r),
            (None, Some(labels)) => head.create(item.id, labels),
            (None, None) => None,
        };
        let Some(r) = r.filter(|_| item.run.n > 0) else { continue };
        let batch = *held.get_or_insert_with(|| head.hold(batch.base, payload));
        head.append(r, Run { batch, ..item.run });
    }
}

/// Whether the stream limit allows one more than `n`.
fn has_room(
    n: usize,
    labels: &Labels,
    n_entries: u64,
    rules: &Rules<'_>,
    applied: &mut Applied,
) -> bool {
    let limit = rules.limits.max_global_streams_per_user;
    let Some(max) = rules.share_of(limit) else { return true };
    if (n as u64) < max {
        return true;
    }
    reject(
        &mut applied.outcome,
        "err-skald-max-streams-per-user",
        ErrorKind::LimitExceeded,
        n_entries,
        || {
            format!(
                "maximum active stream limit exceeded when trying to create stream {}, reduce the \
                 number of active streams (reduce labels or reduce label values), or contact your \
                 administrator to see if the limit can be increased, user: '{}': {n} streams are in \
                 memory here, of a limit of {limit} ({max} here); raise \
                 limits.max_global_streams_per_user",
                shown(labels),
                rules.tenant,
            )
        },
    );
    false
}
