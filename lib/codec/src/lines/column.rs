//! Writing columns: the values of one variable, as the kind of thing that they are.
//!
//! ```text
//! column := 0  len  text                                  the same everywhere
//!         | 1  min  width:u8                              numbers as usual           packed: value − min
//!         | 2  digits:u8  min  width:u8                   numbers of fixed length
//!         | 3  min  width:u8                              numbers with a 1 in front: zeros lead some
//!         | 4  shape:u8{3}  len  suffix  zigzag(min)  width:u8       times, less that of the entry
//!         | 5  len  n  (position:u8  byte)*               hexadecimal, with n other bytes   packed: 4 bits each
//!         | 6  n  entry*  n_raw  raw column when n_raw > 0     ids: n + 1 ≤ 256 one byte each, else two
//!         | 7  min  width:u8                              texts       packed: lengths   strings: the bytes
//! entry  := n_rows  len  pattern  column, one per 0x00 in the pattern
//! ```

use super::digits::{NIBBLES, number};
use super::split::split_value;
use super::table::Table;
use super::times;
use crate::bits::{pack, width, zigzag};
use crate::wire::{put_bytes, put_uvarint};

pub(super) const CONST: u8 = 0;
pub(super) const INT: u8 = 1;
pub(super) const FIXED: u8 = 2;
pub(super) const MARKED: u8 = 3;
pub(super) const TIME: u8 = 4;
pub(super) const HEX: u8 = 5;
pub(super) const TABLE: u8 = 6;
pub(super) const RAW: u8 = 7;

/// Most entries of a table: their numbers and the 0 of the others fit two bytes.
pub(super) const MAX_ENTRIES: usize = 4096;
/// A pattern with variables must be so frequent to be an entry.
const MIN_PATTERN_ROWS: usize = 4;
const MIN_HEX: usize = 8;
const MAX_HEX: usize = 128;

/// Where columns go.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) meta: Vec<u8>,
    pub(super) ids: Vec<u8>,
    pub(super) strings: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) n_columns: usize,
}

/// What is used again from column to column.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    numbers: Vec<u64>,
    numbered: Numbered,
}

/// Values by the entry of a table that they are.
#[derive(Debug, Default)]
struct Numbered {
    table: Table,
    /// Of each value: its entry, 0 for none, and its first part.
    ids: Vec<(u32, u32)>,
    /// Where parts begin and end in their values.
    parts: Vec<(u32, u32)>,
    /// Of each entry: its number in `table`.
    entries: Vec<u32>,
    /// The values in the order of their entries, and where those begin.
    order: Vec<u32>,
    starts: Vec<u32>,
    n_raw: usize,
    key: Vec<u8>,
}

/// Where a few distinct numbers are best kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sets {
    InTables,
    AsNumbers,
}

// === impl Sink ===

impl Sink {
    pub(super) fn clear(&mut self) {
        self.meta.clear();
        self.ids.clear();
        self.strings.clear();
        self.packed.clear();
        self.n_columns = 0;
    }

    /// Packs numbers less the least of them, and says how in `meta`.
    fn put_numbers(&mut self, numbers: &[u64], min: u64) {
        let max = numbers.iter().copied().max().unwrap_or(min);
        let width = width(max - min);
        put_uvarint(&mut self.meta, min);
        self.meta.push(width as u8);
        pack(numbers.iter().map(|v| v - min), width, &mut self.packed);
    }

    /// Writes the values of one variable; `times` are those of their entries.
    pub(super) fn put_column(&mut self, values: &[&[u8]], times: &[i64], scratch: &mut Scratch) {
        self.n_columns += 1;
        let Some(first) = values.first() else { return self.put_const(b"") };
        if values.iter().all(|v| v == first) {
            self.put_const(first);
        } else if !self.put_times(values, times, scratch)
            && !self.put_ints(values, Sets::InTables, scratch)
            && !self.put_hex(values)
        {
            self.put_table(values, scratch);
        }
    }

    fn put_const(&mut self, value: &[u8]) {
        self.meta.push(CONST);
        put_bytes(&mut self.meta, value);
    }

    fn put_times(&mut self, values: &[&[u8]], times: &[i64], scratch: &mut Scratch) -> bool {
        let first = values.first().copied().unwrap_or_default();
        if first.len() < 8 || !first[0].is_ascii_digit() {
            return false;
        }
        let Some((shape, _, suffix)) = times::parse_value(first) else { return false };
        scratch.numbers.clear();
        for (value, ts) in values.iter().zip(times) {
            match times::parse_value(value) {
                Some((s, time, rest)) if s == shape && rest == suffix => {
                    scratch.numbers.push(shape.delta(*ts, time).cast_unsigned());
                }
                _ => return false,
            }
        }
        let signed = |v: &u64| v.cast_signed();
        let min = scratch.numbers.iter().map(signed).min().unwrap_or(0);
        let max = scratch.numbers.iter().map(signed).max().unwrap_or(0);
        let width = width(max.wrapping_sub(min).cast_unsigned());
        self.meta.push(TIME);
        shape.put(&mut self.meta);
        put_bytes(&mut self.meta, suffix);
        put_uvarint(&mut self.meta, zigzag(min));
        self.meta.push(width as u8);
        let above = scratch.numbers.iter().map(|v| v.wrapping_sub(min.cast_unsigned()));
        pack(above, width, &mut self.packed);
        true
    }

    fn put_ints(&mut self, values: &[&[u8]], sets: Sets, scratch: &mut Scratch) -> bool {
        let numbers = &mut scratch.numbers;
        numbers.clear();
        let (mut longest, mut shortest, mut zeros) = (0, usize::MAX, false);
        for value in values {
            let Some(n) = number(value) else { return false };
            numbers.push(n);
            longest = longest.max(value.len());
            shortest = shortest.min(value.len());
            zeros |= value.len() > 1 && value[0] == b'0';
        }
        if sets == Sets::InTables && is_small_set(numbers) {
            return false;
        }
        if !zeros {
            self.meta.push(INT);
        } else if longest == shortest {
            self.meta.extend_from_slice(&[FIXED, longest as u8]);
        } else if longest < 18 {
            self.meta.push(MARKED);
            for (number, value) in numbers.iter_mut().zip(values) {
                *number += 10u64.pow(value.len() as u32);
            }
        } else {
            return false;
        }
        let min = numbers.iter().copied().min().unwrap_or(0);
        self.put_numbers(numbers, min);
        true
    }

    fn put_hex(&mut self, values: &[&[u8]]) -> bool {
        let first = values.first().copied().unwrap_or_default();
        if !(MIN_HEX..=MAX_HEX).contains(&first.len()) {
            return false;
        }
        let others: Vec<(u8, u8)> = (0u8..)
            .zip(first)
            .filter(|(_, b)| NIBBLES[usize::from(**b)] > 15)
            .map(|(i, b)| (i, *b))
            .collect();
        // Letters between would make any text hexadecimal.
        if others.len() * 4 > first.len() || others.iter().any(|(_, b)| b.is_ascii_alphanumeric()) {
            return false;
        }
        let start = self.packed.len();
        let mut half = None;
        for value in values {
            if value.len() != first.len()
                || !put_digits(value, &others, &mut half, &mut self.packed)
            {
                self.packed.truncate(start);
                return false;
            }
        }
        self.packed.extend(half);
        self.meta.push(HEX);
        put_uvarint(&mut self.meta, first.len() as u64);
        put_uvarint(&mut self.meta, others.len() as u64);
        others.iter().for_each(|(at, byte)| self.meta.extend_from_slice(&[*at, *byte]));
        true
    }

    /// A table of the distinct values, or else of their patterns.
    fn put_table(&mut self, values: &[&[u8]], scratch: &mut Scratch) {
        let mut numbered = std::mem::take(&mut scratch.numbered);
        numbered.fill(values);
        if numbered.n_raw * 2 > values.len() {
            self.put_raw(values.iter().copied());
        } else {
            self.put_entries(values, &numbered, scratch);
        }
        scratch.numbered = numbered;
    }

    fn put_entries(&mut self, values: &[&[u8]], numbered: &Numbered, scratch: &mut Scratch) {
        self.meta.push(TABLE);
        put_uvarint(&mut self.meta, numbered.entries.len() as u64);
        self.put_ids(numbered.ids.iter().map(|(id, _)| *id), numbered.entries.len());
        let mut part_values: Vec<&[u8]> = Vec::new();
        for (entry, text) in numbered.entries.iter().enumerate() {
            let pattern = numbered.table.get(*text as usize);
            let rows = numbered.rows_of(entry + 1);
            put_uvarint(&mut self.meta, rows.len() as u64);
            put_bytes(&mut self.meta, pattern);
            for part in 0..pattern.iter().filter(|b| **b == super::SLOT).count() {
                part_values.clear();
                let parts = rows.iter().map(|row| numbered.part(values, *row as usize, part));
                part_values.extend(parts);
                self.put_part(&part_values, scratch);
            }
        }
        put_uvarint(&mut self.meta, numbered.n_raw as u64);
        if numbered.n_raw > 0 {
            self.put_raw(numbered.rows_of(0).iter().map(|row| values[*row as usize]));
        }
    }

    /// Numbers of `n_entries` entries, and 0: a byte each, or two planes of bytes.
    pub(super) fn put_ids(&mut self, ids: impl Iterator<Item = u32> + Clone, n_entries: usize) {
        self.ids.extend(ids.clone().map(|id| id as u8));
        if n_entries > 255 {
            self.ids.extend(ids.map(|id| (id >> 8) as u8));
        }
    }

    /// A part of a pattern; tables do not nest.
    fn put_part(&mut self, values: &[&[u8]], scratch: &mut Scratch) {
        self.n_columns += 1;
        match values.first() {
            Some(first) if !values.iter().all(|v| v == first) => {
                if !self.put_ints(values, Sets::AsNumbers, scratch) && !self.put_hex(values) {
                    self.put_raw(values.iter().copied());
                }
            }
            first => self.put_const(first.copied().unwrap_or_default()),
        }
    }

    pub(super) fn put_raw<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) {
        let mut lengths = Vec::new();
        for value in values {
            lengths.push(value.len() as u64);
            self.strings.extend_from_slice(value);
        }
        self.meta.push(RAW);
        let min = lengths.iter().copied().min().unwrap_or(0);
        self.put_numbers(&lengths, min);
    }
}

/// Appends the digits of a hexadecimal value, two to a byte; `half` is one that has no other yet.
fn put_digits(value: &[u8], others: &[(u8, u8)], half: &mut Option<u8>, out: &mut Vec<u8>) -> bool {
    let mut from = 0;
    let mut bad = 0;
    let mut put = |digits: &[u8]| {
        let mut digits = digits;
        if let (Some(low), Some((first, rest))) = (*half, digits.split_first()) {
            let n = NIBBLES[usize::from(*first)];
            bad |= n;
            out.push(low | n << 4);
            *half = None;
            digits = rest;
        }
        let (pairs, last) = digits.as_chunks::<2>();
        for [low, high] in pairs {
            let (low, high) = (NIBBLES[usize::from(*low)], NIBBLES[usize::from(*high)]);
            bad |= low | high;
            out.push(low & 15 | high << 4);
        }
        if let [last] = last {
            let n = NIBBLES[usize::from(*last)];
            bad |= n;
            *half = Some(n & 15);
        }
    };
    for (at, sep) in others {
        let at = usize::from(*at);
        if value.get(at) != Some(sep) {
            return false;
        }
        put(&value[from..at]);
        from = at + 1;
    }
    put(&value[from..]);
    bad < 16
}

/// Few enough distinct numbers that the bytes of a table beat their bits.
fn is_small_set(numbers: &[u64]) -> bool {
    const MAX: usize = 16;
    let mut seen = [0u64; MAX];
    let mut n = 0;
    for number in numbers {
        if seen[..n].contains(number) {
            continue;
        }
        if n == MAX {
            return false;
        }
        seen[n] = *number;
        n += 1;
    }
    n * 2 <= numbers.len()
}

// === impl Numbered ===

impl Numbered {
    /// Numbers the values if few are distinct, or else their patterns.
    fn fill(&mut self, values: &[&[u8]]) {
        let whole = self.number_values(values);
        if !whole {
            self.number_patterns(values);
        }
        let mut counts = vec![0usize; self.table.len() + 1];
        self.ids.iter().for_each(|(id, _)| counts[*id as usize] += 1);
        let least = if whole { 1 } else { MIN_PATTERN_ROWS };
        let mut renumbered = vec![0u32; counts.len()];
        self.entries.clear();
        for (number, count) in counts.iter().enumerate().skip(1) {
            if *count >= least {
                self.entries.push(number as u32 - 1);
                renumbered[number] = self.entries.len() as u32;
            }
        }
        self.ids.iter_mut().for_each(|(id, _)| *id = renumbered[*id as usize]);
        self.sort();
        self.n_raw = self.rows_of(0).len();
    }

    fn number_values(&mut self, values: &[&[u8]]) -> bool {
        let max = (values.len() / 8).clamp(2, 1024);
        self.table.clear();
        self.ids.clear();
        for value in values {
            let Some(number) = self.table.number(value, max) else { return false };
            self.ids.push((number as u32 + 1, 0));
        }
        true
    }

    fn number_patterns(&mut self, values: &[&[u8]]) {
        self.table.clear();
        self.ids.clear();
        self.parts.clear();
        for value in values {
            self.key.clear();
            let first = self.parts.len() as u32;
            split_value(value, &mut self.key, &mut self.parts);
            let number = self.table.number(&self.key, MAX_ENTRIES);
            self.ids.push((number.map_or(0, |n| n as u32 + 1), first));
        }
    }

    /// Sorts the rows by entry, counting.
    fn sort(&mut self) {
        self.starts.clear();
        self.starts.resize(self.entries.len() + 2, 0);
        self.ids.iter().for_each(|(id, _)| self.starts[*id as usize + 1] += 1);
        for i in 1..self.starts.len() {
            self.starts[i] += self.starts[i - 1];
        }
        let mut next = self.starts.clone();
        self.order.clear();
        self.order.resize(self.ids.len(), 0);
        for (row, (id, _)) in (0u32..).zip(&self.ids) {
            let at = &mut next[*id as usize];
            self.order[*at as usize] = row;
            *at += 1;
        }
    }

    fn rows_of(&self, entry: usize) -> &[u32] {
        &self.order[self.starts[entry] as usize..self.starts[entry + 1] as usize]
    }

    fn part<'a>(&self, values: &[&'a [u8]], row: usize, part: usize) -> &'a [u8] {
        let first = self.ids[row].1 as usize;
        let (from, to) = self.parts.get(first + part).copied().unwrap_or_default();
        values[row].get(from as usize..to as usize).unwrap_or_default()
    }
}
