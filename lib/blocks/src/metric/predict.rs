//! Float cells of a dense block: chunks of histogram buckets as differences to those of another row.
//!
//! Rows of a page that differ in nothing but `le` are one histogram. Each of its chunks may be predicted from the one
//! at the same times in the row of the histogram before it (a neighbouring bucket), or in its first row (all
//! observations, as `+Inf` sorts first), plain or scaled: what promises to be smallest is encoded, and kept if it is.
//!
//! Invariant: to decode a chunk at most [`MAX_DEPTH`] others are needed, all of them in rows above it in its page.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use skald_codec::chunk::decode_floats;
use skald_codec::chunk::grid::{self, Base, ONE};
use skald_model::Labels;

use super::SeriesRow;
use super::grids::Table;
use crate::ValueForm;
use crate::chunks::put_list_item;

/// Most chunks that a reader decodes beside the one it wants.
pub(super) const MAX_DEPTH: u8 = 2;
/// Bodies that are not longer are left alone.
const MIN_BODY: usize = 16;
/// Shorter chains are worth this share of the bits.
const PER_DEPTH: f64 = 0.05;
const LE: &str = "le";

/// Chunks of one row that others may be predicted from, by grid.
type Known = HashMap<u32, Chunk>;

#[derive(Debug)]
struct Chunk {
    row: usize,
    depth: u8,
    values: Vec<f64>,
}

/// The rows of a histogram that the next is predicted from.
#[derive(Debug, Default)]
struct Histogram {
    first: Known,
    last: Known,
}

/// Cells of the rows of one page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    table: &'a Table<'a>,
    histograms: HashMap<Labels, Histogram>,
}

// === impl Page ===

impl<'a> Page<'a> {
    pub(super) fn new(table: &'a Table<'a>) -> Self {
        Self { table, histograms: HashMap::new() }
    }

    /// Appends the cell of a row of the page; rows come in order.
    pub(super) fn put_list(&mut self, row: usize, series: &SeriesRow, out: &mut Vec<u8>) {
        if series.labels.get(LE).is_none() || series.floats.is_empty() {
            return self.table.put_list(&series.floats, ValueForm::Dense, out);
        }
        let plain = |chunk, out: &mut _| {
            self.table.put_list(std::slice::from_ref(chunk), ValueForm::Dense, out);
        };
        let histogram = self.histograms.entry(series.labels.filter(|name| name != LE)).or_default();
        let (mut known, mut used) = (Known::new(), HashSet::new());
        for chunk in &series.floats {
            let on = self.table.number(chunk);
            // Readers take the first chunk of a row on a grid, whatever it is.
            let is_first = on.is_none_or(|(number, ..)| used.insert(number));
            let values = on
                .filter(|(_, _, starts)| is_first && !starts)
                .and_then(|(number, body, _)| Some((number, body, values(chunk)?)));
            let Some((number, body, values)) = values else {
                plain(chunk, out);
                continue;
            };
            let mut this = Chunk { row, depth: 0, values };
            if body < MIN_BODY || !histogram.predict(number, &mut this, body, out) {
                plain(chunk, out);
            }
            known.insert(number, this);
        }
        if histogram.first.is_empty() {
            histogram.first = known;
        } else {
            histogram.last = known;
        }
    }
}

/// The values of a chunk without start timestamps.
fn values(chunk: &Bytes) -> Option<Vec<f64>> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    decode_floats(chunk, &mut times, &mut values).ok()?;
    Some(values)
}

// === impl Histogram ===

impl Histogram {
    /// Appends a chunk on the grid `number` as differences; false when nothing is won by it.
    fn predict(&self, number: u32, this: &mut Chunk, body: usize, out: &mut Vec<u8>) -> bool {
        let candidates = [&self.last, &self.first].into_iter().filter_map(|k| k.get(&number));
        let mut best: Option<(f64, &Chunk, u32)> = None;
        for base in candidates.filter(|b| b.depth < MAX_DEPTH && b.row < this.row) {
            for slope in [Some(ONE), slope(&base.values, &this.values)].into_iter().flatten() {
                let bits = bits(&base.values, &this.values, slope);
                let bits = bits * (1.0 + PER_DEPTH * f64::from(base.depth));
                if best.as_ref().is_none_or(|(least, ..)| bits < *least) {
                    best = Some((bits, base, slope));
                }
            }
        }
        let Some((_, chunk, slope)) = best else { return false };
        let Ok(rows_up) = u32::try_from(this.row - chunk.row) else { return false };
        let base = Base { rows_up, slope };
        let mut differences = Vec::new();
        if !base.subtract(&chunk.values, &this.values, &mut differences) {
            return false;
        }
        let mut encoded = Vec::with_capacity(body);
        grid::put_predicted(number, base, &differences, &mut encoded);
        if encoded.len() > body {
            return false;
        }
        put_list_item(&encoded, out);
        this.depth = chunk.depth + 1;
        true
    }
}

/// How much the values rise when the base rises by 64, resets left out; `None` when that is of no use.
fn slope(base: &[f64], values: &[f64]) -> Option<u32> {
    let rise = |all: &[f64]| -> f64 {
        let steps = all.windows(2).map(|w| w[1] - w[0]);
        steps.filter(|d| *d > 0.0 && d.is_finite()).sum()
    };
    let slope = (rise(values) / rise(base) * f64::from(ONE)).round();
    let known = slope.is_finite() && (1.0..=4096.0).contains(&slope);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in bounds")]
    known.then_some(slope as u32).filter(|slope| *slope != ONE)
}

/// About how many bits the steps of the differences take.
fn bits(base: &[f64], values: &[f64], slope: u32) -> f64 {
    let slope = f64::from(slope) / f64::from(ONE);
    let mut last = 0.0;
    let mut bits = 0.0;
    for (i, (w, v)) in base.iter().zip(values).enumerate() {
        let d = (v - w * slope).floor();
        if i > 0 {
            let step = (d - last).abs();
            if step.is_finite() {
                bits += f64::from(exponent(step * 2.0 + 1.0));
            }
        }
        last = d;
    }
    bits
}

/// The binary logarithm of a number that is not below 1, with linear parts between powers of two.
fn exponent(v: f64) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let bits = (v.to_bits() >> 32) as f32;
    bits / (1u32 << 20) as f32 - 1023.0
}
