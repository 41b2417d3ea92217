//! Aggregations that look at one value at a time.

use crate::stat::PlainVariance;
use crate::{Column, Context};

/// Folds the floats of each step; histograms are ignored with a remark.
#[derive(Debug)]
pub(super) struct Extreme {
    out: Column,
    op: &'static str,
    fold: fn(f64, f64) -> f64,
}

impl Extreme {
    pub(super) fn new(n: usize, op: &'static str, fold: fn(f64, f64) -> f64) -> Self {
        Self { out: Column::absent(skald_model::Labels::empty(), n), op, fold }
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &mut Context) {
        let out = &mut self.out;
        for (i, v) in each_float(column, self.op, ctx) {
            out.values[i] = if out.present.get(i) { (self.fold)(out.values[i], v) } else { v };
            out.present.set(i);
        }
    }

    pub(super) fn finish(self) -> Column {
        self.out
    }
}

/// Counts samples of either kind, or says 1 where there are any.
#[derive(Debug)]
pub(super) struct Count {
    out: Column,
    each: f64,
}

impl Count {
    /// `each` is what a sample adds; with 0 the result is 1.
    pub(super) fn new(n: usize, each: f64) -> Self {
        Self { out: Column::absent(skald_model::Labels::empty(), n), each }
    }

    pub(super) fn add(&mut self, column: &Column) {
        for i in column.present.ones() {
            self.out.values[i] += self.each;
        }
        self.out.present.union_with(&column.present);
    }

    pub(super) fn finish(mut self) -> Column {
        if self.each == 0.0 {
            self.out.values.fill(1.0);
        }
        self.out
    }
}

#[derive(Debug)]
pub(super) struct Spread {
    steps: Vec<PlainVariance>,
    out: Column,
    op: &'static str,
    finish: fn(&PlainVariance) -> f64,
}

impl Spread {
    pub(super) fn new(n: usize, op: &'static str, finish: fn(&PlainVariance) -> f64) -> Self {
        let out = Column::absent(skald_model::Labels::empty(), n);
        Self { steps: vec![PlainVariance::default(); n], out, op, finish }
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &mut Context) {
        for (i, v) in each_float(column, self.op, ctx) {
            self.steps[i].add(v);
            self.out.present.set(i);
        }
    }

    pub(super) fn finish(mut self) -> Column {
        for (slot, step) in self.out.values.iter_mut().zip(&self.steps) {
            *slot = (self.finish)(step);
        }
        self.out
    }
}

/// The floats of a column; histograms among them are remarked upon once.
pub(super) fn each_float<'a>(
    column: &'a Column,
    op: &str,
    ctx: &mut Context,
) -> impl Iterator<Item = (usize, f64)> + 'a {
    if column.has_histograms() && column.present.ones().any(|i| column.histogram(i).is_some()) {
        ctx.annotations.info(&format!("ignored histogram in {op} aggregation"));
    }
    column.present.ones().filter_map(|i| column.float(i).map(|v| (i, v)))
}
