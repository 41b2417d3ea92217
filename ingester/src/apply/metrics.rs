//! Samples of a batch into the metrics head.

use skald_model::{ErrorKind, Labels};
use skald_rpc::ingester::PushOutcome;

use super::reject::{Sample, reject, reject_sample};
use super::{Applied, Mode, Rules, position, shown};
use crate::head::metrics::{MetricsHead, Stamp, Window};
use crate::index::Ref;
use crate::parsed::{MetricsBatch, MetricsItem};

/// Series whose memory is fetched at once.
const GROUP: u32 = 32;

/// Applies what the rules allow.
pub(crate) fn apply_metrics(
    head: &mut MetricsHead,
    batch: &MetricsBatch,
    rules: &Rules<'_>,
) -> Applied {
    let mut applied = Applied::default();
    let mut cold: &[MetricsItem] = &batch.items;
    for (at, item) in (0u32..).zip(&batch.items) {
        if at % GROUP == 0 {
            let (group, rest) = cold.split_at(cold.len().min(GROUP as usize));
            head.warm(group.iter().map(|item| item.id));
            cold = rest;
        }
        match find_or_create(head, item, rules, &mut applied) {
            Found::Series(r) => append(head, batch, item, r, rules, &mut applied),
            Found::Unknown => {
                applied.outcome.unknown_series.push(at);
                applied.refused.items.push(at);
            }
            Found::Refused => applied.refused.items.push(at),
        }
    }
    let max = rules.limits.max_global_metadata_per_user;
    let refused = head.keep_metadata(&batch.metadata, max);
    if refused > 0 && rules.mode != Mode::Replay {
        reject(
            &mut applied.outcome,
            "err-skald-max-metadata-per-user",
            ErrorKind::Invalid,
            refused,
            || {
                let tenant = rules.tenant;
                format!(
                    "tenant {tenant} has metadata of {max} metric names, which is its limit; \
                     raise limits.max_global_metadata_per_user to keep more"
                )
            },
        );
    }
    applied
}

enum Found {
    Series(Ref),
    Unknown,
    Refused,
}

fn find_or_create(
    head: &mut MetricsHead,
    item: &MetricsItem,
    rules: &Rules<'_>,
    applied: &mut Applied,
) -> Found {
    let generation = head.log.generation;
    if let Some(r) = head.index.find(item.id) {
        if head.index.logged(r) != generation {
            head.index.set_logged(r, generation);
            if item.labels.is_none() {
                applied.relog.push((item.id, r));
            }
        }
        return Found::Series(r);
    }
    let Some(labels) = &item.labels else { return Found::Unknown };
    if !has_room(head, labels, item.n_samples() as u64, rules, &mut applied.outcome) {
        return Found::Refused;
    }
    head.create(item.id, labels).map_or(Found::Refused, Found::Series)
}

/// Whether the series limits allow one more.
fn has_room(
    head: &MetricsHead,
    labels: &Labels,
    n_samples: u64,
    rules: &Rules<'_>,
    outcome: &mut PushOutcome,
) -> bool {
    let (limits, tenant) = (rules.limits, rules.tenant);
    if let Some(max) = rules.share_of(limits.max_global_series_per_user)
        && head.index.len() as u64 >= max
    {
        let limit = limits.max_global_series_per_user;
        reject(outcome, "err-skald-max-series-per-user", ErrorKind::Invalid, n_samples, || {
            format!(
                "tenant {tenant} has {} series in memory here, of a limit of {limit} ({max} here); \
                 series {} was not added; raise limits.max_global_series_per_user to take it",
                head.index.len(),
                shown(labels),
            )
        });
        return false;
    }
    let Some(max) = rules.share_of(limits.max_global_series_per_metric) else { return true };
    let name = labels.metric_name().unwrap_or_default();
    let n = head.index.count(Labels::NAME, name) as u64;
    if n < max {
        return true;
    }
    let limit = limits.max_global_series_per_metric;
    reject(outcome, "err-skald-max-series-per-metric", ErrorKind::Invalid, n_samples, || {
        format!(
            "tenant {tenant} has {n} series of metric {name:?} in memory here, of a limit of \
             {limit} ({max} here); series {} was not added; raise \
             limits.max_global_series_per_metric to take it",
            shown(labels),
        )
    });
    false
}

fn append(
    head: &mut MetricsHead,
    batch: &MetricsBatch,
    item: &MetricsItem,
    r: Ref,
    rules: &Rules<'_>,
    applied: &mut Applied,
) {
    let window = match rules.mode {
        Mode::Replay => Window::Any,
        Mode::Push { .. } => Window::Ms(rules.limits.out_of_order_time_window.as_millis()),
    };
    let Applied { outcome, refused, .. } = applied;
    for i in item.floats() {
        let (timestamp_ms, value) = batch.floats[i];
        let stamp = Stamp { ts: timestamp_ms, start: batch.start(i) };
        match head.append(r, stamp, value, window) {
            Ok(()) => outcome.samples += 1,
            Err(conflict) => {
                refused.floats.push(position(i));
                let sample =
                    Sample { labels: &|| head.index.labels(r), timestamp_ms, value: Some(value) };
                reject_sample(outcome, rules, conflict, &sample);
            }
        }
    }
    for i in item.histograms() {
        let (timestamp_ms, histogram) = &batch.histograms[i];
        let stamp = Stamp { ts: *timestamp_ms, start: batch.histogram_start(i) };
        match head.append_histogram(r, stamp, histogram, window) {
            Ok(()) => outcome.histograms += 1,
            Err(conflict) => {
                refused.histograms.push(position(i));
                let sample = Sample {
                    labels: &|| head.index.labels(r),
                    timestamp_ms: *timestamp_ms,
                    value: None,
                };
                reject_sample(outcome, rules, conflict, &sample);
            }
        }
    }
    let max = rules.limits.max_exemplars_per_series;
    for exemplar in batch.exemplars[item.exemplars()].iter().filter(|_| max > 0) {
        head.append_exemplar(r, exemplar, max);
        outcome.exemplars += 1;
    }
}
