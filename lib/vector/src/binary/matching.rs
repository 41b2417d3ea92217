//! Arithmetic and comparison between two vectors: columns with equal signatures are joined.
//!
//! Signatures are computed once per column. Which columns are present is a matter of the step: two
//! columns of the "one" side may share a signature as long as they never share a step.

use std::collections::HashMap;

use skald_model::Labels;

use super::element::{Outcome, Remark, apply};
use super::{BinaryOp, BinaryOptions, Cardinality, Matching};
use crate::function::with_label;
use crate::{Bitmap, Column, Context, Matrix, Sample, VectorError};

/// The columns of both sides with one signature.
#[derive(Debug, Default)]
struct Pairing<'a> {
    many: Vec<Member<'a>>,
    one: Vec<Member<'a>>,
}

/// A column and its place among all, those of the many side first.
#[derive(Clone, Copy, Debug)]
struct Member<'a> {
    column: &'a Column,
    place: usize,
}

/// One join; `lhs` and `rhs` are called many and one, also when both are one.
struct Join<'a> {
    op: BinaryOp,
    matching: &'a Matching,
    options: BinaryOptions,
    /// The many side is the right one.
    swapped: bool,
    n: usize,
    /// Per step, what is to be said about the last pair that something is to be said about.
    remarks: Vec<Option<(usize, Remark)>>,
    /// The first step at which series clash, and how.
    clash: Option<(usize, VectorError)>,
}

/// The results of one signature with the steps at which pairs made them, kept or filtered away.
#[derive(Default)]
struct Results {
    columns: Vec<(Column, Bitmap)>,
    /// Where labels stand among the columns, once these are more than a few.
    index: HashMap<Labels, usize>,
}

/// Results that are looked through one by one.
const FEW: usize = 8;

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
    let mut join =
        Join { op, matching, options, swapped, n: lhs.grid.n, remarks: Vec::new(), clash: None };
    let pairings = pair(many, one, matching, ctx)?;
    // With fill values the one side is looked at even where the many side has nothing.
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let any_many = if fills { Bitmap::full(join.n) } else { many.any_present() };
    let mut out = Matrix::new(lhs.grid);
    for (signature, pairing) in &pairings {
        join.refuse_duplicates(signature, pairing, &any_many, ctx)?;
    }
    // Nothing can clash earlier: do not join each series of a large group with each other one.
    let first = any_many.ones().next();
    if let Some((_, error)) = join.clash.take_if(|(step, _)| first.is_none_or(|f| *step <= f)) {
        return Err(error);
    }
    for (signature, pairing) in &pairings {
        ctx.check()?;
        match matching.card {
            Cardinality::OneToOne => join.one_to_one(signature, pairing, &mut out, ctx)?,
            _ => join.grouped(signature, pairing, &mut out, ctx)?,
        }
    }
    if let Some((_, error)) = join.clash {
        return Err(error);
    }
    for (_, remark) in join.remarks.into_iter().flatten() {
        remark.say(op, ctx);
    }
    out.merge_same_labels(ctx)
}

/// Pairings in order of first appearance on the many side.
fn pair<'a>(
    many: &'a Matrix,
    one: &'a Matrix,
    matching: &Matching,
    ctx: &Context,
) -> Result<Vec<(Labels, Pairing<'a>)>, VectorError> {
    let mut index: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<(Labels, Pairing<'a>)> = Vec::new();
    let sides =
        many.columns.iter().map(|c| (c, true)).chain(one.columns.iter().map(|c| (c, false)));
    for (place, (column, is_many)) in sides.enumerate().filter(|(_, (c, _))| !c.is_empty()) {
        ctx.check()?;
        let signature = matching.signature(&column.labels);
        let at = *index.entry(signature).or_insert_with_key(|signature| {
            out.push((signature.clone(), Pairing::default()));
            out.len() - 1
        });
        let pairing = &mut out[at].1;
        let side = if is_many { &mut pairing.many } else { &mut pairing.one };
        side.push(Member { column, place });
    }
    Ok(out)
}

// === impl Results ===

impl Results {
    /// Columns of the one side that follow each other (a restarted exporter) continue one result as
    /// long as its labels stay. The step at which it is there already, if there is one.
    fn add(&mut self, fresh: Column, matched: Bitmap) -> Option<usize> {
        let known = self.find(&fresh.labels).and_then(|at| self.columns.get_mut(at));
        let Some((column, before)) = known else {
            self.put(fresh, matched);
            return None;
        };
        let clash = first_common(before, &matched);
        if clash.is_some() || !column.absorb(&fresh) {
            return clash.or(Some(0));
        }
        before.union_with(&matched);
        None
    }

    fn find(&self, labels: &Labels) -> Option<usize> {
        if self.columns.len() <= FEW {
            return self.columns.iter().position(|(column, _)| column.labels == *labels);
        }
        self.index.get(labels).copied()
    }

    fn put(&mut self, fresh: Column, matched: Bitmap) {
        self.columns.push((fresh, matched));
        let known = self.index.len();
        if self.columns.len() > FEW {
            for (at, (column, _)) in self.columns.iter().enumerate().skip(known) {
                self.index.insert(column.labels.clone(), at);
            }
        }
    }

    fn matched(&self, n: usize) -> Bitmap {
        let mut out = Bitmap::new(n);
        self.columns.iter().for_each(|(_, matched)| out.union_with(matched));
        out
    }
}

// === impl Join ===

impl Join<'_> {
    /// Notes an error, unless there is one at an earlier step.
    fn clash(&mut self, step: Option<usize>, error: impl FnOnce() -> VectorError) {
        let Some(step) = step else { return };
        if self.clash.as_ref().is_none_or(|(before, _)| step < *before) {
            self.clash = Some((step, error()));
        }
    }

    fn refuse_duplicates(
        &mut self,
        signature: &Labels,
        pairing: &Pairing<'_>,
        any_many: &Bitmap,
        ctx: &Context,
    ) -> Result<(), VectorError> {
        if pairing.one.len() < 2 {
            return Ok(());
        }
        let mut seen = Bitmap::new(self.n);
        for (at, Member { column, .. }) in pairing.one.iter().enumerate() {
            ctx.check()?;
            let mut both = seen.clone();
            both.intersect_with(&column.present);
            both.intersect_with(any_many);
            let side = if self.swapped { "left" } else { "right" };
            if let Some(step) = both.ones().next() {
                let earlier = pairing.one[..at].iter().find(|c| c.column.present.get(step));
                let mut pair = [
                    earlier.map(|c| c.column.labels.clone()).unwrap_or_default(),
                    column.labels.clone(),
                ];
                pair.sort_by_cached_key(Labels::to_string);
                let [first, second] = pair;
                let group = signature.clone();
                self.clash(Some(step), || VectorError::DuplicateMatch {
                    group,
                    side,
                    first,
                    second,
                });
            }
            seen.union_with(&column.present);
        }
        Ok(())
    }

    // As Prometheus has it, "left" of fill values is the many side, also for `group_right`.

    fn one_to_one(
        &mut self,
        signature: &Labels,
        pairing: &Pairing<'_>,
        out: &mut Matrix,
        ctx: &Context,
    ) -> Result<(), VectorError> {
        let there = union(&pairing.one, self.n);
        let mut taken = Bitmap::new(self.n);
        for many in &pairing.many {
            ctx.check()?;
            let mut result = self.result_column(many.column, None, ctx);
            // A match counts even if the comparison filters it away.
            let mut matched = Bitmap::new(self.n);
            for one in &pairing.one {
                ctx.check()?;
                self.combine(*many, one.column, &mut result, &mut matched);
            }
            self.fill_one(*many, &there, &mut result, &mut matched);
            self.clash(first_common(&taken, &matched), || VectorError::ManyToOne);
            taken.union_with(&matched);
            out.push(result);
        }
        for one in &pairing.one {
            ctx.check()?;
            if let Some((result, _)) = self.fill_many(signature, *one, &taken, ctx) {
                out.push(result);
            }
        }
        Ok(())
    }

    fn grouped(
        &mut self,
        signature: &Labels,
        pairing: &Pairing<'_>,
        out: &mut Matrix,
        ctx: &Context,
    ) -> Result<(), VectorError> {
        let there = union(&pairing.one, self.n);
        let stand_in = Column::absent(signature.clone(), self.n);
        let mut results = Results::default();
        for many in &pairing.many {
            ctx.check()?;
            let present = &many.column.present;
            for one in pairing.one.iter().filter(|one| one.column.present.intersects(present)) {
                ctx.check()?;
                let mut fresh = self.result_column(many.column, Some(one.column), ctx);
                let mut matched = Bitmap::new(self.n);
                self.combine(*many, one.column, &mut fresh, &mut matched);
                self.clash(results.add(fresh, matched), || VectorError::AmbiguousGrouping);
                ctx.check_slots(out.columns.len() + results.columns.len(), self.n)?;
            }
            if self.matching.fill_right.is_some() {
                let mut fresh = self.result_column(many.column, Some(&stand_in), ctx);
                let mut matched = Bitmap::new(self.n);
                self.fill_one(*many, &there, &mut fresh, &mut matched);
                self.clash(results.add(fresh, matched), || VectorError::AmbiguousGrouping);
            }
        }
        let taken = results.matched(self.n);
        for one in &pairing.one {
            ctx.check()?;
            if let Some((fresh, matched)) = self.fill_many(signature, *one, &taken, ctx) {
                self.clash(results.add(fresh, matched), || VectorError::AmbiguousGrouping);
            }
        }
        results.columns.into_iter().for_each(|(column, _)| out.push(column));
        Ok(())
    }

    /// Joins the slots that both have into `result`.
    fn combine(
        &mut self,
        many: Member<'_>,
        one: &Column,
        result: &mut Column,
        matched: &mut Bitmap,
    ) {
        let Member { column, place } = many;
        let floats_only = !column.has_histograms() && !one.has_histograms();
        let arithmetic =
            !self.op.is_trim() && (!self.op.is_comparison() || self.options.return_bool);
        let mut both = column.present.clone();
        both.intersect_with(&one.present);
        if floats_only && arithmetic {
            for i in both.ones() {
                let (a, b) = self.sides(column.values[i], one.values[i]);
                result.values[i] = super::float_op(self.op, a, b, self.options.division);
            }
            result.present.union_with(&both);
            matched.union_with(&both);
            return;
        }
        for i in both.ones() {
            if let (Some(m), Some(o)) = (column.get(i), one.get(i))
                && self.put((i, place), m, o, result)
            {
                matched.set(i);
            }
        }
    }

    /// Puts what a pair makes at step `i` into `result`; false when they do not go together.
    fn put(
        &mut self,
        (i, place): (usize, usize),
        m: Sample<'_>,
        o: Sample<'_>,
        result: &mut Column,
    ) -> bool {
        let (lhs, rhs) = self.sides(m, o);
        let (outcome, remark) = apply(self.op, lhs, rhs, self.options);
        if let Some(remark) = remark {
            self.remarks.resize(self.n, None);
            if let Some(slot) = self.remarks.get_mut(i)
                && slot.is_none_or(|(before, _)| before <= place)
            {
                *slot = Some((place, remark));
            }
        }
        match outcome {
            Outcome::Failed => return false,
            Outcome::Dropped => {}
            Outcome::Kept => match lhs {
                Sample::Float(v) => result.set(i, v),
                Sample::Histogram(h) => result.set_histogram(i, std::sync::Arc::clone(h)),
            },
            Outcome::Float(v) => result.set(i, v),
            Outcome::Histogram(h) => result.set_histogram(i, h),
        }
        true
    }

    /// (many, one) as (left, right).
    fn sides<T>(&self, many: T, one: T) -> (T, T) {
        if self.swapped { (one, many) } else { (many, one) }
    }

    /// Uses the fill value of the one side where only the many side is there.
    fn fill_one(
        &mut self,
        many: Member<'_>,
        there: &Bitmap,
        result: &mut Column,
        matched: &mut Bitmap,
    ) {
        let Some(v) = self.matching.fill_right else { return };
        for i in many.column.present.ones().filter(|i| !there.get(*i)) {
            if let Some(m) = many.column.get(i)
                && self.put((i, many.place), m, Sample::Float(v), result)
            {
                matched.set(i);
            }
        }
    }

    /// Uses the fill value of the many side where the one side found no partner.
    fn fill_many(
        &mut self,
        signature: &Labels,
        one: Member<'_>,
        taken: &Bitmap,
        ctx: &Context,
    ) -> Option<(Column, Bitmap)> {
        let v = self.matching.fill_left?;
        let stand_in = Column::absent(signature.clone(), self.n);
        let mut result = self.result_column(&stand_in, Some(one.column), ctx);
        let mut matched = Bitmap::new(self.n);
        for i in one.column.present.ones().filter(|i| !taken.get(*i)) {
            if let Some(o) = one.column.get(i)
                && self.put((i, one.place), Sample::Float(v), o, &mut result)
            {
                matched.set(i);
            }
        }
        Some((result, matched))
    }

    /// An empty column with the labels that a match of these two has.
    fn result_column(&self, many: &Column, one: Option<&Column>, ctx: &Context) -> Column {
        let mut labels = many.labels.clone();
        let Matching { on, labels: names, card, include, .. } = self.matching;
        if *card == Cardinality::OneToOne {
            labels = labels.filter(|n| names.iter().any(|l| l == n) == *on);
        }
        if !include.is_empty() && *card != Cardinality::OneToOne {
            for name in include {
                let value = one.and_then(|o| o.labels.get(name)).unwrap_or("");
                labels = with_label(&labels, name, value);
            }
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

fn first_common(a: &Bitmap, b: &Bitmap) -> Option<usize> {
    if !a.intersects(b) {
        return None;
    }
    b.ones().find(|i| a.get(*i))
}

fn union(members: &[Member<'_>], n: usize) -> Bitmap {
    let mut out = Bitmap::new(n);
    for m in members {
        out.union_with(&m.column.present);
    }
    out
}
