//! Gram filters: which runs of rows may hold a text, so that a search reads only those.
//!
//! Every six bytes that follow each other in a line are a gram; one in four, picked by its hash
//! alone, sets a bit. A needle's picked grams must all be set where it occurs, whatever stands around
//! it. Lies beside the stream directory (`skald.grams.offset`, `skald.grams.length`); blocks without
//! it are searched whole. `docs/formats/log-block.md`.
//!
//! ```text
//! grams := version:u8 = 1  run*
//! run   := uvarint(n_rows)  log2_bits:u8  bits, 2^(log2_bits − 3) bytes
//! ```

use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use skald_model::labels::{put_uvarint, take_uvarint};

use crate::chunks::bad;
use crate::selection::Rows;

const VERSION: u8 = 1;
/// Bytes of a gram.
const GRAM: usize = 6;
/// A gram counts when so many top bits of its hash are 0.
const PICK_SHIFT: u32 = 62;
/// A run ends after so many bytes of lines: about a page.
const RUN_BYTES: usize = 1 << 20;
/// Bits while a run is collected; halves are laid over each other then.
const LOG2_BITS: u8 = 20;
const MIN_LOG2_BITS: u8 = 6;
const BLOCK: usize = 1024;

/// Collects the grams of lines in row order.
#[derive(Debug)]
pub(super) struct GramsWriter {
    out: Vec<u8>,
    bits: Vec<u64>,
    n_rows: u64,
    n_bytes: usize,
}

/// The filters of a block.
#[derive(Debug)]
pub(crate) struct Grams {
    bytes: Bytes,
    /// In row order; none if a newer writer made them.
    runs: Option<Vec<Run>>,
}

/// Where the filter of a run of rows lies.
#[derive(Debug)]
struct Run {
    rows: Range<usize>,
    /// As it stands in the block: its last bytes are the bits.
    at: Range<usize>,
    log2: u8,
}

/// The grams of needles: what a run must have all of.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(Vec<u32>);

// === impl GramsWriter ===

impl Default for GramsWriter {
    fn default() -> Self {
        let bits = vec![0; 1 << (LOG2_BITS - 6)];
        Self { out: vec![VERSION], bits, n_rows: 0, n_bytes: 0 }
    }
}

impl GramsWriter {
    pub(super) fn push(&mut self, line: &[u8]) {
        let bits = &mut self.bits;
        each_gram(line, |hash| {
            let at = hash as usize & ((1 << LOG2_BITS) - 1);
            if let Some(word) = bits.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        });
        self.n_rows += 1;
        self.n_bytes += line.len();
    }

    /// Bytes of memory that grow with what was added.
    pub(super) fn memory(&self) -> usize {
        self.out.len()
    }

    /// Whether the run is as long as a page.
    pub(super) fn is_full(&self) -> bool {
        self.n_bytes >= RUN_BYTES
    }

    /// Ends a run.
    pub(super) fn seal(&mut self) {
        if self.n_rows == 0 {
            return;
        }
        let mut log2 = LOG2_BITS;
        let mut len = self.bits.len();
        // Half full is about as good as it gets for the space.
        while log2 > MIN_LOG2_BITS {
            let (low, high) = self.bits[..len].split_at(len / 2);
            let ones: u32 = low.iter().zip(high).map(|(a, b)| (a | b).count_ones()).sum();
            if ones as usize > len * 32 / 2 {
                break;
            }
            len /= 2;
            log2 -= 1;
            let (low, high) = self.bits.split_at_mut(len);
            low.iter_mut().zip(high).for_each(|(a, b)| *a |= *b);
        }
        put_uvarint(&mut self.out, self.n_rows);
        self.out.push(log2);
        self.out.extend(self.bits[..len].iter().flat_map(|word| word.to_le_bytes()));
        self.bits.fill(0);
        (self.n_rows, self.n_bytes) = (0, 0);
    }

    /// Takes over a run of another block, as [`runs`] gives it; ends the one before.
    pub(super) fn append(&mut self, run: &[u8]) {
        self.seal();
        self.out.extend_from_slice(run);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.seal();
        self.out
    }
}

// === impl Grams ===

impl Grams {
    /// Finds the runs of filters over `n_rows` rows.
    pub(super) fn parse(bytes: Bytes, n_rows: usize) -> Result<Self, ParquetError> {
        let (version, mut rest) = bytes.split_first().ok_or_else(early)?;
        if *version != VERSION {
            return Ok(Self { bytes, runs: None });
        }
        let (mut runs, mut row) = (Vec::new(), 0);
        while !rest.is_empty() {
            let start = bytes.len() - rest.len();
            let (rows, log2) = take_run(&mut rest, row)?;
            row = rows.end;
            runs.push(Run { rows, at: start..bytes.len() - rest.len(), log2 });
        }
        if row != n_rows {
            return Err(bad("gram filters do not cover the rows"));
        }
        Ok(Self { bytes, runs: Some(runs) })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len() + self.runs.as_ref().map_or(0, |runs| size_of_val(runs.as_slice()))
    }

    /// The rows and bytes of each run, as they stand in the block.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Range<usize>, Bytes)> {
        let runs = self.runs.as_deref().unwrap_or_default().iter();
        runs.map(|run| (run.rows.clone(), self.bytes.slice(run.at.clone())))
    }

    fn bits(&self, run: &Run) -> &[u8] {
        let len = 1usize << (run.log2 - 3);
        run.at
            .end
            .checked_sub(len)
            .and_then(|start| self.bytes.get(start..run.at.end))
            .unwrap_or(&[])
    }
}

/// The rows of a run that begins at `row`, and the size of its filter.
fn take_run(rest: &mut &[u8], row: usize) -> Result<(Range<usize>, u8), ParquetError> {
    let n = take_uvarint(rest).and_then(|n| usize::try_from(n).ok());
    let end = n.and_then(|n| row.checked_add(n)).ok_or_else(early)?;
    let (log2, tail) = rest.split_first().ok_or_else(early)?;
    if !(MIN_LOG2_BITS..=LOG2_BITS).contains(log2) {
        return Err(bad("gram filter of unknown size"));
    }
    *rest = tail.get(1 << (log2 - 3)..).ok_or_else(early)?;
    Ok((row..end, *log2))
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn new(needles: &[Bytes]) -> Self {
        let mut hashes = Vec::new();
        for needle in needles {
            each_gram(needle, |hash| hashes.push(hash));
        }
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes)
    }

    /// Nothing is known that could rule out a run.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of `rows` whose lines may hold all needles.
    pub(super) fn among(&self, rows: &Rows, grams: &Grams) -> Rows {
        // A newer writer's filter says nothing to us.
        let Some(runs) = &grams.runs else { return rows.clone() };
        let meeting = rows.overlapping(runs, |run| run.rows.clone());
        let may_have = meeting.filter(|run| self.may_be_in(grams.bits(run), run.log2));
        rows.intersect(&may_have.map(|run| run.rows.clone()).collect())
    }

    fn may_be_in(&self, bits: &[u8], log2: u8) -> bool {
        self.0.iter().all(|hash| {
            let at = *hash as usize & ((1 << log2) - 1);
            bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
        })
    }
}

fn early() -> ParquetError {
    bad("gram filters end too early")
}

/// Calls `each` with the hashes of the grams that count.
fn each_gram(text: &[u8], mut each: impl FnMut(u32)) {
    let n = (text.len() + 1).saturating_sub(GRAM);
    let mut picked = [0u64; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let part = &text[start..text.len().min(start + BLOCK + GRAM - 1)];
        let mut found = 0;
        // No branch depends on the text here: which grams count cannot be predicted.
        let mut take = |gram: u64| {
            picked[found % BLOCK] = gram;
            found += usize::from(pick(gram));
        };
        let wide = part.windows(8).map(|w| w.first_chunk::<8>().copied().unwrap_or_default());
        wide.for_each(|w| take(u64::from_le_bytes(w) & ((1 << (8 * GRAM)) - 1)));
        let rest = part.len().saturating_sub(7).min(n - start);
        part[rest..].windows(GRAM).for_each(|w| take(narrow(w)));
        for gram in &picked[..found.min(BLOCK)] {
            if !is_clutter(*gram) {
                each(hash(*gram));
            }
        }
    }
}

fn narrow(gram: &[u8]) -> u64 {
    gram.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn pick(gram: u64) -> bool {
    gram.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> PICK_SHIFT == 0
}

fn hash(gram: u64) -> u32 {
    let mixed = (gram ^ gram >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

/// Digits of times and measurements: different in every line, and looked for by nobody.
fn is_clutter(gram: u64) -> bool {
    let bytes: Range<usize> = 0..GRAM;
    let byte = |i: usize| gram.to_le_bytes()[i];
    let is_mark = |b: u8| matches!(b, b'.' | b':' | b',');
    bytes.clone().all(|i| byte(i).is_ascii_digit() || is_mark(byte(i)))
        && bytes.clone().any(|i| is_mark(byte(i)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u64) -> u64 {
        let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ x >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn line(i: u64) -> String {
        format!("t=12:00:{:02}.{:06} GET /a/{:016x} ok", i % 60, i % 1_000_000, noise(i))
    }

    fn grams(lines: &[String]) -> Vec<u8> {
        let mut writer = GramsWriter::default();
        for line in lines {
            writer.push(line.as_bytes());
            if writer.is_full() {
                writer.seal();
            }
        }
        writer.finish()
    }

    fn search(grams: &[u8], n_rows: usize, needle: &str) -> Rows {
        let wanted = Wanted::new(&[Bytes::copy_from_slice(needle.as_bytes())]);
        let grams = Grams::parse(Bytes::copy_from_slice(grams), n_rows).unwrap();
        wanted.among(&Rows::all(n_rows), &grams)
    }

    fn rows(lines: &[String], needle: &str) -> Rows {
        search(&grams(lines), lines.len(), needle)
    }

    #[test]
    fn no_line_with_the_needle_is_ruled_out() {
        let lines: Vec<String> = (0..60_000).map(line).collect();
        let grams = grams(&lines);
        for at in [0usize, 1, 20_000, 45_678, 59_999] {
            let whole = &lines[at];
            for cut in 0..whole.len() {
                let found = rows(&lines[at..=at], &whole[cut..]);
                assert_eq!(found.len(), 1, "{}", &whole[cut..]);
            }
            let found = search(&grams, lines.len(), &whole[whole.len() - 19..]);
            assert!(found.ranges().iter().any(|r| r.contains(&at)));
        }
    }

    #[test]
    fn most_runs_without_the_needle_are_ruled_out() {
        let lines: Vec<String> = (0..100_000).map(line).collect();
        let (grams, n) = (grams(&lines), lines.len());
        let absent = |i: u64| format!("GET /a/{:016x} ok", noise(1 << 40 | i));
        let read: usize = (0..50).map(|i| search(&grams, n, &absent(i)).len()).sum();
        assert!(read * 4 < n * 50, "{read} rows");
        assert!(search(&grams, n, "connection timeout while waiting").is_empty());
        assert_eq!(search(&grams, n, "ok").len(), n, "too short to tell");
        assert_eq!(rows(&[], "connection timeout").len(), 0);
    }

    #[test]
    fn long_lines_are_covered_across_blocks_of_grams() {
        let text: String = (0..400u64).map(|i| format!("{:016x}", noise(i))).collect();
        let lines = [text.clone()];
        for at in (0..text.len() - 30).step_by(7) {
            assert_eq!(rows(&lines, &text[at..at + 30]).len(), 1, "{at}");
        }
    }

    #[test]
    fn damaged_filters_are_errors() {
        let mut writer = GramsWriter::default();
        writer.push(b"some line of text");
        let whole = writer.finish();
        let wanted = Wanted::new(&[Bytes::from_static(b"other line of text")]);
        let rows = |grams: &[u8], n| {
            let grams = Grams::parse(Bytes::copy_from_slice(grams), n)?;
            Ok::<_, ParquetError>(wanted.among(&Rows::all(n), &grams))
        };
        assert!(rows(&whole, 1).is_ok());
        assert!(rows(&whole, 2).is_err());
        for len in 0..whole.len() {
            assert!(rows(&whole[..len], 1).is_err(), "{len}");
        }
        assert_eq!(rows(&[2, 9, 9], 7).unwrap().len(), 7, "of a newer version");
        assert!(rows(&[1, 1, 63], 1).is_err());
    }
}
