//! Lines of packs beside the batches of their times and metadata: searched in columns, built where wanted.
//!
//! ```text
//! packs that have wanted rows, some at a time ─GET→ opened; those where no line has the needles are let go
//!     row ─in time, in a stream, not ruled out by templates and columns→ line built, needle looked for
//! ```

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use bytes::Bytes;
use memchr::memmem::Finder;
use parquet::errors::ParquetError;
use skald_codec::lines::{Fields, Known, Lines, Matches, Reduced};
use skald_model::{Labels, StreamEntries, TimeRange};

use super::directory::Stream;
use super::early::{FieldTests, Look};
use super::entries::{Entries, Text, times};
use super::packs::{self, Pack};
use super::read::{BATCH_ROWS, LogReader};
use super::scan::LogSearch;
use super::write::{KEY_INDEX_LENGTH, KEY_INDEX_OFFSET, KEY_LINES_LENGTH, KEY_LINES_OFFSET};
use crate::Error;
use crate::chunks::bad;
use crate::columns::{LabelBatch, METADATA_PREFIX, REST};
use crate::object::Scan;
use crate::selection::Rows;

/// Packs read together at first, when it is not known yet whether more are wanted, and at most.
const FIRST_PACKS: usize = 4;
const MOST_PACKS: usize = 32;
const FEW_PACKS: usize = 12;
/// About a pack: what a search passes over is mostly more, and not worth reading.
const MAX_HOLE: u64 = 128 << 10;

/// So many rows between two that are wanted are read with them.
const SMALL_GAP: usize = 32;

/// Lines of the packs that are at hand.
pub(super) struct PackedLines {
    pub(super) packs: VecDeque<(Range<usize>, Bytes)>,
    pub(super) needles: Vec<Finder<'static>>,
    /// Whether lines are wanted, and which fields of them suffice.
    pub(super) needs_line: bool,
    pub(super) fields: Option<Arc<Fields>>,
    pub(super) look: Option<Look>,
    pub(super) field_tests: Option<FieldTests>,
    /// Opened ahead of time; these have a line that may be wanted.
    found: VecDeque<Open>,
    open: Option<Open>,
    /// A reduced line that is looked at.
    scratch: Vec<u8>,
    /// Bytes of lines built since they were last counted.
    pub(super) n_bytes: usize,
}

/// The pack that the next rows are of.
struct Open {
    rows: Range<usize>,
    lines: Lines,
    /// One for each needle; empty when no line has them all.
    matches: Option<Vec<Matches>>,
    reduced: Option<Reduced>,
    /// What tests of fields say of each line: whether it may be of use.
    tested: Option<Vec<Known>>,
    /// Bytes of whole lines built so far: no more than there are, or the pack is damaged.
    n_built: usize,
}

/// What a scan carries from window to window.
struct Scanning<N, F> {
    entries: Entries<N>,
    lines: PackedLines,
    search: LogSearch,
    each: F,
}

// === impl PackedLines ===

impl PackedLines {
    pub(super) fn new(
        needles: Vec<Finder<'static>>,
        needs_line: bool,
        fields: Option<Arc<Fields>>,
    ) -> Self {
        Self {
            packs: VecDeque::new(),
            needles,
            needs_line,
            fields,
            look: None,
            field_tests: None,
            found: VecDeque::new(),
            open: None,
            scratch: Vec::new(),
            n_bytes: 0,
        }
    }

    /// Clears `keep` for the rows whose line lacks a needle, and builds the lines of the others.
    pub(super) fn read(
        &mut self,
        rows: &[usize],
        times: &[i64],
        metadata: &[Labels],
        keep: &mut [bool],
    ) -> Result<Text<'static>, ParquetError> {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(rows.len()));
        let none = Labels::empty();
        for (i, ((row, ts), keep)) in rows.iter().zip(times).zip(keep).enumerate() {
            if *keep {
                *keep = self.line(*row, *ts, metadata.get(i).unwrap_or(&none), &mut text)?;
            }
            ends.push(u32::try_from(text.len()).map_err(bad)?);
        }
        self.n_bytes += text.len();
        Ok(if self.needs_line { Text::Built { text: text.into(), ends } } else { Text::None })
    }

    /// Appends the line of a row if it has all needles.
    fn line(
        &mut self,
        row: usize,
        ts: i64,
        metadata: &Labels,
        text: &mut Vec<u8>,
    ) -> Result<bool, ParquetError> {
        if self.open.as_ref().is_none_or(|open| !open.rows.contains(&row)) {
            self.open = Some(self.open_pack(row)?);
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        let local = row - open.rows.start;
        let (known, tested) = (open.known(local), open.tested(local));
        if known == Known::Lacks || tested == Known::Lacks {
            return Ok(false);
        }
        let Open { lines, reduced, n_built, .. } = open;
        let start = text.len();
        let mut build = |text: &mut Vec<u8>| {
            let start = text.len();
            lines.append(local, ts, text);
            *n_built += text.len() - start;
            let fits = *n_built <= lines.text_len();
            if fits { Ok(()) } else { Err(bad("lines longer than their pack says")) }
        };
        if known == Known::May {
            build(text)?;
            if !self.needles.iter().all(|n| n.find(&text[start..]).is_some()) {
                self.n_bytes += text.len() - start;
                text.truncate(start);
                return Ok(false);
            }
        }
        let decided = self.field_tests.as_ref().is_some_and(|tests| tests.decide);
        if let Some(look) = &mut self.look
            && let Some(plan) = reduced
            && !(decided && tested == Known::Has)
        {
            self.scratch.clear();
            lines.append_reduced(plan, local, ts, &mut self.scratch);
            if !look.may_pass(row, ts, metadata, &self.scratch) {
                text.truncate(start);
                return Ok(false);
            }
        }
        match reduced {
            _ if !self.needs_line => text.truncate(start),
            Some(plan) if self.look.is_none() => {
                text.truncate(start);
                lines.append_reduced(plan, local, ts, text);
            }
            _ if known == Known::Has => build(text)?,
            _ => {}
        }
        Ok(true)
    }

    /// Takes no more early looks: from now on lines are built whole.
    fn stop_looking(&mut self) {
        (self.look, self.fields, self.field_tests) = (None, None, None);
        for open in self.found.iter_mut().chain(&mut self.open) {
            open.reduced = None;
        }
    }

    /// Whether lines can be ruled out before any is built.
    fn searches(&self) -> bool {
        !self.needles.is_empty() || self.field_tests.is_some()
    }

    /// Searches all packs at hand and lets go of those of which no line is wanted. Returns the rows whose
    /// lines may be.
    fn search_ahead(&mut self) -> Result<Rows, ParquetError> {
        let mut wanted = Vec::new();
        for (rows, bytes) in std::mem::take(&mut self.packs) {
            let open = self.open_bytes(rows, bytes)?;
            let rows = open.wanted_rows();
            if !rows.is_empty() {
                wanted.extend(rows);
                self.found.push_back(open);
            }
        }
        Ok(wanted.into_iter().collect())
    }

    fn open_pack(&mut self, row: usize) -> Result<Open, ParquetError> {
        while self.found.front().is_some_and(|open| open.rows.end <= row) {
            self.found.pop_front();
        }
        if let Some(open) = self.found.pop_front_if(|open| open.rows.contains(&row)) {
            return Ok(open);
        }
        while self.packs.front().is_some_and(|(rows, _)| rows.end <= row) {
            self.packs.pop_front();
        }
        let pack = self.packs.pop_front().filter(|(rows, _)| rows.contains(&row));
        let (rows, bytes) = pack.ok_or_else(|| bad("row outside of the packs"))?;
        self.open_bytes(rows, bytes)
    }

    fn open_bytes(&mut self, rows: Range<usize>, bytes: Bytes) -> Result<Open, ParquetError> {
        let lines = open_lines(bytes, rows.len())?;
        let mut matches = Vec::new();
        for needle in &self.needles {
            let found = lines.search(needle);
            if found.is_empty() {
                return Ok(Open::new(rows, lines, None, None));
            }
            matches.push(found);
        }
        let reduced = self.fields.as_ref().map(|wanted| lines.reduce(wanted));
        let mut open = Open::new(rows, lines, Some(matches), reduced);
        if let (Some(tests), Some(plan)) = (&mut self.field_tests, &open.reduced) {
            let of_row = |local| match open.known(local) {
                Known::Lacks => Known::Lacks,
                _ => Known::Has,
            };
            let mut tested: Vec<Known> = (0..open.rows.len()).map(of_row).collect();
            let n_left = |tested: &[Known]| tested.iter().filter(|t| **t != Known::Lacks).count();
            let n_before = n_left(&tested);
            tests.run(&open.lines, plan, &mut tested);
            if let Some(look) = &mut self.look {
                look.count_dropped(n_before - n_left(&tested));
            }
            open.tested = Some(tested);
        }
        Ok(open)
    }
}

// === impl Open ===

impl Open {
    fn new(
        rows: Range<usize>,
        lines: Lines,
        matches: Option<Vec<Matches>>,
        reduced: Option<Reduced>,
    ) -> Self {
        Self { rows, lines, matches, reduced, tested: None, n_built: 0 }
    }

    /// The rows whose lines are not ruled out, with small gaps that are not worth a step of the reader.
    fn wanted_rows(&self) -> Vec<Range<usize>> {
        let mut out: Vec<Range<usize>> = Vec::new();
        let is_wanted = |local: &usize| {
            self.tested(*local) != Known::Lacks && self.known(*local) != Known::Lacks
        };
        for local in (0..self.rows.len()).filter(is_wanted) {
            let row = self.rows.start + local;
            match out.last_mut() {
                Some(last) if row - last.end <= SMALL_GAP => last.end = row + 1,
                _ => out.push(row..row + 1),
            }
        }
        out
    }

    /// Whether the fields of a line stand their tests.
    fn tested(&self, local: usize) -> Known {
        let of_row = |tested: &Vec<Known>| tested.get(local).copied();
        self.tested.as_ref().and_then(of_row).unwrap_or(Known::May)
    }

    /// Whether a line has all needles.
    fn known(&self, local: usize) -> Known {
        let Some(matches) = &self.matches else { return Known::Lacks };
        matches.iter().map(|m| self.lines.known(m, local)).min().unwrap_or(Known::Has)
    }
}

// === impl Scanning ===

impl<N, F> Scanning<N, F>
where
    N: Iterator<Item = usize>,
    F: FnMut(Vec<StreamEntries>) -> ControlFlow<()>,
{
    fn batch(&mut self, batch: &RecordBatch) -> Result<ControlFlow<()>, ParquetError> {
        let rows = self.entries.take_rows(batch.num_rows())?;
        let times = times(batch)?.values();
        let range = self.search.useful_range();
        let mut keep: Vec<bool> = times.iter().map(|t| range.contains(*t)).collect();
        if self.lines.look.as_ref().is_some_and(|look| !look.pays()) {
            self.lines.stop_looking();
        }
        let metadata = match &self.lines.look {
            Some(_) => LabelBatch::of(batch, METADATA_PREFIX)?.sets(keep.len(), |row| keep[row])?,
            None => Vec::new(),
        };
        let text = self.lines.read(&rows, times, &metadata, &mut keep)?;
        self.entries.append(batch, &rows, &keep, &text)?;
        let found = std::mem::take(&mut self.entries.out);
        Ok(if found.is_empty() { ControlFlow::Continue(()) } else { (self.each)(found) })
    }
}

/// Opens a pack of `n` lines.
pub(super) fn open_lines(bytes: Bytes, n: usize) -> Result<Lines, ParquetError> {
    let lines = Lines::open(bytes).map_err(bad)?;
    if lines.len() != n {
        return Err(bad("pack with another number of lines"));
    }
    lines.unpack_strings().map_err(bad)?;
    Ok(lines)
}

/// The first `n` packs that meet `range`, and what is behind them.
fn take_meeting<'a>(
    packs: &'a [&'a Pack],
    n: usize,
    range: TimeRange,
) -> (Vec<&'a Pack>, &'a [&'a Pack]) {
    let mut taken = Vec::with_capacity(n);
    let mut rest = packs;
    while taken.len() < n
        && let Some((first, others)) = rest.split_first()
    {
        if first.meets(range) {
            taken.push(*first);
        }
        rest = others;
    }
    (taken, rest)
}

// === impl LogReader ===

impl LogReader {
    /// Whether lines are in packs, not in a column.
    pub(super) fn is_packed(&self) -> bool {
        self.object.footer.number(KEY_LINES_OFFSET).is_some()
    }

    /// Where the packs lie.
    pub(super) async fn packs(&self) -> Result<Arc<[Pack]>, Error> {
        let object = &self.object;
        if let Some(packs) = object.cache.packs(object.path()) {
            return Ok(packs);
        }
        let _guard = object.cache.loading(object.path()).await;
        if let Some(packs) = object.cache.packs(object.path()) {
            return Ok(packs);
        }
        let index = self.lies_at(KEY_INDEX_OFFSET, KEY_INDEX_LENGTH);
        let index = index.ok_or_else(|| object.corrupt("no index of packs"))?;
        self.put_packs(&object.fetch(&[index]).await?.pop().unwrap_or_default())
    }

    /// Remembers the packs that an index names.
    pub(super) fn put_packs(&self, index: &[u8]) -> Result<Arc<[Pack]>, Error> {
        let object = &self.object;
        let lines = self.lies_at(KEY_LINES_OFFSET, KEY_LINES_LENGTH);
        let lines = lines.ok_or_else(|| object.corrupt("no packs of lines"))?;
        let packs = packs::read(index, lines, object.footer.n_rows());
        let packs = packs.map_err(|e| object.corrupt(e))?;
        object.cache.put_packs(object.path(), Arc::clone(&packs));
        Ok(packs)
    }

    /// The bytes of packs.
    pub(super) async fn fetch_packs(
        &self,
        packs: &[&Pack],
    ) -> Result<VecDeque<(Range<usize>, Bytes)>, Error> {
        let ranges: Vec<Range<u64>> = packs.iter().map(|p| p.at.clone()).collect();
        let bytes = self.object.fetch_over(&ranges, MAX_HOLE).await?;
        Ok(packs.iter().map(|p| p.rows.clone()).zip(bytes).collect())
    }

    /// [`scan`](Self::scan) of a block with packs.
    pub(super) async fn scan_packed<F>(
        &self,
        search: &LogSearch,
        (streams, rows): (Vec<Stream>, Rows),
        each: F,
    ) -> Result<(), Error>
    where
        F: FnMut(Vec<StreamEntries>) -> ControlFlow<()> + Send + 'static,
    {
        let needles = search.needles.iter().filter(|n| !n.is_empty());
        let needles = needles.map(|n| Finder::new(n).into_owned()).collect();
        let wanted = &search.wanted;
        let early = search.early.as_ref().filter(|_| wanted.fields.is_none());
        let fields = early.map(|early| &early.fields).or(wanted.fields.as_ref());
        let mut lines = PackedLines::new(needles, wanted.needs_line, fields.cloned());
        lines.look = early.map(|early| Look::new(early, streams.clone()));
        let is_metadata = |name: &str| {
            let of = |name: &str| self.object.footer.column(&format!("{METADATA_PREFIX}{name}"));
            of(name).or(of(REST)).is_some()
        };
        let field_tests = early.map(|early| FieldTests::new(early, &streams, is_metadata));
        lines.field_tests = field_tests.filter(|tests| !tests.is_empty());
        let entries = Entries::new(Rows::default().into_numbers(), streams);
        let columns = self.columns(false, &wanted.metadata);
        let mut state = Scanning { entries, lines, search: search.clone(), each };
        let packs = self.packs().await?;
        let with_rows: Vec<&Pack> = rows.overlapping(&packs, |p| p.rows.clone()).collect();
        // The few that may have a text are read at once.
        let few = !search.needles.is_empty() && with_rows.len() <= FEW_PACKS;
        let (mut rest, mut n) = (with_rows.as_slice(), if few { FEW_PACKS } else { FIRST_PACKS });
        let broken_off = Arc::new(AtomicBool::new(false));
        while !rest.is_empty() {
            let range = search.useful_range();
            let some: Vec<&Pack>;
            (some, rest) = take_meeting(rest, n, range);
            if some.is_empty() {
                break;
            }
            let mut window = rows.intersect(&some.iter().map(|p| p.rows.clone()).collect());
            n = (2 * n).min(MOST_PACKS);
            state.lines.packs = self.fetch_packs(&some).await?;
            if state.lines.searches() {
                let search = move || {
                    let found = state.lines.search_ahead()?;
                    Ok((state, found))
                };
                let found;
                (state, found) = self.object.compute(search).await?;
                window = window.intersect(&found);
                if window.is_empty() {
                    continue;
                }
            }
            state.entries.numbers = window.clone().into_numbers();
            let scan = Scan { columns: &columns, rows: &window, batch_rows: BATCH_ROWS };
            let flag = Arc::clone(&broken_off);
            let read = self.object.scan(scan, state, move |state, batch| {
                if state.batch(batch)?.is_continue() {
                    return Ok(());
                }
                flag.store(true, Ordering::Relaxed);
                Err(bad("broken off"))
            });
            state = match read.await {
                Err(_) if broken_off.load(Ordering::Relaxed) => return Ok(()),
                other => other?,
            };
            self.object.stats.add_decoded(std::mem::take(&mut state.lines.n_bytes));
        }
        Ok(())
    }
}
