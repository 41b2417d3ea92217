//! Columns read: where their values stand, and value `i` as the text that it was.

use std::ops::Range;
use std::sync::OnceLock;

use super::decode::Lines;
use super::digits::{HEX, packed_at, put_fixed, put_number};
use super::times::Shape;

/// A column of an encoding; ranges and positions are those of its sections.
#[derive(Debug)]
pub(super) enum Column {
    Const(Range<usize>),
    Number(Style, Packed),
    /// How far each is from the time of its entry, as signed numbers.
    Time {
        shape: Shape,
        suffix: Range<usize>,
        deltas: Packed,
    },
    Hex {
        len: usize,
        others: Vec<(u8, u8)>,
        at: usize,
    },
    Table(Entries),
    Raw(Texts),
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Usual,
    Fixed(u8),
    /// With a 1 in front of their digits.
    Marked,
}

/// Numbers of one width in the packed section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    pub(super) min: u64,
    pub(super) width: u32,
    pub(super) at: usize,
}

/// The values of a table: each is an entry, or one of `raw`.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) n_rows: usize,
    /// In the section of ids; two planes of `n_rows` bytes when `wide`.
    pub(super) ids: usize,
    pub(super) wide: bool,
    pub(super) entries: Vec<Entry>,
    /// The column of the values that are no entry.
    pub(super) raw: Option<usize>,
    /// Of each value: how many before it are of the same entry.
    pub(super) ranks: OnceLock<Vec<u32>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pattern: Pattern,
    pub(super) n_rows: usize,
}

/// Constant bytes with a column between each two of them.
#[derive(Debug)]
pub(super) struct Pattern {
    /// In the meta section; one more than there are columns.
    pub(super) pieces: Vec<Range<usize>>,
    pub(super) first_column: usize,
}

/// Byte strings one after the other.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) n_rows: usize,
    pub(super) lengths: Packed,
    /// Where the first begins in the section of strings.
    pub(super) at: usize,
    /// Ends of the texts, counted from the first.
    pub(super) ends: OnceLock<Vec<u32>>,
}

// === impl Packed ===

impl Packed {
    pub(super) fn get(self, packed: &[u8], i: usize) -> u64 {
        let rest = packed.get(self.at..).unwrap_or_default();
        self.min.wrapping_add(packed_at(rest, self.width, i))
    }
}

// === impl Pattern ===

impl Pattern {
    pub(super) fn n_columns(&self) -> usize {
        self.pieces.len().saturating_sub(1)
    }
}

// === impl Entries ===

impl Entries {
    /// The entry of value `i`; `None` when it is raw.
    pub(super) fn id(&self, ids: &[u8], i: usize) -> Option<usize> {
        let byte = |at: usize| ids.get(self.ids + at).copied().map_or(0, usize::from);
        let high = if self.wide { byte(self.n_rows + i) } else { 0 };
        (high << 8 | byte(i)).checked_sub(1)
    }

    /// Whether all values of an entry are the same.
    pub(super) fn is_constant(&self, id: usize) -> bool {
        self.entries.get(id).is_some_and(|e| e.pattern.n_columns() == 0)
    }

    pub(super) fn rank(&self, ids: &[u8], i: usize) -> usize {
        let ranks = self.ranks.get_or_init(|| {
            let mut next = vec![0u32; self.entries.len() + 1];
            let rank = |i| {
                let slot = next.get_mut(self.id(ids, i).map_or(0, |id| id + 1));
                slot.map_or(0, |n| std::mem::replace(n, *n + 1))
            };
            (0..self.n_rows).map(rank).collect()
        });
        ranks.get(i).map_or(0, |rank| *rank as usize)
    }
}

// === impl Texts ===

impl Texts {
    pub(super) fn ends(&self, packed: &[u8]) -> &[u32] {
        self.ends.get_or_init(|| {
            let mut end = 0u32;
            let mut add = |i| {
                let len = self.lengths.get(packed, i).min(u64::from(u32::MAX));
                end = end.saturating_add(len as u32);
                end
            };
            (0..self.n_rows).map(&mut add).collect()
        })
    }

    /// Where text `i` stands in the section of strings.
    pub(super) fn range(&self, packed: &[u8], i: usize) -> Range<usize> {
        let ends = self.ends(packed);
        let end = ends.get(i).map_or(0, |e| *e as usize);
        let start = i.checked_sub(1).and_then(|i| ends.get(i)).map_or(0, |e| *e as usize);
        self.at + start..self.at + end.max(start)
    }
}

// === impl Lines ===

impl Lines {
    /// Appends value `i` of a column; `timestamp_ns` is that of its entry.
    pub(super) fn append_value(
        &self,
        column: usize,
        i: usize,
        timestamp_ns: i64,
        out: &mut Vec<u8>,
    ) {
        let packed = self.packed();
        match self.columns.get(column) {
            None => {}
            Some(Column::Const(text)) => out.extend_from_slice(self.meta(text)),
            Some(Column::Number(style, numbers)) => {
                append_number(*style, numbers.get(packed, i), out);
            }
            Some(Column::Time { shape, suffix, deltas }) => {
                let delta = deltas.get(packed, i).cast_signed();
                shape.write(shape.value(timestamp_ns, delta), out);
                out.extend_from_slice(self.meta(suffix));
            }
            Some(Column::Hex { len, others, at }) => {
                append_hex(packed, (*len, others, *at), i, out);
            }
            Some(Column::Table(table)) => {
                let rank = table.rank(&self.ids, i);
                match table.id(&self.ids, i) {
                    None => self.append_raw(table.raw, rank, out),
                    Some(id) => {
                        let Some(entry) = table.entries.get(id) else { return };
                        self.append_pattern(&entry.pattern, rank, timestamp_ns, out);
                    }
                }
            }
            Some(Column::Raw(texts)) => {
                let text = self.strings().get(texts.range(packed, i));
                out.extend_from_slice(text.unwrap_or_default());
            }
        }
    }

    /// Appends a text that is no entry of its table, or a line without template.
    pub(super) fn append_raw(&self, column: Option<usize>, i: usize, out: &mut Vec<u8>) {
        if let Some(Column::Raw(texts)) = column.and_then(|c| self.columns.get(c)) {
            let text = self.strings().get(texts.range(self.packed(), i));
            out.extend_from_slice(text.unwrap_or_default());
        }
    }

    pub(super) fn append_pattern(
        &self,
        pattern: &Pattern,
        i: usize,
        timestamp_ns: i64,
        out: &mut Vec<u8>,
    ) {
        for (n, piece) in pattern.pieces.iter().enumerate() {
            if n > 0 {
                self.append_value(pattern.first_column + n - 1, i, timestamp_ns, out);
            }
            out.extend_from_slice(self.meta(piece));
        }
    }
}

fn append_number(style: Style, number: u64, out: &mut Vec<u8>) {
    match style {
        Style::Usual => put_number(number, out),
        Style::Fixed(digits) => put_fixed(number, usize::from(digits), out),
        Style::Marked => {
            let mut buffer = itoa::Buffer::new();
            out.extend_from_slice(buffer.format(number).as_bytes().get(1..).unwrap_or_default());
        }
    }
}

/// Two digits for each byte, the low half first.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut i = 0;
    while i < 256 {
        pairs[i] = [HEX[i & 15], HEX[i >> 4]];
        i += 1;
    }
    pairs
};

fn append_hex(
    packed: &[u8],
    (len, others, at): (usize, &[(u8, u8)], usize),
    i: usize,
    out: &mut Vec<u8>,
) {
    let n_digits = len - others.len();
    let first = i * n_digits;
    let mut digits = [0u8; 256 + 2];
    let bytes = packed.get(at + first / 2..at + (first + n_digits).div_ceil(2)).unwrap_or_default();
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
    let digits = &digits[first % 2..];
    let mut copied = 0;
    for (n, (position, byte)) in others.iter().enumerate() {
        let upto = usize::from(*position) - n;
        out.extend_from_slice(&digits[copied..upto]);
        out.push(*byte);
        copied = upto;
    }
    out.extend_from_slice(&digits[copied..n_digits]);
}
