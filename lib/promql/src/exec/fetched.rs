//! What one select gave, in an order that does not depend on the source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use skald_model::{Labels, ResetHint, Series, is_stale};
use skald_vector::FloatHistogram;

use crate::engine::Shared;
use crate::eval::Loaded;
use crate::{QueryError, SeriesSet};

/// Series in the order of their labels.
#[derive(Debug)]
pub(crate) struct Fetched {
    set: Box<dyn SeriesSet>,
    /// Only count and sum of histograms matter.
    histogram_stats: bool,
    /// Labels and position in the set.
    series: Vec<(Labels, usize)>,
    n_samples: usize,
    /// All of it decoded, for operations that need that.
    loaded: OnceLock<Shared>,
}

/// Takes the buckets away, and says of each histogram whether the counter was reset before it while
/// that can still be seen.
fn only_stats(histograms: &mut [Arc<FloatHistogram>]) {
    let no_bounds: Arc<[f64]> = Arc::from([]);
    let mut before: Option<Arc<FloatHistogram>> = None;
    for h in histograms.iter_mut().filter(|h| !is_stale(h.sum)) {
        let reset_hint = match (h.reset_hint, &before) {
            (ResetHint::Unknown, Some(before)) if h.is_reset_after(before) => ResetHint::Yes,
            (ResetHint::Unknown, Some(_)) => ResetHint::No,
            (hint, _) => hint,
        };
        let stats = FloatHistogram {
            schema: h.schema,
            reset_hint,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: h.count,
            sum: h.sum,
            positive: Vec::new(),
            negative: Vec::new(),
            custom_values: Arc::clone(&no_bounds),
        };
        before = Some(std::mem::replace(h, Arc::new(stats)));
    }
}

/// Sorts by labels; of equal ones the first stays first.
///
/// Of many series that share a few sets only these are compared, each once.
fn sort(series: &mut [(Labels, usize)]) {
    let place = |labels: &Labels| (labels.as_bytes().as_ptr().addr(), labels.as_bytes().len());
    let mut ranks: HashMap<(usize, usize), u32> = HashMap::new();
    let mut sets: Vec<Labels> = Vec::new();
    for (labels, _) in series.iter() {
        if let Entry::Vacant(slot) = ranks.entry(place(labels)) {
            slot.insert(0);
            sets.push(labels.clone());
            if sets.len() * 4 > series.len() {
                return series.sort_by(|a, b| a.0.cmp(&b.0));
            }
        }
    }
    sets.sort_unstable();
    let mut rank = 0;
    for (i, labels) in sets.iter().enumerate() {
        rank += u32::from(i > 0 && sets[i - 1] != *labels);
        ranks.insert(place(labels), rank);
    }
    series.sort_by_cached_key(|(labels, _)| ranks.get(&place(labels)).copied());
}

// === impl Fetched ===

impl Default for Fetched {
    fn default() -> Self {
        Self::new(Box::new(Vec::<Series>::new()), false)
    }
}

impl Fetched {
    pub(crate) fn new(set: Box<dyn SeriesSet>, histogram_stats: bool) -> Self {
        let mut series: Vec<_> = (0..set.len()).map(|i| (set.labels(i), i)).collect();
        if !series.is_sorted_by(|a, b| a.0 <= b.0) {
            sort(&mut series);
        }
        let n_samples = (0..set.len()).map(|i| set.n_samples(i)).sum();
        Self { set, histogram_stats, series, n_samples, loaded: OnceLock::new() }
    }

    /// Bytes that the set and its labels hold.
    pub(crate) fn size_bytes(&self) -> usize {
        self.set.size_bytes().saturating_add(size_of_val(self.series.as_slice()))
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// At most how many samples there are.
    pub(crate) fn n_samples(&self) -> usize {
        self.n_samples
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.iter().map(|(labels, _)| labels)
    }

    /// Replaces `out` by series `i`, in the memory of `out`.
    pub(crate) fn read(&self, i: usize, out: &mut Loaded) -> Result<(), QueryError> {
        let (labels, at) = &self.series[i];
        out.read(&*self.set, *at)?;
        out.labels.clone_from(labels);
        out.drop_name = false;
        if self.histogram_stats {
            only_stats(&mut out.histograms);
        }
        Ok(())
    }

    pub(crate) fn loaded(&self) -> Option<&Shared> {
        self.loaded.get()
    }

    pub(crate) fn keep(&self, all: Shared) -> Shared {
        Shared::clone(self.loaded.get_or_init(|| all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_that_share_their_labels_are_sorted_as_others() {
        let sets: Vec<Labels> =
            (0..7).map(|i| Labels::from_pairs([("n", (i * 5 % 7).to_string())])).collect();
        // Some share the memory of a set, some only its content, some are empty.
        let labels = |i: usize| match i % 5 {
            0 => Labels::from_pairs(sets[3].iter()),
            1 if i < 50 => Labels::empty(),
            _ => sets[i * i % 7].clone(),
        };
        for n in [3, 20, 200] {
            let mut series: Vec<_> = (0..n).map(|i| (labels(i), i)).collect();
            let mut expected = series.clone();
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            sort(&mut series);
            assert_eq!(series, expected);
        }
        let mut shared: Vec<_> = (0..100).map(|i| (sets[i * i % 7].clone(), i)).collect();
        let mut expected = shared.clone();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        sort(&mut shared);
        assert_eq!(shared, expected);
    }
}
