//! What encoding lines takes and yields: `cargo bench -p skald-codec --bench lines -- FILE…`
//!
//! Each file holds lines; `FILE` with the ending `.ts` beside it may hold their times, 8 bytes little
//! endian each (else all are 0.3 s apart). Prints one row per file: size to raw, MB/s of encoding,
//! of building all lines, and of three searches; of CPU time, as Linux counts it.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use bytes::Bytes;
use memchr::memmem::Finder;
use skald_codec::lines::{Lines, LinesEncoder, TARGET_BYTES};

/// Each thing is done so often: the clock is coarse.
const REPEAT: usize = 10;

type Group<'a> = (&'a [u8], Vec<u32>, Vec<i64>);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    println!(
        "{:24} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "file", "ratio", "encode", "build", "absent", "timeout", "status"
    );
    for path in std::env::args().skip(1).filter(|arg| arg != "--bench") {
        let text = std::fs::read(&path)?;
        let times =
            std::fs::read(std::path::Path::new(&path).with_extension("ts")).unwrap_or_default();
        measure(&path, &text, &times)?;
    }
    Ok(())
}

fn groups<'a>(text: &'a [u8], times: &[u8]) -> Result<Vec<Group<'a>>> {
    let mut out: Vec<Group<'a>> = Vec::new();
    let (mut start, mut at) = (0, 0);
    let (mut ends, mut own) = (Vec::new(), Vec::new());
    for (i, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        at += line.len();
        ends.push(u32::try_from(at - start)?);
        let time = times.get(8 * i..).and_then(|t| t.first_chunk::<8>());
        own.push(time.map_or(i as i64 * 300_000_000, |t| i64::from_le_bytes(*t)));
        if at - start >= TARGET_BYTES || at == text.len() {
            out.push((&text[start..at], std::mem::take(&mut ends), std::mem::take(&mut own)));
            start = at;
        }
    }
    Ok(out)
}

fn measure(path: &str, text: &[u8], times: &[u8]) -> Result<()> {
    let groups = groups(text, times)?;
    let mut encoder = LinesEncoder::new(1);
    let speed = |began: u64| (REPEAT * text.len()) as f64 * 1e3 / (cpu_ns() - began).max(1) as f64;
    let began = cpu_ns();
    let mut encoded: Vec<Bytes> = Vec::new();
    for _ in 0..REPEAT {
        encoded.clear();
        for (text, ends, times) in &groups {
            let mut out = Vec::new();
            encoder.encode(text, ends, times, &mut out)?;
            encoded.push(out.into());
        }
    }
    let encode = speed(began);
    let size: usize = encoded.iter().map(Bytes::len).sum();
    let began = cpu_ns();
    let mut built = Vec::new();
    for (bytes, (text, _, times)) in (0..REPEAT).flat_map(|_| encoded.iter().zip(&groups)) {
        let lines = Lines::open(bytes.clone())?;
        lines.unpack_strings()?;
        built.clear();
        times.iter().enumerate().for_each(|(row, ts)| lines.append(row, *ts, &mut built));
        if built != *text {
            return Err(format!("{path}: lines changed").into());
        }
    }
    let build = speed(began);
    let mut searches = Vec::new();
    for needle in ["00000000-dead-4eef-a000-000000000000", "connection timeout", "status=50"] {
        let began = cpu_ns();
        for bytes in (0..REPEAT).flat_map(|_| &encoded) {
            let lines = Lines::open(bytes.clone())?;
            lines.unpack_strings()?;
            lines.search(&Finder::new(needle));
        }
        searches.push(speed(began));
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let ratio = size as f64 / text.len() as f64;
    let [absent, timeout, status] = searches[..] else { return Ok(()) };
    println!(
        "{name:24} {ratio:7.4} {encode:7.0} {build:7.0} {absent:8.0} {timeout:8.0} {status:8.0}"
    );
    Ok(())
}

/// Nanoseconds that this thread has run.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
