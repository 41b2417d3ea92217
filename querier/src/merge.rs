//! Unites what heads and blocks answered: every sample and every line once.
//!
//! Sources overlap: replicas hold the same data, and a flush leaves it in head and block for a
//! moment. Parts are folded in order of their first timestamp, so that parts that follow each
//! other are appended and only the overlapping tail is merged.

pub(crate) mod entries;
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use skald_model::{Exemplar, Labels, MetricMetadata, SeriesId, StreamEntries};

/// Unites streams of several sources.
pub(crate) fn streams(sources: Vec<Vec<StreamEntries>>) -> Vec<StreamEntries> {
    grouped(sources, |s| &s.labels, entries::unite)
}

/// Unites label sets and sorts them.
pub(crate) fn labels(sources: Vec<Vec<Labels>>) -> Vec<Labels> {
    let mut all: Vec<Labels> = grouped(sources, |l| l, |mut same| same.pop().unwrap_or_default());
    all.sort_unstable();
    all
}

/// Unites sorted lists in which nothing stands twice.
pub(crate) fn texts(mut sources: Vec<Vec<String>>) -> Vec<String> {
    sources.retain(|s| !s.is_empty());
    if sources.len() <= 1 {
        return sources.pop().unwrap_or_default();
    }
    let mut all: Vec<String> = sources.into_iter().flatten().collect();
    // The stable sort sees that there are runs.
    all.sort();
    all.dedup();
    all
}

/// Unites exemplars per series, sorted by series and then by time.
pub(crate) fn exemplars(
    sources: Vec<Vec<(Labels, Vec<Exemplar>)>>,
) -> Vec<(Labels, Vec<Exemplar>)> {
    let mut all = grouped(
        sources,
        |(labels, _)| labels,
        |same| {
            let mut same = same.into_iter();
            let (labels, mut exemplars) = same.next().unwrap_or_default();
            same.for_each(|(_, more)| exemplars.extend(more));
            (labels, exemplars)
        },
    );
    for (_, exemplars) in &mut all {
        exemplars.sort_by(|a, b| {
            let time = a.timestamp_ms.cmp(&b.timestamp_ms);
            time.then(a.value.total_cmp(&b.value)).then_with(|| a.labels.cmp(&b.labels))
        });
        exemplars.dedup_by(|a, b| {
            a.timestamp_ms == b.timestamp_ms
                && a.value.to_bits() == b.value.to_bits()
                && a.labels == b.labels
        });
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Unites metadata: sorted by name, equal entries once.
pub(crate) fn metadata(sources: Vec<Vec<MetricMetadata>>) -> Vec<MetricMetadata> {
    let mut all: Vec<MetricMetadata> = sources.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Brings items with equal labels together; one source alone is left as it is.
fn grouped<T>(
    mut sources: Vec<Vec<T>>,
    labels: impl Fn(&T) -> &Labels,
    unite: impl Fn(Vec<T>) -> T,
) -> Vec<T> {
    sources.retain(|s| !s.is_empty());
    if sources.len() <= 1 {
        return sources.pop().unwrap_or_default();
    }
    let most = sources.iter().map(Vec::len).max().unwrap_or(0);
    let mut position: HashMap<SeriesId, usize> = HashMap::with_capacity(most);
    let mut groups: Vec<Vec<T>> = Vec::with_capacity(most);
    for item in sources.into_iter().flatten() {
        match position.entry(labels(&item).id()) {
            Entry::Occupied(at) => groups[*at.get()].push(item),
            Entry::Vacant(at) => {
                at.insert(groups.len());
                groups.push(vec![item]);
            }
        }
    }
    groups.into_iter().map(unite).collect()
}
