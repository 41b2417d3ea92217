//! What one select gave, in an order that does not depend on the source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use skald_model::{Labels, ResetHint, Series, is_stale};
use skald_vector::function::sort;
use skald_vector::{Context, FloatHistogram};

use crate::engine::Shared;
use crate::eval::Loaded;
use crate::{QueryError, SeriesSet};

/// Series that are looked at without a look at whether to stop.
const STEP: usize = 1024;

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
fn sort_series(series: &mut [(Labels, usize)], ctx: &Context) -> Result<(), QueryError> {
    let place = |labels: &Labels| (labels.as_bytes().as_ptr().addr(), labels.as_bytes().len());
    let mut ranks: HashMap<(usize, usize), usize> = HashMap::new();
    let mut sets: Vec<Labels> = Vec::new();
    for (i, (labels, _)) in series.iter().enumerate() {
        if i % STEP == 0 {
            ctx.check()?;
        }
        if let Entry::Vacant(slot) = ranks.entry(place(labels)) {
            slot.insert(0);
            sets.push(labels.clone());
            if sets.len() * 4 > series.len() {
                return Ok(sort(series, ctx, |a, b| a.0.cmp(&b.0))?);
            }
        }
    }
    sort(&mut sets, ctx, Labels::cmp)?;
    let mut rank = 0;
    for (i, labels) in sets.iter().enumerate() {
        rank += usize::from(i > 0 && sets[i - 1] != *labels);
        ranks.insert(place(labels), rank);
    }
    let mut ranked: Vec<Vec<(Labels, usize)>> = vec![Vec::new(); rank + 1];
    for (i, one) in series.iter_mut().enumerate() {
        if i % STEP == 0 {
            ctx.check()?;
        }
        let rank = ranks.get(&place(&one.0)).copied().unwrap_or_default();
        ranked[rank].push(std::mem::take(one));
    }
    series.iter_mut().zip(ranked.into_iter().flatten()).for_each(|(slot, one)| *slot = one);
    Ok(())
}

// === impl Fetched ===

impl Default for Fetched {
    fn default() -> Self {
        let (series, loaded) = (Vec::new(), OnceLock::new());
        let set = Box::new(Vec::<Series>::new());
        Self { set, histogram_stats: false, series, n_samples: 0, loaded }
    }
}

impl Fetched {
    /// Puts a set in order, unless `ctx` says that nobody waits for it.
    pub(crate) fn new(
        set: Box<dyn SeriesSet>,
        histogram_stats: bool,
        ctx: &Context,
    ) -> Result<Self, QueryError> {
        let mut series = Vec::with_capacity(set.len());
        let mut n_samples = 0usize;
        for i in 0..set.len() {
            if i % STEP == 0 {
                ctx.check()?;
            }
            series.push((set.labels(i), i));
            n_samples = n_samples.saturating_add(set.n_samples(i));
        }
        if !series.is_sorted_by(|a, b| a.0 <= b.0) {
            sort_series(&mut series, ctx)?;
        }
        Ok(Self { set, histogram_stats, series, n_samples, loaded: OnceLock::new() })
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
    use skald_vector::CancelFlag;

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
            sort_series(&mut series, &Context::default()).unwrap();
            assert_eq!(series, expected);
        }
        let mut shared: Vec<_> = (0..100).map(|i| (sets[i * i % 7].clone(), i)).collect();
        let mut expected = shared.clone();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        sort_series(&mut shared, &Context::default()).unwrap();
        assert_eq!(shared, expected);
    }

    #[test]
    fn nothing_is_put_in_order_that_nobody_waits_for() {
        let one = |i: usize| Series {
            labels: Labels::from_pairs([("n", i.wrapping_mul(7919).to_string())]),
            ..Series::default()
        };
        let set: Vec<Series> = (0..20_000).map(one).collect();
        let polls = CancelFlag::after(u64::MAX - 1);
        let ctx = Context { cancel: polls.clone(), ..Context::default() };
        Fetched::new(Box::new(set.clone()), false, &ctx).unwrap();
        let asked = u64::MAX - 1 - polls.polls_left();
        assert!(asked > 20, "{asked}");
        for left in [0, 5, asked - 1] {
            let ctx = Context { cancel: CancelFlag::after(left), ..Context::default() };
            let failed = Fetched::new(Box::new(set.clone()), false, &ctx);
            assert_eq!(failed.err(), Some(QueryError::Cancelled));
        }
    }
}
