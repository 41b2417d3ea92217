//! Series over a grid: one slot per step, present or not, float or histogram.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use skald_model::Labels;

use crate::function::sort;
use crate::{Bitmap, Context, FloatHistogram, Grid, VectorError};

/// One output series over the steps of a grid.
///
/// Invariants: `values` and `present` have the grid's length, `histograms` too when there is one.
/// A slot that is present is a histogram if `histograms` has one there, else a float.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    pub labels: Labels,
    /// The metric name is to be dropped when the query ends (see [`crate::NameRemoval`]).
    pub drop_name: bool,
    /// Anything where not present.
    pub values: Vec<f64>,
    pub present: Bitmap,
    pub histograms: Option<Box<Vec<Option<Arc<FloatHistogram>>>>>,
}

/// What one slot holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// Columns over one grid. The order of columns is the order of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub grid: Grid,
    pub columns: Vec<Column>,
}

/// The labels that tell what a metric is; they go when it becomes something else.
const METADATA: [&str; 3] = [Labels::NAME, "__type__", "__unit__"];

/// Whether a label tells what the metric is.
pub(crate) fn is_metadata(name: &[u8]) -> bool {
    METADATA.iter().any(|n| n.as_bytes() == name)
}

/// The labels of what is no longer the metric it was.
pub fn without_metadata(labels: &Labels) -> Labels {
    if !labels.raw().any(|(name, _)| is_metadata(name)) {
        return labels.clone();
    }
    labels.filter_raw(|name| !is_metadata(name))
}

// === impl Column ===

impl Column {
    /// A column of `n` absent slots.
    pub fn absent(labels: Labels, n: usize) -> Self {
        Self { labels, values: vec![0.0; n], present: Bitmap::new(n), ..Self::default() }
    }

    /// A column with a float in every slot.
    pub fn full(labels: Labels, values: Vec<f64>) -> Self {
        let present = Bitmap::full(values.len());
        Self { labels, values, present, ..Self::default() }
    }

    /// A column without samples but with the labels and flags of `self`.
    pub fn cleared(&self) -> Self {
        let mut out = Self::absent(self.labels.clone(), self.values.len());
        out.drop_name = self.drop_name;
        out
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no slot is present.
    pub fn is_empty(&self) -> bool {
        self.present.none()
    }

    pub fn get(&self, i: usize) -> Option<Sample<'_>> {
        self.present.get(i).then(|| match self.histogram(i) {
            Some(h) => Sample::Histogram(h),
            None => Sample::Float(self.values[i]),
        })
    }

    /// The float in slot `i`, if it is present and a float.
    pub fn float(&self, i: usize) -> Option<f64> {
        (self.present.get(i) && self.histogram(i).is_none()).then(|| self.values[i])
    }

    /// The histogram in slot `i`, if there is one.
    pub fn histogram(&self, i: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.as_ref()?.get(i)?.as_ref()
    }

    pub fn has_histograms(&self) -> bool {
        self.histograms.is_some()
    }

    /// Puts a float into slot `i`, which must lie within the grid.
    pub fn set(&mut self, i: usize, value: f64) {
        self.values[i] = value;
        self.present.set(i);
        if let Some(h) = self.histograms.as_mut() {
            h[i] = None;
        }
    }

    pub fn set_histogram(&mut self, i: usize, histogram: Arc<FloatHistogram>) {
        let n = self.values.len();
        self.histograms.get_or_insert_with(|| Box::new(vec![None; n]))[i] = Some(histogram);
        self.present.set(i);
    }

    /// Copies slot `i` of `from`, whatever it holds.
    pub fn set_from(&mut self, i: usize, from: &Self) {
        match from.get(i) {
            Some(Sample::Float(v)) => self.set(i, v),
            Some(Sample::Histogram(h)) => self.set_histogram(i, Arc::clone(h)),
            None => self.unset(i),
        }
    }

    /// Makes slot `i` absent.
    pub fn unset(&mut self, i: usize) {
        self.present.clear(i);
        if let Some(h) = self.histograms.as_mut() {
            h[i] = None;
        }
    }

    /// Keeps only the slots that are set in `mask`.
    pub fn retain(&mut self, mask: &Bitmap) {
        self.present.intersect_with(mask);
        if let Some(histograms) = self.histograms.as_mut() {
            for (i, h) in histograms.iter_mut().enumerate() {
                if !mask.get(i) {
                    *h = None;
                }
            }
        }
    }

    /// The present slots, ascending.
    pub fn samples(&self) -> impl Iterator<Item = (usize, Sample<'_>)> + '_ {
        self.present.ones().filter_map(|i| self.get(i).map(|s| (i, s)))
    }

    /// How many samples this counts for against a query's limit.
    pub fn n_samples(&self) -> usize {
        let floats = self.present.count();
        let extra: usize = self
            .histograms
            .iter()
            .flat_map(|h| h.iter().flatten())
            .map(|h| h.size_in_samples().saturating_sub(1))
            .sum();
        floats + extra
    }

    /// Takes over the slots of `other`. `false` when both have one at the same step.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        if self.present.intersects(&other.present) {
            return false;
        }
        for i in other.present.ones() {
            self.set_from(i, other);
        }
        true
    }
}

// === impl Matrix ===

impl Matrix {
    pub fn new(grid: Grid) -> Self {
        Self { grid, columns: Vec::new() }
    }

    /// Appends a column unless it is empty.
    pub fn push(&mut self, column: Column) {
        if !column.is_empty() {
            self.columns.push(column);
        }
    }

    /// The steps at which at least one column is present.
    pub fn any_present(&self) -> Bitmap {
        let mut out = Bitmap::new(self.grid.n);
        for c in &self.columns {
            out.union_with(&c.present);
        }
        out
    }

    pub fn n_samples(&self) -> usize {
        self.columns.iter().map(Column::n_samples).sum()
    }

    /// Merges columns with equal labels; two samples at one step are an error.
    ///
    /// Empty columns disappear.
    pub fn merge_same_labels(mut self, ctx: &Context) -> Result<Self, VectorError> {
        if self.columns.len() < 2 {
            self.columns.retain(|c| !c.is_empty());
            return Ok(self);
        }
        let mut seen: HashMap<Labels, usize> = HashMap::with_capacity(self.columns.len());
        let mut out: Vec<Column> = Vec::with_capacity(self.columns.len());
        for column in self.columns.drain(..).filter(|c| !c.is_empty()) {
            ctx.check()?;
            match seen.entry(column.labels.clone()) {
                Entry::Vacant(slot) => {
                    slot.insert(out.len());
                    out.push(column);
                }
                Entry::Occupied(slot) => {
                    let kept = &mut out[*slot.get()];
                    if !kept.absorb(&column) {
                        return Err(VectorError::SameLabelset);
                    }
                    kept.drop_name |= column.drop_name;
                }
            }
        }
        Ok(Self { grid: self.grid, columns: out })
    }

    /// Removes the metric name of every column that is marked so; the last act of a query.
    pub fn drop_marked_names(mut self, ctx: &Context) -> Result<Self, VectorError> {
        let mut any = false;
        for c in self.columns.iter_mut().filter(|c| c.drop_name) {
            any = true;
            ctx.check()?;
            c.labels = without_metadata(&c.labels);
            c.drop_name = false;
        }
        if any { self.merge_same_labels(ctx) } else { Ok(self) }
    }

    /// Sorts columns by their labels, as range results are.
    pub fn sort_by_labels(&mut self, ctx: &Context) -> Result<(), VectorError> {
        sort(&mut self.columns, ctx, |a, b| a.labels.cmp(&b.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CancelFlag;

    #[test]
    fn nothing_goes_through_many_columns_that_nobody_waits_for() {
        let n = 5000;
        let column = |i: usize| Column {
            drop_name: true,
            ..Column::full(
                Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())]),
                vec![0.0],
            )
        };
        let all = Matrix { grid: Grid::instant(0), columns: (0..n).map(column).collect() };
        let polls = |f: &dyn Fn(&Context) -> Result<Matrix, VectorError>| {
            let cancel = CancelFlag::after(u64::MAX - 1);
            let ctx = Context { cancel: cancel.clone(), ..Context::default() };
            assert_eq!(f(&ctx).unwrap().columns.len(), n);
            let asked = u64::MAX - 1 - cancel.polls_left();
            let ctx = Context { cancel: CancelFlag::after(asked / 2), ..Context::default() };
            assert_eq!(f(&ctx), Err(VectorError::Cancelled));
            asked
        };
        assert!(polls(&|ctx| all.clone().merge_same_labels(ctx)) >= 5000);
        assert!(polls(&|ctx| all.clone().drop_marked_names(ctx)) >= 10_000);
    }
}
