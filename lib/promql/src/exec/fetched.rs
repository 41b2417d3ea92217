//! What one select gave, in an order that does not depend on the source.

use std::sync::OnceLock;

use skald_model::Labels;

use crate::engine::Shared;
use crate::eval::Loaded;
use crate::{QueryError, SeriesSet};

/// Series in the order of their labels.
#[derive(Debug)]
pub(crate) struct Fetched {
    set: Box<dyn SeriesSet>,
    /// Labels and position in the set.
    series: Vec<(Labels, usize)>,
    /// All of it decoded, for operations that need that.
    loaded: OnceLock<Shared>,
}

// === impl Fetched ===

impl Fetched {
    pub(crate) fn new(set: Box<dyn SeriesSet>) -> Self {
        let mut series: Vec<_> = (0..set.len()).map(|i| (set.labels(i), i)).collect();
        if !series.is_sorted_by(|a, b| a.0 <= b.0) {
            series.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Self { set, series, loaded: OnceLock::new() }
    }

    /// Bytes that the set and its labels hold.
    pub(crate) fn size_bytes(&self) -> usize {
        self.set.size_bytes().saturating_add(size_of_val(self.series.as_slice()))
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
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
        Ok(())
    }

    pub(crate) fn loaded(&self) -> Option<&Shared> {
        self.loaded.get()
    }

    pub(crate) fn keep(&self, all: Shared) -> Shared {
        Shared::clone(self.loaded.get_or_init(|| all))
    }
}
