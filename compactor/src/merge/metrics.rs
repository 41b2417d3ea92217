//! Merges metric rows: all inputs in step, series by series.

use std::collections::VecDeque;
use std::sync::Arc;

use skald_blocks::{MetricBlockWriter, SeriesRow, ValueForm, WriterOptions};
use skald_model::Labels;

use super::samples::{self, Part, Stay};
use super::{BadInput, Encode, Merger, Step};
use crate::rules::SampleRules;

/// What rows of a metric block are sorted by before the whole label set decides (docs/formats/metric-block.md).
const SORT_BY: [&str; 7] = [Labels::NAME, "cluster", "namespace", "job", "container", "pod", "le"];

/// Holds the next rows of each input and the rows of the output.
pub(super) struct MetricMerger {
    inputs: Vec<Input>,
    cutoff: Option<i64>,
    rules: Arc<SampleRules>,
    memory: usize,
    out: Vec<SeriesRow>,
    out_bytes: usize,
    /// The first row of the next output.
    next: Option<SeriesRow>,
}

#[derive(Default)]
struct Input {
    rows: VecDeque<(Key, SeriesRow)>,
    last: Option<Key>,
    ended: bool,
}

/// A row's place: equal for equal label sets only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    head: Vec<u8>,
    labels: Labels,
}

// === impl MetricMerger ===

impl MetricMerger {
    pub(super) fn new(n_inputs: usize, cutoff: Option<i64>, memory: usize) -> Self {
        let inputs = std::iter::repeat_with(Input::default).take(n_inputs).collect();
        let rules = Arc::default();
        Self { inputs, cutoff, rules, memory, out: Vec::new(), out_bytes: 0, next: None }
    }

    /// With requests to delete.
    pub(super) fn with_rules(self, rules: Arc<SampleRules>) -> Self {
        Self { rules, ..self }
    }

    /// Takes out the rows of the output.
    pub(super) fn take_rows(&mut self) -> Vec<SeriesRow> {
        self.out_bytes = 0;
        std::mem::take(&mut self.out)
    }

    fn push(&mut self, row: SeriesRow) {
        self.out_bytes += held(&row);
        self.out.push(row);
    }

    /// Takes the row at `key` out of each input that has it.
    fn parts(&mut self, key: &Key) -> Vec<Part> {
        let mut parts = Vec::new();
        for (input, state) in self.inputs.iter_mut().enumerate() {
            if state.rows.front().is_some_and(|(k, _)| k == key) {
                parts.extend(state.rows.pop_front().map(|(_, row)| Part { input, row }));
            }
        }
        parts
    }
}

impl Merger for MetricMerger {
    type Batch = Vec<SeriesRow>;

    fn feed(&mut self, input: usize, batch: Option<Vec<SeriesRow>>) -> Result<(), BadInput> {
        let state = &mut self.inputs[input];
        state.ended = batch.is_none();
        for row in batch.into_iter().flatten() {
            let key = Key::new(&row.labels);
            if state.last.as_ref().is_some_and(|last| *last >= key) {
                let reason = format!("series {:?} out of order", row.labels);
                return Err(BadInput { input, reason });
            }
            state.last = Some(key.clone());
            state.rows.push_back((key, row));
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Step, BadInput> {
        if let Some(row) = self.next.take() {
            self.push(row);
        }
        loop {
            if let Some(hungry) = self.inputs.iter().position(|i| i.rows.is_empty() && !i.ended) {
                return Ok(Step::Feed(hungry));
            }
            let first = self.inputs.iter().filter_map(|i| i.rows.front()).map(|(key, _)| key).min();
            let Some(first) = first.cloned() else {
                return Ok(Step::Done);
            };
            let parts = self.parts(&first);
            let stay = Stay::new(self.cutoff, self.rules.times(&first.labels));
            let row = samples::merge(parts, &stay)?;
            if row.floats.is_empty() && row.histograms.is_empty() && row.exemplars.is_empty() {
                continue;
            }
            if !self.out.is_empty() && self.out_bytes + held(&row) > self.memory {
                self.next = Some(row);
                return Ok(Step::Full);
            }
            self.push(row);
        }
    }

    fn held(&self) -> usize {
        self.out_bytes
    }

    fn close_at(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    fn take(&mut self) -> Option<Encode> {
        let rows = self.take_rows();
        if rows.is_empty() {
            return None;
        }
        Some(Box::new(move |options| {
            let options = WriterOptions { values: ValueForm::Dense, ..options };
            let mut writer = MetricBlockWriter::new(options);
            for row in rows {
                writer.push(row)?;
            }
            writer.finish()
        }))
    }
}

/// Bytes of memory that a row takes.
fn held(row: &SeriesRow) -> usize {
    let chunks = row.floats.iter().chain(&row.histograms);
    chunks.map(|c| c.len() + size_of_val(c)).sum::<usize>()
        + row.exemplars.iter().map(|e| e.labels.as_bytes().len() + 64).sum::<usize>()
        + row.labels.as_bytes().len()
        + size_of::<SeriesRow>()
}

// === impl Key ===

impl Key {
    fn new(labels: &Labels) -> Self {
        let mut head = Vec::with_capacity(64);
        for name in SORT_BY {
            head.extend_from_slice(labels.get(name).unwrap_or("").as_bytes());
            head.push(0);
        }
        Self { head, labels: labels.clone() }
    }
}
