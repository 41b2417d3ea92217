//! Encoding lines: templates are found, then each variable of each template is written as a column.

use std::fmt;

use zstd::bulk::Compressor;

use super::column::{Scratch, Sink};
use super::decode::MAX_COLUMNS;
use super::split::{Slot, split};
use super::table::Table;
use super::{MAX_BYTES, MAX_ROWS, N_SECTIONS, PADDING, VERSION};
use crate::wire::{put_bytes, put_uvarint};

/// Templates that may begin in one encoding; lines of others are kept as they are.
const MAX_TEMPLATES: usize = 4000;
/// Lines whose template is rarer are kept as they are.
const MIN_TEMPLATE_ROWS: u32 = 4;

/// Encodes lines, again and again with the same memory.
pub struct LinesEncoder {
    /// `None` where there was no memory for it: sections are stored as they are then.
    zstd: Option<Compressor<'static>>,
    /// Half of what readers take: raw columns are not counted.
    pub(super) max_columns: usize,
    templates: Table,
    key: Vec<u8>,
    slots: Vec<Slot>,
    /// Of each line: its template + 1 or 0, and its first slot.
    lines: Vec<(u32, u32)>,
    sink: Sink,
    scratch: Scratch,
}

/// The lines are more than fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rows} lines of {bytes} bytes are too many to encode together")]
pub struct TooMany {
    rows: usize,
    bytes: usize,
}

// === impl LinesEncoder ===

impl LinesEncoder {
    /// `level` is zstd's.
    pub fn new(level: i32) -> Self {
        Self {
            zstd: Compressor::new(level).ok(),
            max_columns: MAX_COLUMNS / 2,
            templates: Table::default(),
            key: Vec::new(),
            slots: Vec::new(),
            lines: Vec::new(),
            sink: Sink::default(),
            scratch: Scratch::default(),
        }
    }

    /// Appends the encoded lines to `out`: line `i` is `text[ends[i - 1]..ends[i]]`, its entry's time `times[i]`.
    pub fn encode(
        &mut self,
        text: &[u8],
        ends: &[u32],
        times: &[i64],
        out: &mut Vec<u8>,
    ) -> Result<(), TooMany> {
        let sane = ends.is_sorted() && ends.last().map_or(0, |e| *e as usize) == text.len();
        if ends.len() > MAX_ROWS || text.len() > MAX_BYTES || ends.len() != times.len() || !sane {
            return Err(TooMany { rows: ends.len(), bytes: text.len() });
        }
        self.sink.clear();
        self.find_templates(text, ends);
        let kept = self.keep_frequent();
        put_uvarint(&mut self.sink.meta, kept.len() as u64);
        let ids = self.lines.iter().map(|(id, _)| *id);
        self.sink.put_ids(ids, kept.len());
        self.put_templates(text, times, &kept);
        if self.sink.n_columns > self.max_columns {
            // Absurd lines, which readers would refuse as damaged: all are kept as they are.
            self.lines.iter_mut().for_each(|(id, _)| *id = 0);
            self.sink.clear();
            put_uvarint(&mut self.sink.meta, 0);
            self.sink.put_ids(ends.iter().map(|_| 0), 0);
        }
        let raw = self.lines.iter().zip(ranges(ends)).filter(|((id, _), _)| *id == 0);
        let raw: Vec<&[u8]> = raw.filter_map(|(_, line)| text.get(line)).collect();
        if !raw.is_empty() {
            self.sink.put_raw(raw.into_iter());
        }
        self.seal(ends.len(), text.len(), out);
        Ok(())
    }

    fn find_templates(&mut self, text: &[u8], ends: &[u32]) {
        self.templates.clear();
        self.slots.clear();
        self.lines.clear();
        for line in ranges(ends) {
            let first = self.slots.len();
            let base = line.start as u32;
            self.key.clear();
            let line = text.get(line).unwrap_or_default();
            let number = split(line, base, &mut self.key, &mut self.slots)
                .then(|| self.templates.number(&self.key, MAX_TEMPLATES))
                .flatten();
            if number.is_none() {
                self.slots.truncate(first);
            }
            self.lines.push((number.map_or(0, |n| n as u32 + 1), first as u32));
        }
    }

    /// Numbers the frequent templates anew, from 1 on; returns which they were.
    fn keep_frequent(&mut self) -> Vec<usize> {
        let mut counts = vec![0u32; self.templates.len() + 1];
        self.lines.iter().for_each(|(id, _)| counts[*id as usize] += 1);
        let mut renumbered = vec![0u32; counts.len()];
        let mut kept = Vec::new();
        for (id, count) in counts.iter().enumerate().skip(1) {
            if *count >= MIN_TEMPLATE_ROWS {
                kept.push(id - 1);
                renumbered[id] = kept.len() as u32;
            }
        }
        self.lines.iter_mut().for_each(|(id, _)| *id = renumbered[*id as usize]);
        kept
    }

    fn put_templates(&mut self, text: &[u8], times: &[i64], kept: &[usize]) {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); kept.len()];
        for (row, (id, _)) in (0u32..).zip(&self.lines) {
            if let Some(rows) = (*id as usize).checked_sub(1).and_then(|i| rows.get_mut(i)) {
                rows.push(row);
            }
        }
        let mut values: Vec<&[u8]> = Vec::new();
        let mut own_times: Vec<i64> = Vec::new();
        for (template, rows) in kept.iter().zip(&rows) {
            let key = self.templates.get(*template);
            put_uvarint(&mut self.sink.meta, rows.len() as u64);
            put_bytes(&mut self.sink.meta, key);
            own_times.clear();
            own_times.extend(rows.iter().map(|row| times[*row as usize]));
            for slot in 0..key.iter().filter(|b| **b == super::SLOT).count() {
                values.clear();
                values.extend(rows.iter().map(|row| {
                    let first = self.lines[*row as usize].1 as usize;
                    let Slot { start, len } = self.slots[first + slot];
                    &text[start as usize..(start + len) as usize]
                }));
                self.sink.put_column(&values, &own_times, &mut self.scratch);
            }
        }
    }

    fn seal(&mut self, n_rows: usize, text_len: usize, out: &mut Vec<u8>) {
        let Sink { meta, ids, strings, packed, .. } = &self.sink;
        let sections: [&[u8]; N_SECTIONS] = [meta, ids, strings, packed];
        out.push(VERSION);
        put_uvarint(out, n_rows as u64);
        put_uvarint(out, text_len as u64);
        // Packed values are dense already.
        let zstd = &mut self.zstd;
        let compress = |section: &&[u8]| {
            let stored = zstd.as_mut().and_then(|zstd| zstd.compress(section).ok());
            stored.unwrap_or_else(|| section.to_vec())
        };
        let stored: Vec<Vec<u8>> = sections[..N_SECTIONS - 1].iter().map(compress).collect();
        for (section, stored) in sections.iter().zip(&stored) {
            put_uvarint(out, section.len() as u64);
            put_uvarint(out, stored.len().min(section.len()) as u64);
        }
        put_uvarint(out, packed.len() as u64);
        put_uvarint(out, packed.len() as u64);
        for (section, stored) in sections.iter().zip(&stored) {
            out.extend_from_slice(if stored.len() < section.len() { stored } else { section });
        }
        out.extend_from_slice(packed);
        out.extend_from_slice(&[0; PADDING]);
    }
}

impl fmt::Debug for LinesEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinesEncoder").finish_non_exhaustive()
    }
}

/// The lines of a text as ranges in it.
fn ranges(ends: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> + Clone {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| start as usize..*end as usize)
}
