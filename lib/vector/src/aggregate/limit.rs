//! `limitk` and `limit_ratio`: some columns of each group, whatever their values.

use super::gather::column_bytes;
use super::param::whole_numbers;
use super::{GroupIndex, Grouping, Held};
use crate::{Bitmap, Column, Context, VectorError};

/// The first `k` samples of each group and step, floats or histograms.
#[derive(Debug)]
pub(super) struct Limit<'a> {
    k: Vec<usize>,
    index: GroupIndex<'a>,
    /// How many were taken at each step, and the columns of it.
    groups: Vec<(Vec<usize>, Vec<Column>)>,
    held: Held,
}

/// A share of all series, chosen by a hash of their labels; a negative ratio keeps the complement.
#[derive(Debug)]
pub(super) struct Ratio {
    /// Per step, within -1..=1.
    ratios: Vec<f64>,
    columns: Vec<Column>,
    held: Held,
}

/// Accounts for a column that stays.
fn keep(
    column: &Column,
    mask: &Bitmap,
    held: &mut Held,
    ctx: &Context,
) -> Result<Column, VectorError> {
    ctx.check_slots(held.columns + 1, column.len())?;
    let mut column = column.clone();
    column.retain(mask);
    held.columns += 1;
    held.samples = held.samples.saturating_add(column.n_samples());
    held.bytes = held.bytes.saturating_add(column_bytes(&column));
    Ok(column)
}

// === impl Limit ===

impl<'a> Limit<'a> {
    pub(super) fn new(grouping: &'a Grouping, k: &[f64], n: usize) -> Result<Self, VectorError> {
        let k = whole_numbers(k, n)?;
        let index = GroupIndex::new(grouping, false);
        Ok(Self { k, index, groups: Vec::new(), held: Held::default() })
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &Context) -> Result<(), VectorError> {
        let at = self.index.find(column);
        if at >= self.groups.len() {
            self.groups.push((vec![0; self.k.len()], Vec::new()));
            self.held.bytes += self.k.len() * size_of::<usize>();
        }
        let Some((taken, columns)) = self.groups.get_mut(at) else { return Ok(()) };
        let mut mask = Bitmap::new(self.k.len());
        for i in column.present.ones() {
            if taken[i] < self.k[i] {
                taken[i] += 1;
                mask.set(i);
            }
        }
        if !mask.none() {
            columns.push(keep(column, &mask, &mut self.held, ctx)?);
        }
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn finish(self) -> Vec<Column> {
        self.groups.into_iter().flat_map(|(_, columns)| columns).collect()
    }
}

// === impl Ratio ===

impl Ratio {
    pub(super) fn new(ratios: &[f64], n: usize) -> Result<Self, VectorError> {
        if ratios.iter().any(|r| r.is_nan()) {
            return Err(VectorError::Parameter("Ratio value is NaN".to_owned()));
        }
        let ratios = ratios.iter().take(n).map(|r| r.clamp(-1.0, 1.0)).collect();
        Ok(Self { ratios, columns: Vec::new(), held: Held::default() })
    }

    pub(super) fn add(&mut self, column: &Column, ctx: &Context) -> Result<(), VectorError> {
        let offset = hash_offset(column);
        let mut mask = Bitmap::new(column.len());
        for (i, ratio) in self.ratios.iter().enumerate() {
            let keep = if *ratio >= 0.0 { offset < *ratio } else { offset >= 1.0 + ratio };
            if keep {
                mask.set(i);
            }
        }
        if mask.intersects(&column.present) {
            self.columns.push(keep(column, &mask, &mut self.held, ctx)?);
        }
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn finish(self) -> Vec<Column> {
        self.columns
    }
}

/// A number in 0..=1 that depends on the labels only: the same that Prometheus takes.
#[expect(clippy::cast_precision_loss, reason = "53 bits of a hash are plenty")]
fn hash_offset(column: &Column) -> f64 {
    super::xxh64::xxh64(column.labels.as_bytes()) as f64 / u64::MAX as f64
}
