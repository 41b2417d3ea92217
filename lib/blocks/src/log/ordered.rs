//! Making a log block of what comes in its order: lines are packed as they come, and of a row only its time
//! and the number of its metadata are kept until all rows are there and columns can be chosen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::Schema;
use bytes::Bytes;
use skald_model::{Labels, LogEntry, Signal, StreamEntries};

use super::directory::{DirectoryWriter, Stream};
use super::grams::GramsWriter;
use super::packs::{Packs, PacksWriter};
use super::whole::{LogPiece, PackBytes, Run};
use super::write::{
    KEY_DELETES, KEY_GRAMS_LENGTH, KEY_GRAMS_OFFSET, KEY_INDEX_LENGTH, KEY_INDEX_OFFSET,
    KEY_LENGTH, KEY_LINES_LENGTH, KEY_LINES_OFFSET, KEY_OFFSET, MAX_HOT, MAX_METADATA, Plans,
    VERSION_PACKED, VERSION_PLAIN, append, check_text, properties, schema, unpacked,
};
use crate::columns::{LABEL_PREFIX, METADATA_PREFIX, NameCounts};
use crate::meta::{Encoded, Header, put_key};
use crate::{Error, LineForm, WriterOptions};

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
/// About what lies behind the packs and the filters.
const TAIL_BYTES: usize = 1 << 20;

/// Collects entries that come as a block has them, by label set and then time, and writes them as one block.
///
/// What is held until [`finish`](Self::finish) is little more than the block will be, ten bytes for each
/// row beside its packs: [`memory`](Self::memory) says how much. Lines of the plain form are held as they are.
#[derive(Debug)]
pub struct OrderedLogWriter {
    lines: Lines,
    open: Option<Open>,
    directory: DirectoryWriter,
    batches: Vec<Batch>,
    last_batch: BatchBuilder,
    labels: NameCounts,
    metadata: NameCounts,
    n_streams: u64,
    n_rows: usize,
    min_ns: i64,
    max_ns: i64,
    /// Of lines, metadata and times.
    bytes: usize,
    /// Held in `batches`.
    held: usize,
}

/// Where lines go.
#[derive(Debug)]
enum Lines {
    Packed(Box<PacksWriter>),
    /// They are in the batches; this has their grams.
    Plain(GramsWriter),
}

/// The stream that entries are added to.
#[derive(Debug)]
struct Open {
    stream: Stream,
    seen: Seen,
}

/// Entries of the last time, which the next may be equal to.
#[derive(Debug, Default)]
struct Seen {
    ns: Option<i64>,
    entries: HashSet<(Bytes, Labels)>,
    bytes: usize,
}

/// Rows on their way to be a record batch.
#[derive(Debug, Default)]
struct Batch {
    /// Parts of streams, and how many rows each has.
    streams: Vec<(Labels, usize)>,
    times: Vec<i64>,
    /// Metadata, each set once: encoded one behind the other, the end of each, and which one a row has.
    sets: Vec<u8>,
    ends: Vec<u32>,
    metadata: Vec<u16>,
    /// Lines of the plain form, one behind the other, and the length of each.
    text: Vec<u8>,
    lens: Vec<u32>,
}

#[derive(Debug, Default)]
struct BatchBuilder {
    batch: Batch,
    /// The number of each set of metadata, and how many rows have it.
    numbers: HashMap<Labels, u16>,
    counts: Vec<u64>,
    last: Option<(Labels, u16)>,
    /// Of lines and metadata.
    bytes: usize,
}

// === impl OrderedLogWriter ===

impl OrderedLogWriter {
    pub fn new(form: LineForm) -> Self {
        let lines = match form {
            LineForm::Packed => Lines::Packed(Box::default()),
            LineForm::Plain => Lines::Plain(GramsWriter::default()),
        };
        Self {
            lines,
            open: None,
            directory: DirectoryWriter::default(),
            batches: Vec::new(),
            last_batch: BatchBuilder::default(),
            labels: NameCounts::default(),
            metadata: NameCounts::default(),
            n_streams: 0,
            n_rows: 0,
            min_ns: i64::MAX,
            max_ns: i64::MIN,
            bytes: 0,
            held: 0,
        }
    }

    /// Adds what comes next. Entries equal to an earlier one of the same stream and time are dropped, but for
    /// those in packs, which must differ. A pack goes into the block as it is if packs are what is written.
    ///
    /// Fails when it does not come next, or when a line is not UTF-8; nothing is added then.
    pub fn push(&mut self, piece: LogPiece) -> Result<(), Error> {
        let (labels, run) = match (piece, &self.lines) {
            (LogPiece::Entries(StreamEntries { labels, entries }), _) => {
                check_text(&entries)?;
                (labels, Run { entries, pack: None })
            }
            (LogPiece::Packed(packed), Lines::Packed(_)) => {
                (packed.labels, Run { entries: packed.entries, pack: Some(packed.pack) })
            }
            (LogPiece::Packed(packed), Lines::Plain(_)) => {
                let StreamEntries { labels, entries } = unpacked(packed)?;
                (labels, Run { entries, pack: None })
            }
        };
        self.add(&labels, run)
    }

    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Rows so far.
    pub fn n_entries(&self) -> usize {
        self.n_rows
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let lines = match &self.lines {
            Lines::Packed(packs) => packs.memory(),
            Lines::Plain(grams) => grams.memory(),
        };
        let seen = self.open.as_ref().map_or(0, |open| open.seen.bytes);
        lines + seen + self.held + self.last_batch.memory() + self.directory.memory()
    }

    /// As [`push`](Self::push), of text that was looked at.
    pub(super) fn add(&mut self, labels: &Labels, run: Run) -> Result<(), Error> {
        let (Some(first), Some(last)) = (run.entries.first(), run.entries.last()) else {
            return Ok(());
        };
        let (first, last) = (first.timestamp_ns, last.timestamp_ns);
        let sorted = run.entries.is_sorted_by_key(|e| e.timestamp_ns);
        let follows = self.open.as_ref().is_none_or(|open| {
            let before = &open.stream.labels;
            before < labels || (before == labels && open.stream.max_ns <= first)
        });
        if !sorted || !follows {
            return Err(Error::Invalid(format!("entries of {labels:?} out of order")));
        }
        if self.open.as_ref().is_none_or(|open| open.stream.labels != *labels) {
            self.end_stream()?;
            // Of its own memory, not what it was read from.
            let labels = Labels::from_canonical(Bytes::copy_from_slice(labels.as_bytes()));
            let rows = self.n_rows..self.n_rows;
            let stream = Stream { labels, rows, min_ns: first, max_ns: last, bytes: 0 };
            self.open = Some(Open { stream, seen: Seen::default() });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let Run { mut entries, pack } = run;
        match &pack {
            Some(_) => open.seen = Seen::default(),
            None => open.seen.drop_repeated(&mut entries),
        }
        let run = Run { entries, pack };
        let text_len = run.text_len();
        open.stream.max_ns = last;
        open.stream.rows.end += run.entries.len();
        open.stream.bytes += text_len;
        let labels = open.stream.labels.clone();
        self.n_rows += run.entries.len();
        self.bytes += usize::try_from(text_len).unwrap_or(usize::MAX);
        self.bytes += run.entries.iter().map(|e| e.metadata.as_bytes().len() + 8).sum::<usize>();
        self.add_lines(&run.entries, run.pack.as_ref())?;
        self.add_rows(&labels, &run.entries)
    }

    fn add_lines(&mut self, entries: &[LogEntry], pack: Option<&PackBytes>) -> Result<(), Error> {
        match (&mut self.lines, pack) {
            (Lines::Packed(packs), Some(pack)) => packs.copy(entries, pack),
            (Lines::Packed(packs), None) => packs.encode(entries),
            (Lines::Plain(grams), _) => {
                for entry in entries {
                    grams.push(&entry.line);
                    if grams.is_full() {
                        grams.seal();
                    }
                }
                Ok(())
            }
        }
    }

    fn add_rows(&mut self, labels: &Labels, mut entries: &[LogEntry]) -> Result<(), Error> {
        let with_text = matches!(self.lines, Lines::Plain(_));
        while !entries.is_empty() {
            let n = self.last_batch.append(labels, entries, with_text)?;
            entries = entries.get(n..).unwrap_or_default();
            if !entries.is_empty() {
                self.end_batch();
            }
        }
        Ok(())
    }

    fn end_batch(&mut self) {
        let batch = std::mem::take(&mut self.last_batch).finish(&mut self.metadata);
        self.held += batch.memory();
        self.batches.push(batch);
    }

    fn end_stream(&mut self) -> Result<(), Error> {
        let Some(Open { stream, .. }) = self.open.take() else { return Ok(()) };
        if let Lines::Packed(packs) = &mut self.lines {
            packs.end_stream()?;
        }
        self.labels.add(&stream.labels, stream.rows.len() as u64);
        self.directory.push(&stream)?;
        self.min_ns = self.min_ns.min(stream.min_ns);
        self.max_ns = self.max_ns.max(stream.max_ns);
        self.n_streams += 1;
        Ok(())
    }

    /// Encodes what is left to encode. Computes for long: call it on the CPU pool.
    ///
    /// The form of lines is the one it was made for.
    pub fn finish(mut self, opts: &WriterOptions) -> Result<Encoded, Error> {
        self.end_stream()?;
        self.end_batch();
        let (form, version) = match self.lines {
            Lines::Packed(_) => (LineForm::Packed, VERSION_PACKED),
            Lines::Plain(_) => (LineForm::Plain, VERSION_PLAIN),
        };
        let plans = Plans {
            labels: self.labels.plan(LABEL_PREFIX, MAX_HOT, None),
            metadata: self.metadata.plan(METADATA_PREFIX, MAX_METADATA, None),
        };
        let schema = schema(&plans, form);
        let mean = self.bytes.checked_div(self.n_rows).unwrap_or(0);
        let mut writer = crate::meta::writer(&schema, properties(&plans.labels, mean))?;
        for batch in self.batches.into_iter().filter(|batch| !batch.times.is_empty()) {
            writer.write(&batch.into_record_batch(&schema, &plans, form)?)?;
            if writer.in_progress_size() >= opts.row_group_bytes
                || writer.in_progress_rows() >= opts.row_group_rows
            {
                writer.flush()?;
            }
        }
        writer.flush()?;
        let grams = match self.lines {
            Lines::Plain(grams) => grams.finish(),
            Lines::Packed(packs) => {
                let Packs { packs, index, grams } = packs.finish()?;
                // At once, so that the object is not moved while it grows: it would be there twice.
                let len = packs.iter().map(Vec::len).sum::<usize>() + grams.len();
                writer.inner_mut().reserve(len + len / 64 + TAIL_BYTES);
                append(&mut writer, packs, KEY_LINES_OFFSET, KEY_LINES_LENGTH)?;
                append(&mut writer, [index], KEY_INDEX_OFFSET, KEY_INDEX_LENGTH)?;
                grams
            }
        };
        append(&mut writer, [self.directory.finish()?], KEY_OFFSET, KEY_LENGTH)?;
        append(&mut writer, [grams], KEY_GRAMS_OFFSET, KEY_GRAMS_LENGTH)?;
        if !opts.deletes.is_empty() {
            put_key(&mut writer, KEY_DELETES, opts.deletes.join(","));
        }
        let empty = self.n_rows == 0;
        let header = Header {
            signal: Signal::Logs,
            version,
            min_time: if empty { 0 } else { self.min_ns },
            max_time: if empty { 0 } else { self.max_ns },
            n_series: self.n_streams,
            n_rows: self.n_rows as u64,
        };
        header.seal(writer, &plans.labels, "labels,timestamp", opts)
    }
}

// === impl Seen ===

impl Seen {
    /// Drops entries equal to an earlier one, also of what went before; `entries` are sorted by time.
    fn drop_repeated(&mut self, entries: &mut Vec<LogEntry>) {
        let follows = entries.first().is_none_or(|first| self.ns != Some(first.timestamp_ns));
        if !follows || entries.windows(2).any(|w| w[0].timestamp_ns == w[1].timestamp_ns) {
            let mut rest = std::mem::take(entries).into_iter().peekable();
            while let Some(entry) = rest.next() {
                let begins = self.ns != Some(entry.timestamp_ns);
                let ends = rest.peek().is_some_and(|next| next.timestamp_ns != entry.timestamp_ns);
                // Lines of one instant, hashed: a burst of many must not be compared each with each.
                if (begins && ends) || self.insert(&entry) {
                    entries.push(entry);
                }
            }
        } else if let Some(last) = entries.last() {
            self.insert(last);
        }
    }

    /// Notes an entry, unless there is one like it.
    fn insert(&mut self, entry: &LogEntry) -> bool {
        if self.ns != Some(entry.timestamp_ns) {
            *self = Self { ns: Some(entry.timestamp_ns), ..Self::default() };
        }
        let is_new = self.entries.insert((entry.line.clone(), entry.metadata.clone()));
        if is_new {
            let content = entry.line.len() + entry.metadata.as_bytes().len();
            self.bytes += size_of::<(Bytes, Labels)>() + content;
        }
        is_new
    }
}

// === impl BatchBuilder ===

impl BatchBuilder {
    /// Adds entries of one stream as far as they fit; returns how many.
    fn append(
        &mut self,
        labels: &Labels,
        entries: &[LogEntry],
        with_text: bool,
    ) -> Result<usize, Error> {
        let mut n = 0;
        for entry in entries {
            if self.batch.times.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                break;
            }
            let number = self.number(&entry.metadata)?;
            self.batch.times.push(entry.timestamp_ns);
            self.batch.metadata.push(number);
            if with_text {
                self.batch.text.extend_from_slice(&entry.line);
                self.batch.lens.push(u32::try_from(entry.line.len()).map_err(too_large)?);
            }
            self.bytes += entry.line.len() + entry.metadata.as_bytes().len();
            n += 1;
        }
        match self.batch.streams.last_mut() {
            Some((last, rows)) if last == labels => *rows += n,
            _ if n > 0 => self.batch.streams.push((labels.clone(), n)),
            _ => {}
        }
        Ok(n)
    }

    /// The number of a set of metadata.
    fn number(&mut self, metadata: &Labels) -> Result<u16, Error> {
        let number = match &self.last {
            Some((last, number)) if last == metadata => *number,
            _ => self.find(metadata)?,
        };
        if let Some(count) = self.counts.get_mut(usize::from(number)) {
            *count += 1;
        }
        Ok(number)
    }

    fn find(&mut self, metadata: &Labels) -> Result<u16, Error> {
        let number = match self.numbers.get(metadata) {
            Some(number) => *number,
            None => {
                let number = u16::try_from(self.counts.len()).map_err(too_large)?;
                self.batch.sets.extend_from_slice(metadata.as_bytes());
                self.batch.ends.push(u32::try_from(self.batch.sets.len()).map_err(too_large)?);
                self.counts.push(0);
                self.numbers.insert(metadata.clone(), number);
                number
            }
        };
        self.last = Some((metadata.clone(), number));
        Ok(number)
    }

    /// As [`Batch::memory`], without looking at each label set.
    fn memory(&self) -> usize {
        let Batch { times, sets, text, .. } = &self.batch;
        times.len() * (size_of::<i64>() + size_of::<u16>()) + sets.len() + text.len()
    }

    /// The rows, whose metadata is counted by name.
    fn finish(self, names: &mut NameCounts) -> Batch {
        for (metadata, number) in &self.numbers {
            names.add(metadata, self.counts.get(usize::from(*number)).copied().unwrap_or(0));
        }
        let mut batch = self.batch;
        batch.streams.shrink_to_fit();
        batch.times.shrink_to_fit();
        batch.sets.shrink_to_fit();
        batch.ends.shrink_to_fit();
        batch.metadata.shrink_to_fit();
        batch.text.shrink_to_fit();
        batch.lens.shrink_to_fit();
        batch
    }
}

fn too_large(e: impl ToString) -> Error {
    Error::Internal(e.to_string())
}

// === impl Batch ===

impl Batch {
    fn memory(&self) -> usize {
        let labels: usize = self.streams.iter().map(|(labels, _)| labels.as_bytes().len()).sum();
        labels
            + size_of_val(self.streams.as_slice())
            + size_of_val(self.times.as_slice())
            + size_of_val(self.ends.as_slice())
            + size_of_val(self.metadata.as_slice())
            + size_of_val(self.lens.as_slice())
            + self.sets.len()
            + self.text.len()
    }

    fn into_record_batch(
        self,
        schema: &Arc<Schema>,
        plans: &Plans,
        form: LineForm,
    ) -> Result<RecordBatch, Error> {
        let mut labels = plans.labels.builder();
        let mut metadata = plans.metadata.builder();
        let mut ids = FixedSizeBinaryBuilder::with_capacity(self.times.len(), 16);
        for (stream, n) in &self.streams {
            labels.push(stream, *n)?;
            let id = stream.id().0.to_be_bytes();
            for _ in 0..*n {
                ids.append_value(id)?;
            }
        }
        let sets = Bytes::from(self.sets);
        let mut start = 0;
        let set = |end: &u32| {
            let range = start..*end as usize;
            start = range.end;
            Labels::from_canonical(sets.slice(range))
        };
        let sets: Vec<Labels> = self.ends.iter().map(set).collect();
        for number in &self.metadata {
            if let Some(set) = sets.get(usize::from(*number)) {
                metadata.push(set, 1)?;
            }
        }
        let times = TimestampNanosecondArray::from_iter_values(self.times);
        let mut columns = labels.finish()?;
        columns.push(Arc::new(ids.finish()));
        columns.push(Arc::new(times.with_timezone("UTC")));
        columns.extend(metadata.finish()?);
        if form == LineForm::Plain {
            let offsets = OffsetBuffer::from_lengths(self.lens.iter().map(|len| *len as usize));
            let lines = Buffer::from_vec(self.text);
            columns.push(Arc::new(StringArray::try_new(offsets, lines, None)?));
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}
