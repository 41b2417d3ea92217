//! `sum` and `avg`, of floats and of histograms.

use std::sync::Arc;

use skald_model::Labels;

use crate::histogram::HistogramSum;
use crate::stat::{KahanSum, Mean};
use crate::{Bitmap, Column, Context, FloatHistogram, Sample};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Sum,
    Avg,
}

/// What one group has gathered so far, per step.
#[derive(Debug)]
pub(super) struct Total {
    want: Want,
    sums: Vec<KahanSum>,
    means: Vec<Mean>,
    floats: Bitmap,
    histograms: Option<Vec<Option<HistogramSum>>>,
    /// Steps at which the members do not go together.
    failed: Bitmap,
    /// Steps at which a float came before the first histogram: no more is said of those behind it.
    float_first: Bitmap,
}

// === impl Total ===

impl Total {
    pub(super) fn new(n: usize, want: Want) -> Self {
        let (sums, means) = match want {
            Want::Sum => (n, 0),
            Want::Avg => (0, n),
        };
        Self {
            want,
            sums: vec![KahanSum::default(); sums],
            means: vec![Mean::default(); means],
            floats: Bitmap::new(n),
            histograms: None,
            failed: Bitmap::new(n),
            float_first: Bitmap::new(n),
        }
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &mut Context) {
        let want = self.want;
        if column.has_histograms() {
            for (i, sample) in column.samples() {
                match sample {
                    Sample::Float(v) => {
                        self.add_float(i, v, want);
                        self.floats.set(i);
                    }
                    Sample::Histogram(h) => self.add_histogram(i, h, want, column, ctx),
                }
            }
            return;
        }
        let n = column.values.len();
        for (word, (new, old)) in column.present.words().iter().zip(self.floats.words()).enumerate()
        {
            let slots = word * 64..n.min(word * 64 + 64);
            if want == Want::Sum && new & old == u64::MAX {
                let sums = self.sums.get_mut(slots.clone()).unwrap_or_default();
                let values = column.values.get(slots).unwrap_or_default();
                sums.iter_mut().zip(values).for_each(|(sum, v)| sum.add_evenly(*v));
                continue;
            }
            for i in slots.filter(|i| new >> (i % 64) & 1 == 1) {
                let known = old >> (i % 64) & 1 == 1;
                let v = column.values[i];
                match want {
                    // The first value is kept as it is: −0 stays −0.
                    Want::Sum if !known => self.sums[i] = KahanSum::new(v),
                    Want::Sum => self.sums[i].add(v),
                    Want::Avg => self.means[i].add(v),
                }
            }
        }
        self.floats.union_with(&column.present);
    }

    fn add_float(&mut self, i: usize, v: f64, want: Want) {
        match want {
            // The first value is kept as it is: −0 stays −0.
            Want::Sum if !self.floats.get(i) => self.sums[i] = KahanSum::new(v),
            Want::Sum => self.sums[i].add(v),
            Want::Avg => self.means[i].add(v),
        }
    }

    fn add_histogram(
        &mut self,
        i: usize,
        h: &FloatHistogram,
        want: Want,
        column: &Column,
        ctx: &mut Context,
    ) {
        let n = self.failed.len();
        let slot = &mut self.histograms.get_or_insert_with(|| vec![None; n])[i];
        let Some(total) = slot else {
            *slot = Some(HistogramSum::new(h));
            if self.floats.get(i) {
                self.float_first.set(i);
            }
            return;
        };
        if self.float_first.get(i) {
            return;
        }
        let added = match want {
            Want::Sum => total.add(h),
            Want::Avg => total.add_to_mean(h),
        };
        match added {
            Ok(notes) => {
                if notes.bounds_reconciled {
                    ctx.annotations
                        .info("mismatched custom buckets were reconciled during aggregation");
                }
            }
            Err(_) => {
                self.failed.set(i);
                let name = column.labels.metric_name().unwrap_or("");
                ctx.annotations.warn(&format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name:?}"
                ));
            }
        }
    }

    pub(super) fn finish(self, ctx: &mut Context) -> Column {
        let want = self.want;
        let mut out = Column::absent(Labels::empty(), self.failed.len());
        for i in self.floats.ones() {
            out.values[i] = match want {
                Want::Sum => self.sums[i].value(),
                Want::Avg => self.means[i].value(),
            };
        }
        out.present = self.floats;
        for (i, slot) in self.histograms.into_iter().flatten().enumerate() {
            let Some(total) = slot else { continue };
            if out.present.get(i) {
                ctx.annotations.warn("encountered a mix of histograms and floats for aggregation");
                out.unset(i);
            } else if !self.failed.get(i) {
                if total.resets_collide() {
                    ctx.annotations.warn("conflicting counter resets during histogram aggregation");
                }
                let mut histogram = match want {
                    Want::Sum => total.sum(),
                    Want::Avg => total.mean(),
                };
                histogram.compact();
                out.set_histogram(i, Arc::new(histogram));
            }
        }
        out
    }
}
