//! Merges log rows: all inputs in step, stream by stream and time by time.
//!
//! An output is closed only where all entries of one stream and time are on one side, so that an
//! entry that two inputs have meets its copy. Packs that no other input has entries between, and no
//! rule may take lines from, go out as they came in.
//!
//! What goes out is packed at once: an output is held as little more than the block that it becomes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use skald_blocks::{LineForm, LogPiece, OrderedLogWriter, PackedEntries, WriterOptions};
use skald_logql::Work;
use skald_model::{Labels, LogEntry, StreamEntries};

use super::{BadInput, Encode, Merger, Step};
use crate::rules::LogRules;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = size_of::<LogEntry>();
/// What a row takes in an output beside its pack.
const ROW_BYTES: usize = 10;
/// Entries that are put at a time.
const STEP_BYTES: usize = 1 << 20;

/// Holds the next entries of each input and those of the output.
pub(super) struct LogMerger {
    inputs: Vec<Input>,
    cutoff: i64,
    rules: Arc<LogRules>,
    work: Work,
    memory: usize,
    out: Out,
    /// The first entries of the next output.
    next: Option<LogPiece>,
    /// The last entries that were taken out of the inputs.
    last: Option<Last>,
    /// What the output would not take; said when it is taken out.
    failed: Option<skald_blocks::Error>,
}

/// Where entries go.
enum Out {
    /// To whoever takes them out: lines in packs are opened.
    Pieces {
        pieces: Vec<LogPiece>,
        bytes: usize,
    },
    Block {
        writer: Box<OrderedLogWriter>,
        lines: LineForm,
    },
}

/// The last entries that were taken out.
struct Last {
    stream: Labels,
    ns: i64,
    /// The input that all of them came from, if it is one.
    input: Option<usize>,
}

#[derive(Default)]
struct Input {
    pieces: VecDeque<Piece>,
    ended: bool,
}

/// Entries of one stream that are next to each other in a block.
enum Piece {
    Open { labels: Labels, entries: VecDeque<LogEntry> },
    Packed(PackedEntries),
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
            out: Out::Pieces { pieces: Vec::new(), bytes: 0 },
            next: None,
            last: None,
            failed: None,
        }
    }

    /// Into blocks with lines of this form.
    pub(super) fn writing(mut self, lines: LineForm) -> Self {
        self.out = Out::block(lines);
        self
    }

    /// With rules for streams and requests to delete.
    pub(super) fn with_rules(mut self, rules: Arc<LogRules>) -> Self {
        self.rules = rules;
        self
    }

    /// Takes out what is in the output.
    pub(super) fn take_pieces(&mut self) -> Vec<LogPiece> {
        match &mut self.out {
            Out::Pieces { pieces, bytes } => {
                *bytes = 0;
                std::mem::take(pieces)
            }
            Out::Block { .. } => Vec::new(),
        }
    }

    /// The pieces at the front of all inputs, with the numbers of these.
    fn fronts(&self) -> impl Iterator<Item = (usize, &Piece)> {
        let fronts = self.inputs.iter().map(|input| input.pieces.front()).enumerate();
        fronts.filter_map(|(i, piece)| Some((i, piece?)))
    }

    /// Those of them that are of `stream`.
    fn fronts_of(&self, stream: &Labels) -> impl Iterator<Item = (usize, &Piece)> {
        self.fronts().filter(move |(_, piece)| piece.labels() == stream)
    }

    /// Whether what comes next in `stream` may go to another output than what went before.
    fn may_close(&self, stream: &Labels) -> bool {
        let Some(last) = &self.last else { return false };
        let next_ns = self.fronts_of(stream).filter_map(|(_, piece)| piece.first_ns()).min();
        *stream != last.stream || next_ns.is_some_and(|ns| ns > last.ns)
    }

    /// Takes a pack that goes out as it is, if one comes next in `stream`.
    fn take_packed(&mut self, stream: &Labels) -> Option<PackedEntries> {
        let (input, piece) = self.fronts_of(stream).min_by_key(|(_, piece)| piece.first_ns())?;
        let Piece::Packed(packed) = piece else { return None };
        let (first, last) = packed.times();
        // Entries of one input differ from each other: those of one time may be on both sides.
        let others = self.fronts_of(stream).filter(|(i, _)| *i != input);
        let is_alone = others.filter_map(|(_, piece)| piece.first_ns()).all(|ns| ns > last);
        let follows = self.last.as_ref().is_none_or(|last| {
            let is_same = last.ns == first && last.input == Some(input);
            last.stream != *stream || last.ns < first || is_same
        });
        let keeps = first >= self.cutoff && self.rules.keep_all(stream, first, last);
        if !self.out.takes_packs() || !is_alone || !follows || !keeps {
            return None;
        }
        let Some(Piece::Packed(packed)) = self.inputs[input].pieces.pop_front() else {
            return None;
        };
        self.note(stream, last, Some(input));
        Some(packed)
    }

    /// Remembers that entries of `stream` went out, the last of them at `ns` from `input` alone.
    fn note(&mut self, stream: &Labels, ns: i64, input: Option<usize>) {
        let goes_on = self.last.as_ref().filter(|last| last.stream == *stream && last.ns == ns);
        let input = if goes_on.is_none_or(|last| last.input == input) { input } else { None };
        self.last = Some(Last { stream: stream.clone(), ns, input });
    }

    /// The time that every input with `stream` has reached.
    fn horizon(&self, stream: &Labels) -> i64 {
        let ends = self.fronts_of(stream).filter_map(|(_, piece)| piece.last_ns());
        ends.min().unwrap_or(i64::MAX)
    }

    /// Opens the packs at the front of the inputs that have entries of `stream` up to its horizon.
    fn unpack(&mut self, stream: &Labels) -> Result<(), BadInput> {
        let horizon = self.horizon(stream);
        let comes_next = |piece: &mut Piece| {
            let reaches = piece.first_ns().is_some_and(|ns| ns <= horizon);
            reaches && piece.is_packed() && piece.labels() == stream
        };
        for (i, input) in self.inputs.iter_mut().enumerate() {
            let Some(Piece::Packed(packed)) = input.pieces.pop_front_if(comes_next) else {
                continue;
            };
            let opened = packed.unpack();
            let opened = opened.map_err(|e| BadInput { input: i, reason: e.to_string() })?;
            input.pieces.push_front(Piece::open(opened));
        }
        Ok(())
    }

    /// Takes all entries of `stream` up to the time that every input with that stream has reached.
    fn take_entries(&mut self, stream: &Labels) -> Vec<LogEntry> {
        let horizon = self.horizon(stream);
        let n_inputs = self.fronts_of(stream).count();
        let mut taken: Vec<LogEntry> = Vec::new();
        let mut last_of = Vec::new();
        for (i, input) in self.inputs.iter_mut().enumerate() {
            let Some(Piece::Open { entries, .. }) =
                input.pieces.front_mut().filter(|piece| piece.labels() == stream)
            else {
                continue;
            };
            let n = entries.partition_point(|entry| entry.timestamp_ns <= horizon);
            if entries.get(n.wrapping_sub(1)).is_some_and(|e| e.timestamp_ns == horizon) {
                last_of.push(i);
            }
            taken.extend(entries.drain(..n));
            if entries.is_empty() {
                input.pieces.pop_front();
            }
        }
        taken.retain(|entry| entry.timestamp_ns >= self.cutoff);
        if n_inputs > 1 {
            taken.sort_by_key(|entry| entry.timestamp_ns);
            taken = without_copies(taken);
        }
        self.rules.apply(&mut self.work, stream, &mut taken);
        let input = if let [one] = last_of[..] { Some(one) } else { None };
        self.note(stream, horizon, input);
        taken
    }
}

impl LogMerger {
    /// Puts what is next into the output, or some of it, and answers whether that is full. What is left is next again.
    fn put(&mut self, piece: LogPiece, may_close: bool) -> Result<bool, BadInput> {
        let room = self.memory.saturating_sub(self.out.memory());
        let fits = match &piece {
            LogPiece::Entries(_) => room > 0,
            LogPiece::Packed(packed) => {
                packed.lines().len() + piece.entries().len() * ROW_BYTES <= room
            }
        };
        if !fits && may_close && !self.out.is_empty() {
            self.next = Some(piece);
            return Ok(true);
        }
        let (piece, step) = match piece {
            LogPiece::Entries(_) if !fits => (piece, 0),
            // How much they take when they are packed is not known before.
            LogPiece::Entries(_) if self.out.takes_packs() => (piece, STEP_BYTES),
            LogPiece::Entries(_) => (piece, room.min(STEP_BYTES)),
            // Its first time is the last of the pack before.
            LogPiece::Packed(packed) if !fits && !may_close => {
                // Taken out last, and alone at its last time.
                let input = self.last.as_ref().and_then(|last| last.input);
                match (packed.unpack(), input) {
                    (Ok(stream), _) => (LogPiece::Entries(stream), 0),
                    (Err(e), Some(input)) => {
                        return Err(BadInput { input, reason: e.to_string() });
                    }
                    (Err(e), None) => {
                        self.failed = Some(skald_blocks::Error::Invalid(e.to_string()));
                        return Ok(true);
                    }
                }
            }
            LogPiece::Packed(_) => (piece, 0),
        };
        let piece = match piece {
            LogPiece::Entries(mut stream) => {
                let rest = stream.entries.split_off(fitting(&stream.entries, step));
                let rest = StreamEntries { labels: stream.labels.clone(), entries: rest };
                self.next = (!rest.entries.is_empty()).then_some(LogPiece::Entries(rest));
                LogPiece::Entries(stream)
            }
            packed => packed,
        };
        self.failed = self.out.push(piece).err();
        // Without room only what had to go in went in.
        Ok(self.failed.is_some() || (!fits && self.next.is_some()))
    }
}

impl Merger for LogMerger {
    type Batch = Vec<LogPiece>;

    fn feed(&mut self, input: usize, batch: Option<Vec<LogPiece>>) -> Result<(), BadInput> {
        let state = &mut self.inputs[input];
        state.ended = batch.is_none();
        for piece in batch.into_iter().flatten() {
            let sorted = piece.entries().is_sorted_by_key(|entry| entry.timestamp_ns);
            let follows = state.pieces.back().is_none_or(|last| last.labels() <= piece.labels());
            if !sorted || !follows {
                let reason = format!("stream {:?} out of order", piece.labels());
                return Err(BadInput { input, reason });
            }
            if !piece.entries().is_empty() {
                state.pieces.push_back(piece.into());
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Step, BadInput> {
        loop {
            while let Some(piece) = self.next.take() {
                if self.put(piece, true)? {
                    return Ok(Step::Full);
                }
            }
            if let Some(hungry) = self.inputs.iter().position(|i| i.pieces.is_empty() && !i.ended) {
                return Ok(Step::Feed(hungry));
            }
            let Some(stream) = self.fronts().map(|(_, piece)| piece.labels()).min().cloned() else {
                return Ok(Step::Done);
            };
            let may_close = self.may_close(&stream);
            let piece = match self.take_packed(&stream) {
                Some(packed) => LogPiece::Packed(packed),
                None => {
                    self.unpack(&stream)?;
                    let entries = self.take_entries(&stream);
                    LogPiece::Entries(StreamEntries { labels: stream, entries })
                }
            };
            if self.put(piece, may_close)? {
                return Ok(Step::Full);
            }
        }
    }

    fn held(&self) -> usize {
        self.out.memory()
    }

    fn close_at(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    fn take(&mut self) -> Option<Encode> {
        let Out::Block { lines, .. } = self.out else { return None };
        let Out::Block { writer, .. } = std::mem::replace(&mut self.out, Out::block(lines)) else {
            return None;
        };
        let failed = self.failed.take();
        if writer.is_empty() && failed.is_none() {
            return None;
        }
        let deletes = self.rules.deletes().iter().map(|due| due.request.id.clone()).collect();
        Some(Box::new(move |options| match failed {
            Some(err) => Err(err),
            None => writer.finish(&WriterOptions { deletes, ..options }),
        }))
    }
}

// === impl Out ===

impl Out {
    fn block(lines: LineForm) -> Self {
        Self::Block { writer: Box::new(OrderedLogWriter::new(lines)), lines }
    }

    fn takes_packs(&self) -> bool {
        matches!(self, Self::Block { lines: LineForm::Packed, .. })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Pieces { pieces, .. } => pieces.is_empty(),
            Self::Block { writer, .. } => writer.is_empty(),
        }
    }

    /// Bytes of memory that it takes.
    fn memory(&self) -> usize {
        match self {
            Self::Pieces { bytes, .. } => *bytes,
            Self::Block { writer, .. } => writer.memory(),
        }
    }

    fn push(&mut self, piece: LogPiece) -> Result<(), skald_blocks::Error> {
        if piece.entries().is_empty() {
            return Ok(());
        }
        match self {
            Self::Pieces { pieces, bytes } => {
                *bytes += opened(piece.entries());
                pieces.push(piece);
                Ok(())
            }
            Self::Block { writer, .. } => writer.push(piece),
        }
    }
}

// === impl Piece ===

impl Piece {
    fn open(StreamEntries { labels, entries }: StreamEntries) -> Self {
        Self::Open { labels, entries: entries.into() }
    }

    fn labels(&self) -> &Labels {
        match self {
            Self::Open { labels, .. } => labels,
            Self::Packed(packed) => packed.labels(),
        }
    }

    fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    fn first_ns(&self) -> Option<i64> {
        match self {
            Self::Open { entries, .. } => entries.front().map(|entry| entry.timestamp_ns),
            Self::Packed(packed) => Some(packed.times().0),
        }
    }

    fn last_ns(&self) -> Option<i64> {
        match self {
            Self::Open { entries, .. } => entries.back().map(|entry| entry.timestamp_ns),
            Self::Packed(packed) => Some(packed.times().1),
        }
    }
}

impl From<LogPiece> for Piece {
    fn from(piece: LogPiece) -> Self {
        match piece {
            LogPiece::Entries(stream) => Self::open(stream),
            LogPiece::Packed(packed) => Self::Packed(packed),
        }
    }
}

/// Bytes of memory that entries take when their lines are open.
fn opened(entries: &[LogEntry]) -> usize {
    let size = |e: &LogEntry| e.line.len() + e.metadata.as_bytes().len() + ENTRY_BYTES;
    entries.iter().map(size).sum()
}

/// How many entries fit, those of one time together: at least those of the first.
fn fitting(entries: &[LogEntry], room: usize) -> usize {
    let (mut n, mut bytes) = (0, 0);
    for moment in entries.chunk_by(|a, b| a.timestamp_ns == b.timestamp_ns) {
        bytes += opened(moment);
        if n > 0 && bytes > room {
            break;
        }
        n += moment.len();
    }
    n
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
