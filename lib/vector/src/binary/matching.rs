//! Arithmetic and comparison between two vectors: columns with equal signatures are joined.
//!
//! Signatures are computed once per column. Which columns are present is a matter of the step: two
//! columns of the "one" side may share a signature as long as they never share a step.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use skald_model::Labels;

use super::element::{Outcome, apply};
use super::{BinaryOp, BinaryOptions, Cardinality, Matching};
use crate::{Bitmap, Column, Context, Matrix, Sample, VectorError};

/// The columns of both sides with one signature.
#[derive(Debug, Default)]
struct Pairing<'a> {
    many: Vec<&'a Column>,
    one: Vec<&'a Column>,
}

/// One join; `lhs` and `rhs` are called many and one, also when both are one.
struct Join<'a> {
    op: BinaryOp,
    matching: &'a Matching,
    options: BinaryOptions,
    /// The many side is the right one.
    swapped: bool,
    n: usize,
}

pub(super) fn join(
    op: BinaryOp,
    lhs: &Matrix,
    rhs: &Matrix,
    matching: &Matching,
    options: BinaryOptions,
    ctx: &mut Context,
) -> Result<Matrix, VectorError> {
    let swapped = matching.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let join = Join { op, matching, options, swapped, n: lhs.grid.n };
    let pairings = pair(many, one, matching);
    let any_many = many.any_present();
    let mut out = Matrix::new(lhs.grid);
    for (signature, pairing) in &pairings {
        ctx.check()?;
        join.refuse_duplicates(signature, pairing, &any_many)?;
        match matching.card {
            Cardinality::OneToOne => join.one_to_one(pairing, &mut out, ctx)?,
            _ => join.grouped(pairing, &mut out, ctx)?,
        }
        join.fill(signature, pairing, &mut out, ctx);
    }
    out.merge_same_labels()
}

/// Pairings in order of first appearance on the many side.
fn pair<'a>(many: &'a Matrix, one: &'a Matrix, matching: &Matching) -> Vec<(Labels, Pairing<'a>)> {
    let mut index: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<(Labels, Pairing<'a>)> = Vec::new();
    let sides =
        many.columns.iter().map(|c| (c, true)).chain(one.columns.iter().map(|c| (c, false)));
    for (column, is_many) in sides.filter(|(c, _)| !c.is_empty()) {
        let signature = matching.signature(&column.labels);
        let at = *index.entry(signature).or_insert_with_key(|signature| {
            out.push((signature.clone(), Pairing::default()));
            out.len() - 1
        });
        let pairing = &mut out[at].1;
        if is_many { &mut pairing.many } else { &mut pairing.one }.push(column);
    }
    out
}

// === impl Join ===

impl Join<'_> {
    fn refuse_duplicates(
        &self,
        signature: &Labels,
        pairing: &Pairing<'_>,
        any_many: &Bitmap,
    ) -> Result<(), VectorError> {
        if pairing.one.len() < 2 {
            return Ok(());
        }
        let mut seen = Bitmap::new(self.n);
        for (at, column) in pairing.one.iter().enumerate() {
            let mut both = seen.clone();
            both.intersect_with(&column.present);
            both.intersect_with(any_many);
            if let Some(step) = both.ones().next() {
                let earlier = pairing.one[..at].iter().find(|c| c.present.get(step));
                return Err(VectorError::DuplicateMatch {
                    group: signature.clone(),
                    side: if self.swapped { "left" } else { "right" },
                    first: earlier.map(|c| c.labels.clone()).unwrap_or_default(),
                    second: column.labels.clone(),
                });
            }
            seen.union_with(&column.present);
        }
        Ok(())
    }

    fn one_to_one(
        &self,
        pairing: &Pairing<'_>,
        out: &mut Matrix,
        ctx: &mut Context,
    ) -> Result<(), VectorError> {
        let there = union(&pairing.one, self.n);
        let mut taken = Bitmap::new(self.n);
        for many in &pairing.many {
            let mut result = self.result_column(many, None, ctx);
            for one in &pairing.one {
                self.combine(many, one, &mut result, ctx);
            }
            // A match counts even if the comparison filters it away.
            let mut matched = many.present.clone();
            matched.intersect_with(&there);
            if taken.intersects(&matched) {
                return Err(VectorError::ManyToOne);
            }
            taken.union_with(&matched);
            out.push(result);
        }
        Ok(())
    }

    fn grouped(
        &self,
        pairing: &Pairing<'_>,
        out: &mut Matrix,
        ctx: &mut Context,
    ) -> Result<(), VectorError> {
        // Columns of the one side that follow each other (a restarted exporter) continue one
        // result as long as its labels stay.
        let mut results: HashMap<Labels, Column> = HashMap::new();
        let mut order: Vec<Labels> = Vec::new();
        for many in &pairing.many {
            for one in pairing.one.iter().filter(|one| one.present.intersects(&many.present)) {
                let mut fresh = self.result_column(many, Some(one), ctx);
                self.combine(many, one, &mut fresh, ctx);
                match results.entry(fresh.labels.clone()) {
                    Entry::Vacant(slot) => {
                        order.push(fresh.labels.clone());
                        slot.insert(fresh);
                    }
                    Entry::Occupied(mut slot) => {
                        if !slot.get_mut().absorb(&fresh) {
                            return Err(VectorError::AmbiguousGrouping);
                        }
                    }
                }
                ctx.check_slots(out.columns.len() + order.len(), self.n)?;
            }
        }
        let sorted = order.into_iter().filter_map(|labels| results.remove(&labels));
        sorted.for_each(|column| out.push(column));
        Ok(())
    }

    /// Joins the slots that both have into `result`.
    fn combine(&self, many: &Column, one: &Column, result: &mut Column, ctx: &mut Context) {
        let floats_only = !many.has_histograms() && !one.has_histograms();
        let arithmetic =
            !self.op.is_trim() && (!self.op.is_comparison() || self.options.return_bool);
        let mut both = many.present.clone();
        both.intersect_with(&one.present);
        if floats_only && arithmetic {
            for i in both.ones() {
                let (a, b) = self.sides(many.values[i], one.values[i]);
                result.values[i] = super::float_op(self.op, a, b, self.options.division);
            }
            result.present.union_with(&both);
            return;
        }
        for i in both.ones() {
            if let (Some(m), Some(o)) = (many.get(i), one.get(i)) {
                self.put(i, m, o, result, ctx);
            }
        }
    }

    fn put(&self, i: usize, m: Sample<'_>, o: Sample<'_>, result: &mut Column, ctx: &mut Context) {
        let (lhs, rhs) = self.sides(m, o);
        match apply(self.op, lhs, rhs, self.options, ctx) {
            Outcome::Dropped => {}
            Outcome::Kept => match lhs {
                Sample::Float(v) => result.set(i, v),
                Sample::Histogram(h) => result.set_histogram(i, std::sync::Arc::clone(h)),
            },
            Outcome::Float(v) => result.set(i, v),
            Outcome::Histogram(h) => result.set_histogram(i, h),
        }
    }

    /// (many, one) as (left, right).
    fn sides<T>(&self, many: T, one: T) -> (T, T) {
        if self.swapped { (one, many) } else { (many, one) }
    }

    /// Uses fill values for the steps at which only one side is there.
    fn fill(&self, signature: &Labels, pairing: &Pairing<'_>, out: &mut Matrix, ctx: &mut Context) {
        let Matching { fill_left, fill_right, .. } = *self.matching;
        // As Prometheus has it: "left" is the many side, also for `group_right`.
        let (many_fill, one_fill) = (fill_left, fill_right);
        if let Some(v) = one_fill {
            let there = union(&pairing.one, self.n);
            for many in &pairing.many {
                let mut result = self.result_column(many, None, ctx);
                for i in many.present.ones().filter(|i| !there.get(*i)) {
                    if let Some(m) = many.get(i) {
                        self.put(i, m, Sample::Float(v), &mut result, ctx);
                    }
                }
                out.push(result);
            }
        }
        if let Some(v) = many_fill {
            let there = union(&pairing.many, self.n);
            for one in &pairing.one {
                let stand_in = Column::absent(signature.clone(), self.n);
                let mut result = self.result_column(&stand_in, Some(one), ctx);
                for i in one.present.ones().filter(|i| !there.get(*i)) {
                    if let Some(o) = one.get(i) {
                        self.put(i, Sample::Float(v), o, &mut result, ctx);
                    }
                }
                out.push(result);
            }
        }
    }

    /// An empty column with the labels that a match of these two has.
    fn result_column(&self, many: &Column, one: Option<&Column>, ctx: &Context) -> Column {
        let mut labels = many.labels.clone();
        let Matching { on, labels: names, card, include, .. } = self.matching;
        if *card == Cardinality::OneToOne {
            labels = labels.filter(|n| names.iter().any(|l| l == n) == *on);
        }
        if !include.is_empty() && *card != Cardinality::OneToOne {
            let mut builder = labels.to_builder();
            for name in include {
                let value = one.and_then(|o| o.labels.get(name)).unwrap_or("");
                builder.set(name, value);
            }
            labels = builder.build();
        }
        let mut result = Column::absent(labels, self.n);
        result.drop_name = many.drop_name;
        if self.op.drops_name(self.options) {
            let keeps = include.iter().any(|n| n == Labels::NAME);
            if !keeps {
                ctx.drop_name(&mut result);
            }
        }
        result
    }
}

fn union(columns: &[&Column], n: usize) -> Bitmap {
    let mut out = Bitmap::new(n);
    for c in columns {
        out.union_with(&c.present);
    }
    out
}
