//! Which lines contain a text, found out from templates and columns; few lines have to be built for it.
//!
//! ```text
//! in a constant piece of the template → all its lines     in a value → the lines that have it
//! across the border of a piece and a value → lines whose value begins or ends so, then built and looked at
//! ```

use memchr::memmem::Finder;

use super::decode::Lines;
use super::value::{Column, Entries, Pattern, Texts};

/// Steps that following a needle over the borders of one pattern may take, and values of how many columns
/// are looked at for it: needles and lines can be made so that there is no end to it.
const MAX_STEPS: usize = 4096;
const MAX_LOOKS: usize = 32;

/// What is known of a line or value: whether it contains a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    Lacks,
    /// To be built and looked at.
    May,
    Has,
}

/// What is known of all of some lines or values.
#[derive(Debug)]
enum Found {
    None,
    All,
    Each(Vec<Known>),
}

/// What is known of all lines: which contain a text.
#[derive(Debug)]
pub struct Matches {
    templates: Vec<Found>,
    raw: Found,
}

// === impl Found ===

impl Found {
    /// Adds what is known of one row.
    fn add(&mut self, n_rows: usize, row: usize, known: Known) {
        if known == Known::Lacks {
            return;
        }
        if matches!(self, Self::None) {
            *self = Self::Each(vec![Known::Lacks; n_rows]);
        }
        if let Self::Each(each) = self
            && let Some(old) = each.get_mut(row)
        {
            *old = known.max(*old);
        }
    }

    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, some) | (some, Self::None) => some,
            (Self::Each(mut a), Self::Each(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a = b.max(*a));
                Self::Each(a)
            }
        }
    }

    fn get(&self, row: usize) -> Known {
        match self {
            Self::None => Known::Lacks,
            Self::All => Known::Has,
            Self::Each(each) => each.get(row).copied().unwrap_or(Known::Lacks),
        }
    }
}

// === impl Matches ===

impl Matches {
    /// No line contains the text.
    pub fn is_empty(&self) -> bool {
        self.templates.iter().chain([&self.raw]).all(|f| matches!(f, Found::None))
    }
}

// === impl Lines ===

impl Lines {
    /// Finds out which lines contain the text of `finder`.
    ///
    /// [`unpack_strings`](Self::unpack_strings) must have been called.
    pub fn search(&self, finder: &Finder<'_>) -> Matches {
        let templates =
            self.templates.iter().map(|t| self.in_pattern(&t.pattern, t.n_rows, finder)).collect();
        let raw = match self.raw.and_then(|c| self.columns.get(c)) {
            Some(Column::Raw(texts)) => self.in_texts(texts, finder),
            _ => Found::None,
        };
        Matches { templates, raw }
    }

    /// What a search found out about line `row`.
    pub fn known(&self, matches: &Matches, row: usize) -> Known {
        let Some((id, rank)) = self.rows.get(row) else { return Known::Lacks };
        let of = (*id as usize).checked_sub(1);
        let found = of.map_or(Some(&matches.raw), |i| matches.templates.get(i));
        found.map_or(Known::Lacks, |f| f.get(*rank as usize))
    }

    fn in_pattern(&self, pattern: &Pattern, n_rows: usize, finder: &Finder<'_>) -> Found {
        if pattern.pieces.iter().any(|p| finder.find(self.meta(p)).is_some()) {
            return Found::All;
        }
        let mut found = Found::None;
        for column in pattern.first_column..pattern.first_column + pattern.n_columns() {
            found = found.merge(self.in_column(column, n_rows, finder));
            if matches!(found, Found::All) {
                return found;
            }
        }
        found.merge(self.across(pattern, n_rows, finder.needle()))
    }

    fn in_column(&self, column: usize, n_rows: usize, finder: &Finder<'_>) -> Found {
        match self.columns.get(column) {
            None => Found::None,
            Some(Column::Const(text)) if finder.find(self.meta(text)).is_some() => Found::All,
            Some(Column::Const(_)) => Found::None,
            Some(Column::Table(table)) => self.in_table(table, finder),
            Some(Column::Raw(texts)) => self.in_texts(texts, finder),
            Some(kind) => {
                if !finder.needle().iter().all(|b| self.may_hold(kind, *b)) {
                    return Found::None;
                }
                self.values_that(column, n_rows, |value| finder.find(value).is_some())
            }
        }
    }

    /// Tests the values of a column one by one, once each entry of a table without variables.
    fn values_that(&self, column: usize, n_rows: usize, test: impl Fn(&[u8]) -> bool) -> Found {
        let mut value = Vec::new();
        let mut passes = |row| {
            value.clear();
            self.append_value(column, row, 0, &mut value);
            test(&value)
        };
        let mut found = Found::None;
        match self.columns.get(column) {
            // What it is depends on the time of the entry.
            Some(Column::Time { .. }) => return Found::Each(vec![Known::May; n_rows]),
            Some(Column::Table(table)) => {
                let mut known = vec![None; table.entries.len()];
                for row in 0..n_rows {
                    let entry = table.id(&self.ids, row).filter(|id| table.is_constant(*id));
                    let passes = match entry.and_then(|id| known.get_mut(id)) {
                        Some(known) => *known.get_or_insert_with(|| passes(row)),
                        None => passes(row),
                    };
                    if passes {
                        found.add(n_rows, row, Known::Has);
                    }
                }
            }
            _ => {
                for row in (0..n_rows).filter(|row| passes(*row)) {
                    found.add(n_rows, row, Known::Has);
                }
            }
        }
        found
    }

    fn in_table(&self, table: &Entries, finder: &Finder<'_>) -> Found {
        let of_entry = |e: &super::value::Entry| self.in_pattern(&e.pattern, e.n_rows, finder);
        let entries: Vec<Found> = table.entries.iter().map(of_entry).collect();
        let raw = match table.raw.and_then(|c| self.columns.get(c)) {
            Some(Column::Raw(texts)) => self.in_texts(texts, finder),
            _ => Found::None,
        };
        let all = entries.iter().chain([&raw]);
        if all.clone().all(|f| matches!(f, Found::None)) {
            return Found::None;
        }
        let by_rank = all.clone().any(|f| matches!(f, Found::Each(_)));
        let mut found = Found::None;
        for row in 0..table.n_rows {
            let of = table.id(&self.ids, row).map_or(Some(&raw), |id| entries.get(id));
            let rank = if by_rank { table.rank(&self.ids, row) } else { 0 };
            found.add(table.n_rows, row, of.map_or(Known::Lacks, |f| f.get(rank)));
        }
        found
    }

    fn in_texts(&self, texts: &Texts, finder: &Finder<'_>) -> Found {
        let mut found = Found::None;
        let all = self.strings();
        let ends = texts.ends(self.packed());
        let end = texts.at + ends.last().map_or(0, |e| *e as usize);
        let all = all.get(texts.at..end).unwrap_or_default();
        if finder.needle().is_empty() {
            return Found::All;
        }
        let mut at = 0;
        while let Some(hit) = all.get(at..).and_then(|rest| finder.find(rest)).map(|i| at + i) {
            let row = ends.partition_point(|e| *e as usize <= hit);
            let Some(end) = ends.get(row).map(|e| *e as usize) else { break };
            if hit + finder.needle().len() <= end {
                found.add(texts.n_rows, row, Known::Has);
                at = end;
            } else {
                // It straddles two of them.
                at = hit + 1;
            }
        }
        found
    }

    /// Rows where the needle may reach over the border of a piece and a value: all of them where finding
    /// out takes too long.
    fn across(&self, pattern: &Pattern, n_rows: usize, needle: &[u8]) -> Found {
        let (mut steps, mut looks) = (MAX_STEPS, MAX_LOOKS);
        let mut found = Found::None;
        for i in 0..pattern.n_columns() {
            let number = pattern.first_column + i;
            let Some(column) = self.columns.get(number) else { continue };
            let piece = self.meta(&pattern.pieces[i]);
            let held = needle.iter().take_while(|b| self.may_hold(column, **b)).count();
            for cut in 1..needle.len().min(piece.len().max(held) + 1) {
                let (front, back) = needle.split_at(cut);
                // From the piece before the value into it, or from the value out of it.
                let into =
                    piece.ends_with(front) && self.fits(pattern, 2 * i + 1, back, &mut steps);
                let out_of = cut <= held && self.fits(pattern, 2 * i + 2, back, &mut steps);
                if !into && !out_of {
                    continue;
                }
                if looks == 0 {
                    return Found::Each(vec![Known::May; n_rows]);
                }
                looks -= 1;
                found = found.merge(self.values_that(number, n_rows, |value| {
                    (into && (value.starts_with(back) || back.starts_with(value)))
                        || (out_of && value.ends_with(front))
                }));
            }
        }
        if let Found::Each(each) = &mut found {
            each.iter_mut().for_each(|known| *known = (*known).min(Known::May));
        }
        found
    }

    /// Whether the line may go on with `rest` from element `i` on: piece, value, piece, … Takes one of
    /// `steps`; when none are left, it may.
    fn fits(&self, pattern: &Pattern, i: usize, rest: &[u8], steps: &mut usize) -> bool {
        if rest.is_empty() || *steps == 0 {
            return true;
        }
        *steps -= 1;
        let mut follows = |text: &[u8]| {
            text.starts_with(rest)
                || rest
                    .strip_prefix(text)
                    .is_some_and(|rest| self.fits(pattern, i + 1, rest, steps))
        };
        if i.is_multiple_of(2) {
            return pattern.pieces.get(i / 2).is_some_and(|piece| follows(self.meta(piece)));
        }
        match self.columns.get(pattern.first_column + i / 2).filter(|_| i / 2 < pattern.n_columns())
        {
            None => false,
            Some(Column::Const(text)) => follows(self.meta(text)),
            Some(column) => {
                let held = rest.iter().take_while(|b| self.may_hold(column, **b)).count();
                held == rest.len()
                    || (0..=held).any(|n| self.fits(pattern, i + 1, &rest[n..], steps))
            }
        }
    }

    /// Whether a value of the column may have such a byte.
    fn may_hold(&self, column: &Column, byte: u8) -> bool {
        match column {
            Column::Const(text) => self.meta(text).contains(&byte),
            Column::Number(..) => byte.is_ascii_digit(),
            Column::Hex { others, .. } => {
                matches!(byte, b'0'..=b'9' | b'a'..=b'f') || others.iter().any(|(_, b)| *b == byte)
            }
            Column::Time { suffix, .. } => {
                matches!(byte, b'0'..=b'9' | b'-' | b':' | b'.' | b',' | b'T' | b't' | b' ' | b'_')
                    || self.meta(suffix).contains(&byte)
            }
            Column::Table(_) | Column::Raw(_) => true,
        }
    }
}
