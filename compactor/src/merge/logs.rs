//! Merges log rows: all inputs in step, stream by stream and time by time.
//!
//! An output is closed only where all entries of one stream and time are on one side, so that an
//! entry that two inputs have meets its copy.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use skald_blocks::{LogBlockWriter, WriterOptions};
use skald_logql::Work;
use skald_model::{Labels, LogEntry, StreamEntries};

use super::{BadInput, Encode, Merger, Step};
use crate::rules::LogRules;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = size_of::<LogEntry>();

/// Holds the next entries of each input and those of the output.
pub(super) struct LogMerger {
    inputs: Vec<Input>,
    cutoff: i64,
    rules: Arc<LogRules>,
    work: Work,
    memory: usize,
    out: Vec<(Labels, Vec<LogEntry>)>,
    out_bytes: usize,
    /// Stream and time of the last entry that went out.
    last: Option<(Labels, i64)>,
}

#[derive(Default)]
struct Input {
    pieces: VecDeque<Piece>,
    ended: bool,
}

/// Entries of one stream that are next to each other in a block.
struct Piece {
    labels: Labels,
    entries: VecDeque<LogEntry>,
}

// === impl LogMerger ===

impl LogMerger {
    pub(super) fn new(n_inputs: usize, cutoff: Option<i64>, memory: usize) -> Self {
        Self {
            inputs: std::iter::repeat_with(Input::default).take(n_inputs).collect(),
            cutoff: cutoff.unwrap_or(i64::MIN),
            rules: Arc::default(),
            work: Work::default(),
            memory,
            out: Vec::new(),
            out_bytes: 0,
            last: None,
        }
    }

    /// With rules for streams and requests to delete.
    pub(super) fn with_rules(mut self, rules: Arc<LogRules>) -> Self {
        self.rules = rules;
        self
    }

    /// The pieces at the front of all inputs.
    fn fronts(&self) -> impl Iterator<Item = &Piece> {
        self.inputs.iter().filter_map(|input| input.pieces.front())
    }

    /// Whether what comes next in `stream` may go to another output than what went before.
    fn may_close(&self, stream: &Labels) -> bool {
        let Some((last_stream, last_ns)) = &self.last else {
            return false;
        };
        let of_stream = self.fronts().filter(|piece| piece.labels == *stream);
        let next_ns = of_stream.filter_map(Piece::first_ns).min();
        stream != last_stream || next_ns.is_some_and(|ns| ns > *last_ns)
    }

    /// Takes all entries of `stream` up to the time that every input with that stream has reached.
    fn take_entries(&mut self, stream: &Labels) -> Vec<LogEntry> {
        let of_stream = || self.fronts().filter(|piece| piece.labels == *stream);
        let horizon = of_stream().filter_map(Piece::last_ns).min().unwrap_or(i64::MAX);
        let n_inputs = of_stream().count();
        let mut taken: Vec<LogEntry> = Vec::new();
        for input in &mut self.inputs {
            let Some(piece) = input.pieces.front_mut().filter(|piece| piece.labels == *stream)
            else {
                continue;
            };
            let n = piece.entries.partition_point(|entry| entry.timestamp_ns <= horizon);
            taken.extend(piece.entries.drain(..n));
            if piece.entries.is_empty() {
                input.pieces.pop_front();
            }
        }
        taken.retain(|entry| entry.timestamp_ns >= self.cutoff);
        if n_inputs > 1 {
            taken.sort_by_key(|entry| entry.timestamp_ns);
            taken = without_copies(taken);
        }
        self.rules.apply(&mut self.work, stream, &mut taken);
        self.last = Some((stream.clone(), horizon));
        taken
    }
}

impl Merger for LogMerger {
    type Batch = Vec<StreamEntries>;

    fn feed(&mut self, input: usize, batch: Option<Vec<StreamEntries>>) -> Result<(), BadInput> {
        let state = &mut self.inputs[input];
        state.ended = batch.is_none();
        for StreamEntries { labels, entries } in batch.into_iter().flatten() {
            let sorted = entries.is_sorted_by_key(|entry| entry.timestamp_ns);
            let follows = state.pieces.back().is_none_or(|last| last.labels <= labels);
            if !sorted || !follows {
                let reason = format!("stream {labels:?} out of order");
                return Err(BadInput { input, reason });
            }
            if !entries.is_empty() {
                state.pieces.push_back(Piece { labels, entries: entries.into() });
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Step, BadInput> {
        loop {
            if let Some(hungry) = self.inputs.iter().position(|i| i.pieces.is_empty() && !i.ended) {
                return Ok(Step::Feed(hungry));
            }
            let Some(stream) = self.fronts().map(|piece| &piece.labels).min().cloned() else {
                return Ok(Step::Done);
            };
            let is_full = !self.out.is_empty() && self.out_bytes >= self.memory;
            if is_full && self.may_close(&stream) {
                return Ok(Step::Full);
            }
            let entries = self.take_entries(&stream);
            let bytes = |e: &LogEntry| e.line.len() + e.metadata.as_bytes().len() + ENTRY_BYTES;
            self.out_bytes += entries.iter().map(bytes).sum::<usize>();
            if !entries.is_empty() {
                self.out.push((stream, entries));
            }
        }
    }

    fn take(&mut self) -> Option<Encode> {
        let streams = std::mem::take(&mut self.out);
        self.out_bytes = 0;
        if streams.is_empty() {
            return None;
        }
        let deletes = self.rules.deletes().iter().map(|due| due.request.id.clone()).collect();
        Some(Box::new(move |options| {
            let options = WriterOptions { deletes, ..options };
            let mut writer = LogBlockWriter::new(options);
            for (labels, entries) in streams {
                writer.push(labels, entries)?;
            }
            writer.finish()
        }))
    }
}

// === impl Piece ===

impl Piece {
    fn first_ns(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.timestamp_ns)
    }

    fn last_ns(&self) -> Option<i64> {
        self.entries.back().map(|entry| entry.timestamp_ns)
    }
}

/// Keeps the first of equal entries; they are sorted by time.
fn without_copies(entries: Vec<LogEntry>) -> Vec<LogEntry> {
    let mut out: Vec<LogEntry> = Vec::with_capacity(entries.len());
    let mut seen: HashSet<(Bytes, Labels)> = HashSet::new();
    let mut entries = entries.into_iter().peekable();
    while let Some(entry) = entries.next() {
        let ns = entry.timestamp_ns;
        let follows = entries.peek().is_some_and(|next| next.timestamp_ns == ns);
        let begins = out.last().is_none_or(|last| last.timestamp_ns != ns);
        if begins {
            seen.clear();
        }
        // Most times are alone: nothing to remember then.
        if (begins && !follows) || seen.insert((entry.line.clone(), entry.metadata.clone())) {
            out.push(entry);
        }
    }
    out
}

#[cfg(test)]
mod tests;
