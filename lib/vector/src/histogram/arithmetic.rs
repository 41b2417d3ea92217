//! Sums, differences and multiples of histograms, and changes of layout.

use std::sync::Arc;

use skald_model::ResetHint;

use super::bucket::{downscaled_index, exponential_bound, remap};
use super::{Buckets, FloatHistogram};

/// Two histograms do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    #[error(
        "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
    )]
    MixedSchemas,
}

/// What a sum had to do; each is an annotation for the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeNotes {
    /// One says "reset", the other "no reset".
    pub reset_collision: bool,
    /// Custom bounds differed and were reduced to those in common.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds `other` bucket by bucket, at the lower of both resolutions.
    pub fn add(&mut self, other: &Self) -> Result<MergeNotes, HistogramError> {
        self.merge(other, 1.0, None)
    }

    /// Subtracts `other`; counts may become negative.
    pub fn sub(&mut self, other: &Self) -> Result<MergeNotes, HistogramError> {
        self.merge(other, -1.0, None)
    }

    /// `self += sign · other`. What rounding loses is added to `lost`, which keeps our layout.
    pub(super) fn merge(
        &mut self,
        other: &Self,
        sign: f64,
        mut lost: Option<&mut Self>,
    ) -> Result<MergeNotes, HistogramError> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::MixedSchemas);
        }
        let reset_collision = self.merge_hint(other);
        if self.uses_custom_buckets() {
            let bounds_reconciled = self.merge_custom(other, sign, lost);
            return Ok(MergeNotes { reset_collision, bounds_reconciled });
        }
        let other_zero = self.reconcile_zero(other);
        let schema = self.schema.min(other.schema);
        self.reduce_schema(schema);
        if let Some(lost) = lost.as_deref_mut() {
            lost.take_layout(self);
        }
        self.merge_totals(other, other_zero, sign, lost.as_deref_mut());
        for negative in [false, true] {
            let theirs = if negative { &other.negative } else { &other.positive };
            let mut outside: Buckets = theirs
                .iter()
                .filter(|(i, _)| exponential_bound(*i, other.schema) > self.zero_threshold)
                .copied()
                .collect();
            if other.schema > schema {
                remap(&mut outside, |i| downscaled_index(i, other.schema, schema));
            }
            let mine = if negative { &mut self.negative } else { &mut self.positive };
            let errors = lost.as_ref().map(|_| rounding_errors(mine, &outside, sign));
            merge_buckets(mine, &outside, sign);
            if let (Some(lost), Some(errors)) = (lost.as_deref_mut(), errors) {
                let side = if negative { &mut lost.negative } else { &mut lost.positive };
                merge_buckets(side, &errors, 1.0);
            }
        }
        Ok(MergeNotes { reset_collision, bounds_reconciled: false })
    }

    fn merge_custom(&mut self, other: &Self, sign: f64, mut lost: Option<&mut Self>) -> bool {
        self.merge_totals(other, other.zero_count, sign, lost.as_deref_mut());
        let same = same_bounds(&self.custom_values, &other.custom_values);
        let mut theirs = std::borrow::Cow::Borrowed(&other.positive);
        if !same {
            self.reduce_bounds(&other.custom_values);
            if let Some(lost) = lost.as_deref_mut() {
                lost.reduce_bounds(&other.custom_values);
            }
            rebound(theirs.to_mut(), &other.custom_values, &self.custom_values);
        }
        if let Some(lost) = lost {
            let errors = rounding_errors(&self.positive, &theirs, sign);
            merge_buckets(&mut lost.positive, &errors, 1.0);
        }
        merge_buckets(&mut self.positive, &theirs, sign);
        !same
    }

    fn merge_totals(&mut self, other: &Self, zero: f64, sign: f64, lost: Option<&mut Self>) {
        let mut unused = Self::empty_like(self);
        let lost = lost.unwrap_or(&mut unused);
        for (mine, theirs, lost) in [
            (&mut self.zero_count, zero, &mut lost.zero_count),
            (&mut self.count, other.count, &mut lost.count),
            (&mut self.sum, other.sum, &mut lost.sum),
        ] {
            let next = *mine + sign * theirs;
            if next.is_infinite() {
                *lost = 0.0;
            } else {
                *lost += rounding_error(*mine, sign * theirs);
            }
            *mine = next;
        }
    }

    /// Brings the layout to that of `like`, a coarser one.
    fn take_layout(&mut self, like: &Self) {
        self.reduce_schema(like.schema);
        if self.zero_threshold < like.zero_threshold {
            (self.zero_count, _) = self.zero_count_at(like.zero_threshold);
            self.zero_threshold = like.zero_threshold;
            self.trim_to_zero_bucket();
        }
    }

    /// Adds what was lost, which has the same layout.
    pub(super) fn settle(&mut self, lost: &Self) {
        self.zero_count += lost.zero_count;
        self.count += lost.count;
        self.sum += lost.sum;
        merge_buckets(&mut self.positive, &lost.positive, 1.0);
        merge_buckets(&mut self.negative, &lost.negative, 1.0);
    }

    /// Combines the reset hints. `true` when they contradict each other.
    fn merge_hint(&mut self, other: &Self) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (mine, theirs) = (self.reset_hint, other.reset_hint);
        self.reset_hint = match (mine, theirs) {
            _ if mine == theirs => mine,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        mine != theirs && ![mine, theirs].contains(&Gauge) && ![mine, theirs].contains(&Unknown)
    }

    /// Multiplies every count and the sum. A negative factor makes it a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.each_count(|c| c * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides every count and the sum. By zero leaves no buckets, only infinite or NaN totals.
    pub fn divide(&mut self, divisor: f64) {
        if super::is_zero(divisor) {
            self.positive.clear();
            self.negative.clear();
        }
        self.each_count(|c| c / divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn each_count(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = f(self.zero_count);
        self.count = f(self.count);
        self.sum = f(self.sum);
        for (_, c) in self.positive.iter_mut().chain(&mut self.negative) {
            *c = f(*c);
        }
        self.compact();
    }

    /// Lowers the resolution to `schema`; a schema that is not lower changes nothing.
    pub fn reduce_schema(&mut self, schema: i32) {
        if self.uses_custom_buckets() || schema >= self.schema {
            return;
        }
        let from = self.schema;
        remap(&mut self.positive, |i| downscaled_index(i, from, schema));
        remap(&mut self.negative, |i| downscaled_index(i, from, schema));
        self.schema = schema;
    }

    /// Reduces custom bounds to those that `bounds` has too.
    pub(crate) fn reduce_bounds(&mut self, bounds: &[f64]) {
        let common = common_bounds(&self.custom_values, bounds);
        rebound(&mut self.positive, &self.custom_values, &common);
        self.custom_values = Arc::from(common);
    }
}

/// What `a + b` loses by rounding.
fn rounding_error(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let error = if a.abs() >= b.abs() { (a - sum) + b } else { (b - sum) + a };
    if error.is_finite() { error } else { 0.0 }
}

/// What `mine += sign · theirs` loses by rounding, per bucket.
fn rounding_errors(mine: &[(i32, f64)], theirs: &[(i32, f64)], sign: f64) -> Buckets {
    let mut rest = mine.iter().peekable();
    let mut out = Vec::new();
    for (index, count) in theirs {
        while rest.next_if(|(i, _)| i < index).is_some() {}
        let Some((_, own)) = rest.next_if(|(i, _)| i == index) else { continue };
        let error = rounding_error(*own, sign * count);
        if !super::is_zero(error) {
            out.push((*index, error));
        }
    }
    out
}

/// `mine += sign · theirs`, both sorted.
fn merge_buckets(mine: &mut Buckets, theirs: &[(i32, f64)], sign: f64) {
    if theirs.is_empty() {
        return;
    }
    let mut out = Vec::with_capacity(mine.len().max(theirs.len()));
    let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                let merged = (x.0, x.1 + sign * y.1);
                a.next();
                b.next();
                merged
            }
            (Some(x), Some(y)) if x.0 > y.0 => {
                let taken = (y.0, sign * y.1);
                b.next();
                taken
            }
            (Some(x), _) => {
                let taken = **x;
                a.next();
                taken
            }
            (None, Some(y)) => {
                let taken = (y.0, sign * y.1);
                b.next();
                taken
            }
            (None, None) => break,
        };
        if !super::is_zero(next.1) {
            out.push(next);
        }
    }
    *mine = out;
}

/// Whether two lists of bounds are the same.
#[expect(clippy::float_cmp, reason = "bounds are copied, never computed")]
pub(crate) fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y)
}

#[expect(clippy::float_cmp, reason = "bounds are copied, never computed")]
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            out.push(*x);
            i += 1;
            j += 1;
        } else if x < y {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Moves buckets under `from` bounds into the wider ones of `to`, a subset of `from`.
fn rebound(buckets: &mut Buckets, from: &[f64], to: &[f64]) {
    remap(buckets, |i| {
        let upper = usize::try_from(i).ok().and_then(|i| from.get(i));
        let index = upper.map_or(to.len(), |u| to.partition_point(|t| t < u));
        i32::try_from(index).unwrap_or(i32::MAX)
    });
}
