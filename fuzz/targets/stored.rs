//! What each run of the fuzzer does with bytes that are kept without a checksum of their own: chunks of samples, packs
//! of lines, batches. An error or an answer, never a panic; and what can be read is bounded by what was said first.

use bytes::Bytes;
use skald_codec::batch::{Batch, Samples};
use skald_codec::chunk;
use skald_codec::lines::{Fields, Lines, Syntax};
use skald_model::{Series, TimeRange};

/// Lines of a pack that are built. A few bytes may stand for a million equal ones.
const MAX_LINES: usize = 4096;
/// A line that says to be longer is not built.
const MAX_TEXT: usize = 16 << 20;

/// A chunk alone, then cut in two as blocks keep it.
pub(crate) fn chunk(data: &[u8]) {
    let head = chunk::peek(data);
    let mut series = Series::default();
    let all = TimeRange::new(i64::MIN, i64::MAX);
    if chunk::decode_into(data, all, &mut series).is_ok() {
        let n = head.map_or(0, |h| h.count);
        let read = series.timestamps.len() + series.histograms.len();
        assert!(read <= n, "{read} samples of {n}");
    }
    let part = TimeRange::new(-1000, 1000);
    let _ = chunk::decode_into(data, part, &mut Series::default());
    if let Ok(Some((grid, _))) = chunk::grid::split(data) {
        let mut bytes = Vec::new();
        grid.put(0, &mut bytes);
        let _ = chunk::grid::Grid::take(0, &mut &bytes[..]);
    }
    if let Ok(grid) = chunk::grid::Grid::take(7, &mut &*data) {
        let _ = grid.times(part);
    }
}

/// A pack: all lines, as they are and reduced to a field, and a search in it.
pub(crate) fn lines(data: &[u8]) {
    let _ = Lines::peek(data);
    let Ok(lines) = Lines::open(Bytes::copy_from_slice(data)) else { return };
    if lines.text_len() > MAX_TEXT || lines.unpack_strings().is_err() {
        return;
    }
    let finder = memchr::memmem::Finder::new(b"er");
    let found = lines.search(&finder);
    let wanted = Fields { syntax: Syntax::Json, names: vec!["level".into()] };
    let plan = lines.reduce(&wanted);
    let (mut line, mut reduced) = (Vec::new(), Vec::new());
    for row in 0..lines.len().min(MAX_LINES) {
        line.clear();
        reduced.clear();
        lines.append(row, 1_700_000_000_000_000_000, &mut line);
        lines.append_reduced(&plan, row, 0, &mut reduced);
        let _ = lines.known(&found, row);
        if line.len() > MAX_TEXT {
            return;
        }
    }
}

/// A batch, which is a record of the log and a request between processes.
pub(crate) fn batch(data: &[u8]) {
    let Ok(mut batch) = Batch::parse(data) else { return };
    let mut samples = Samples::default();
    while let Ok(Some(series)) = batch.next_series() {
        let _ = series.decode(&mut samples);
    }
    let Ok(mut batch) = Batch::parse(data) else { return };
    while let Ok(Some(mut stream)) = batch.next_stream() {
        while let Ok(Some(entry)) = stream.next_entry() {
            assert!(entry.line.len() + entry.metadata.len() <= data.len());
        }
    }
    let Ok(batch) = Batch::parse(data) else { return };
    let _ = batch.metadata();
}
