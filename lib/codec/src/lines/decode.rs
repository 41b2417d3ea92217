//! Reading encoded lines: what they are made of is parsed at once, lines are built as they are asked for.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use super::column::{CONST, FIXED, HEX, INT, MARKED, RAW, TABLE, TIME};
use super::times::Shape;
use super::value::{Column, Entries, Entry, Packed, Pattern, Style, Texts};
use super::{MAX_BYTES, MAX_ROWS, N_SECTIONS, PADDING, SLOT, VERSION};
use crate::bits::{packed_len, unzigzag};
use crate::wire::{WireError, count, take, take_array, uvarint};

/// Columns that one encoding may have.
pub(super) const MAX_COLUMNS: usize = 1 << 18;

/// Encoded lines, opened.
#[derive(Debug)]
pub struct Lines {
    n_rows: usize,
    text_len: usize,
    meta: Vec<u8>,
    pub(super) ids: Vec<u8>,
    strings: Strings,
    packed: Bytes,
    pub(super) columns: Vec<Column>,
    pub(super) templates: Vec<Template>,
    /// The column of the lines without template.
    pub(super) raw: Option<usize>,
    /// Of each line: its template + 1 or 0, and how many before it are of the same.
    pub(super) rows: Vec<(u32, u32)>,
}

#[derive(Debug)]
pub(super) struct Template {
    pub(super) pattern: Pattern,
    pub(super) n_rows: usize,
}

/// Unpacked when first wanted: many searches never look at it.
#[derive(Debug)]
struct Strings {
    stored: Bytes,
    len: usize,
    text: OnceLock<Vec<u8>>,
}

/// What is left of the sections while columns are read.
struct Reader<'a> {
    meta: &'a [u8],
    meta_len: usize,
    ids: &'a [u8],
    ids_at: usize,
    packed_len: usize,
    packed_at: usize,
    packed: &'a [u8],
    strings_len: usize,
    strings_at: usize,
    columns: Vec<Column>,
}

// === impl Lines ===

impl Lines {
    /// Parses what [`LinesEncoder`](super::LinesEncoder) wrote.
    pub fn open(bytes: Bytes) -> Result<Self, WireError> {
        let mut rest = bytes.as_ref();
        let (n_rows, text_len) = head(&mut rest)?;
        let mut lens = [(0, 0); N_SECTIONS];
        for (raw, stored) in &mut lens {
            *raw = bounded(&mut rest, 4 * MAX_BYTES, "length of a section")?;
            *stored = bounded(&mut rest, *raw, "length of a section")?;
        }
        let mut section =
            |(raw, stored)| Ok::<_, WireError>((raw, bytes.slice_ref(take(&mut rest, stored)?)));
        let [meta, ids, strings, packed] = lens;
        let (meta, ids, strings) = (section(meta)?, section(ids)?, section(strings)?);
        let (packed_raw, packed_stored) = packed;
        if packed_raw != packed_stored || rest.len() != packed_raw + PADDING {
            return Err(WireError::Truncated);
        }
        let strings = Strings { len: strings.0, stored: strings.1, text: OnceLock::new() };
        let mut lines = Self {
            n_rows,
            text_len,
            meta: unpack(meta)?,
            ids: unpack(ids)?,
            strings,
            packed: bytes.slice_ref(rest),
            columns: Vec::new(),
            templates: Vec::new(),
            raw: None,
            rows: Vec::new(),
        };
        lines.read_meta()?;
        Ok(lines)
    }

    /// How many lines there are and how long they are together, without opening them.
    pub fn peek(bytes: &[u8]) -> Result<(usize, usize), WireError> {
        head(&mut &*bytes)
    }

    fn read_meta(&mut self) -> Result<(), WireError> {
        let mut reader = Reader {
            meta: &self.meta,
            meta_len: self.meta.len(),
            ids: &self.ids,
            ids_at: 0,
            packed_len: self.packed.len() - PADDING,
            packed_at: 0,
            packed: &self.packed,
            strings_len: self.strings.len,
            strings_at: 0,
            columns: Vec::new(),
        };
        let n_templates = count(&mut reader.meta, 2)?;
        let wide = n_templates > 255;
        let ids = reader.ids(self.n_rows, wide)?;
        for _ in 0..n_templates {
            let n_rows = bounded(&mut reader.meta, self.n_rows, "number of lines")?;
            let pattern = reader.pattern(n_rows, Depth::Line)?;
            self.templates.push(Template { pattern, n_rows });
        }
        let table = Entries {
            n_rows: self.n_rows,
            ids,
            wide,
            entries: Vec::new(),
            raw: None,
            ranks: OnceLock::new(),
        };
        let mut counts = vec![0u32; n_templates + 1];
        for row in 0..self.n_rows {
            let id = table.id(&self.ids, row).map_or(0, |id| id + 1);
            let n = counts.get_mut(id).ok_or(WireError::Range("template"))?;
            self.rows.push((id as u32, std::mem::replace(n, *n + 1)));
        }
        let n_raw = counts[0] as usize;
        if self.templates.iter().zip(&counts[1..]).any(|(t, n)| t.n_rows != *n as usize) {
            return Err(WireError::Range("number of lines of a template"));
        }
        if n_raw > 0 {
            self.raw = Some(reader.raw_column(n_raw)?);
        }
        let done = reader.meta.is_empty() && reader.strings_at == reader.strings_len;
        self.columns = reader.columns;
        if done { Ok(()) } else { Err(WireError::Range("length of a section")) }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Length of all lines together.
    pub fn text_len(&self) -> usize {
        self.text_len
    }

    /// Appends line `row`, whose entry has the time `timestamp_ns`, to `out`.
    pub fn append(&self, row: usize, timestamp_ns: i64, out: &mut Vec<u8>) {
        let Some((id, rank)) = self.rows.get(row) else { return };
        match (*id as usize).checked_sub(1).and_then(|i| self.templates.get(i)) {
            Some(template) => {
                self.append_pattern(&template.pattern, *rank as usize, timestamp_ns, out);
            }
            None => self.append_raw(self.raw, *rank as usize, out),
        }
    }

    /// What is unpacked for good while strings are looked at: fails when they are damaged.
    pub fn unpack_strings(&self) -> Result<(), WireError> {
        if self.strings.text.get().is_none() {
            let text = unpack((self.strings.len, self.strings.stored.clone()))?;
            // Another thread may have been first.
            let _ = self.strings.text.set(text);
        }
        Ok(())
    }

    pub(super) fn meta(&self, range: &Range<usize>) -> &[u8] {
        self.meta.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn strings(&self) -> &[u8] {
        self.strings.text.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn packed(&self) -> &[u8] {
        &self.packed
    }
}

/// Number and length of all lines.
fn head(rest: &mut &[u8]) -> Result<(usize, usize), WireError> {
    let [version] = take_array(rest)?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let n_rows = bounded(rest, MAX_ROWS, "number of lines")?;
    Ok((n_rows, bounded(rest, MAX_BYTES, "length of the text")?))
}

fn bounded(rest: &mut &[u8], max: usize, what: &'static str) -> Result<usize, WireError> {
    let n = usize::try_from(uvarint(rest)?).ok().filter(|n| *n <= max);
    n.ok_or(WireError::Range(what))
}

fn unpack((len, stored): (usize, Bytes)) -> Result<Vec<u8>, WireError> {
    if stored.len() == len {
        return Ok(stored.to_vec());
    }
    let text = zstd::bulk::decompress(&stored, len).map_err(|_| WireError::Range("section"))?;
    if text.len() == len { Ok(text) } else { Err(WireError::Range("length of a section")) }
}

/// What a column is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Line,
    Value,
}

// === impl Reader ===

impl Reader<'_> {
    /// A key and the columns of its variables.
    fn pattern(&mut self, n_rows: usize, depth: Depth) -> Result<Pattern, WireError> {
        let len = count(&mut self.meta, 1)?;
        let start = self.meta_len - self.meta.len();
        let key = take(&mut self.meta, len)?;
        let mut pieces = Vec::new();
        let mut at = 0;
        for piece in key.split(|b| *b == SLOT) {
            pieces.push(start + at..start + at + piece.len());
            at += piece.len() + 1;
        }
        let first_column = self.columns.len();
        let n_columns = pieces.len() - 1;
        if first_column + n_columns > MAX_COLUMNS {
            return Err(WireError::Range("number of columns"));
        }
        self.columns.extend((0..n_columns).map(|_| Column::Const(0..0)));
        for i in 0..n_columns {
            self.columns[first_column + i] = self.column(n_rows, depth)?;
        }
        Ok(Pattern { pieces, first_column })
    }

    fn column(&mut self, n_rows: usize, depth: Depth) -> Result<Column, WireError> {
        let [kind] = take_array(&mut self.meta)?;
        Ok(match kind {
            CONST => Column::Const(self.text()?),
            INT => Column::Number(Style::Usual, self.numbers(n_rows)?),
            FIXED => {
                let [digits] = take_array(&mut self.meta)?;
                Column::Number(Style::Fixed(digits.min(20)), self.numbers(n_rows)?)
            }
            MARKED => Column::Number(Style::Marked, self.numbers(n_rows)?),
            TIME => {
                let shape = Shape::take(&mut self.meta)?;
                let suffix = self.text()?;
                let numbers = self.numbers(n_rows)?;
                let min = unzigzag(numbers.min).cast_unsigned();
                Column::Time { shape, suffix, deltas: Packed { min, ..numbers } }
            }
            HEX => self.hex(n_rows)?,
            TABLE if depth == Depth::Line => Column::Table(self.table(n_rows)?),
            RAW => Column::Raw(self.texts(n_rows)?),
            _ => return Err(WireError::Range("kind of a column")),
        })
    }

    fn text(&mut self) -> Result<Range<usize>, WireError> {
        let len = count(&mut self.meta, 1)?;
        let start = self.meta_len - self.meta.len();
        take(&mut self.meta, len)?;
        Ok(start..start + len)
    }

    fn numbers(&mut self, n_rows: usize) -> Result<Packed, WireError> {
        let min = uvarint(&mut self.meta)?;
        let [width] = take_array(&mut self.meta)?;
        if width > 64 {
            return Err(WireError::Range("width"));
        }
        let at = self.packed(packed_len(n_rows, u32::from(width)))?;
        Ok(Packed { min, width: u32::from(width), at })
    }

    /// Sets bytes of the packed section aside.
    fn packed(&mut self, len: usize) -> Result<usize, WireError> {
        let at = self.packed_at;
        self.packed_at = at + len;
        if self.packed_at > self.packed_len { Err(WireError::Truncated) } else { Ok(at) }
    }

    fn ids(&mut self, n_rows: usize, wide: bool) -> Result<usize, WireError> {
        let at = self.ids_at;
        self.ids_at = at + if wide { 2 * n_rows } else { n_rows };
        if self.ids_at > self.ids.len() { Err(WireError::Truncated) } else { Ok(at) }
    }

    fn hex(&mut self, n_rows: usize) -> Result<Column, WireError> {
        let len = bounded(&mut self.meta, 255, "length of hexadecimal")?;
        let n = count(&mut self.meta, 2)?;
        let mut others = Vec::with_capacity(n);
        for _ in 0..n {
            let [at, byte] = take_array(&mut self.meta)?;
            if usize::from(at) >= len || others.last().is_some_and(|(last, _)| *last >= at) {
                return Err(WireError::Range("position in hexadecimal"));
            }
            others.push((at, byte));
        }
        let at = self.packed(packed_len(n_rows * (len - n), 4))?;
        Ok(Column::Hex { len, others, at })
    }

    fn table(&mut self, n_rows: usize) -> Result<Entries, WireError> {
        let n_entries = count(&mut self.meta, 2)?;
        let wide = n_entries > 255;
        let ids = self.ids(n_rows, wide)?;
        let mut entries = Vec::with_capacity(n_entries);
        for _ in 0..n_entries {
            let n_rows = bounded(&mut self.meta, n_rows, "number of values")?;
            entries.push(Entry { pattern: self.pattern(n_rows, Depth::Value)?, n_rows });
        }
        let n_raw = bounded(&mut self.meta, n_rows, "number of values")?;
        let raw = if n_raw > 0 { Some(self.raw_column(n_raw)?) } else { None };
        let table = Entries { n_rows, ids, wide, entries, raw, ranks: OnceLock::new() };
        let mut counts = vec![0usize; n_entries + 1];
        for i in 0..n_rows {
            let id = table.id(self.ids, i).map_or(0, |id| id + 1);
            *counts.get_mut(id).ok_or(WireError::Range("entry of a table"))? += 1;
        }
        let entries = table.entries.iter().map(|e| e.n_rows);
        if std::iter::once(n_raw).chain(entries).eq(counts) {
            Ok(table)
        } else {
            Err(WireError::Range("number of values of an entry"))
        }
    }

    fn raw_column(&mut self, n_rows: usize) -> Result<usize, WireError> {
        let [kind] = take_array(&mut self.meta)?;
        if kind != RAW {
            return Err(WireError::Range("kind of a column"));
        }
        let texts = self.texts(n_rows)?;
        self.columns.push(Column::Raw(texts));
        Ok(self.columns.len() - 1)
    }

    fn texts(&mut self, n_rows: usize) -> Result<Texts, WireError> {
        let lengths = self.numbers(n_rows)?;
        let at = self.strings_at;
        let texts = Texts { n_rows, lengths, at, ends: OnceLock::new() };
        let len: u64 =
            (0..n_rows).map(|i| lengths.get(self.packed, i)).fold(0, u64::saturating_add);
        let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len));
        self.strings_at = end.filter(|end| *end <= self.strings_len).ok_or(WireError::Truncated)?;
        Ok(texts)
    }
}
