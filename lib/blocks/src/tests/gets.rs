//! How many GETs a query of a log block takes when the footer is cached: three at most.

use skald_model::{Matcher, TimeRange};

use super::*;
use crate::{LogSelect, StatsSnapshot};

const SEC: i64 = 1_000_000_000;
const LINES: i64 = 5_000;

/// Lines that do not compress to nothing, of `app` number `s`; every one has its number in hex.
fn stream(s: i64) -> (Labels, Vec<LogEntry>) {
    let noise = |i: i64| (i * 2_654_435_761 + s).wrapping_mul(6_364_136_223_846_793_005);
    let line = |i: i64| {
        let (a, b) = (noise(i).cast_unsigned(), noise(i + 7).cast_unsigned());
        format!("level=info msg=\"request {i}\" trace={a:016x}{b:016x} took={}ms", i % 977)
    };
    let entries = (0..LINES).map(|i| entry(i * SEC, &line(i), &[("pod", &format!("p{}", i % 9))]));
    (labels(&[("app", &format!("app-{s:02}"))]), entries.collect())
}

/// What `select` costs of a block of which nothing is known but the footer, and what once more.
async fn cost(
    matchers: &[Matcher],
    range: TimeRange,
    needles: &[Bytes],
    n_found: usize,
) -> (StatsSnapshot, StatsSnapshot) {
    let shelf = Shelf::new();
    let block = log_block((0..24).map(stream).collect(), options());
    let reader = shelf.logs(&block).await;
    let mut costs = Vec::new();
    for _ in 0..2 {
        let (store, cache) = (Arc::clone(&shelf.store), Arc::clone(&shelf.cache));
        let reader = LogReader::open(store, &shelf.tenant, reader.meta(), cache).await.unwrap();
        let found = reader.select(matchers, range, needles, LogSelect::default()).await.unwrap();
        assert_eq!(found.iter().map(|s| s.entries.len()).sum::<usize>(), n_found);
        costs.push(reader.read_stats().snapshot());
    }
    (costs[0], costs[1])
}

#[tokio::test]
async fn a_needle_takes_three_gets() {
    let line = stream(17).1[3_210].text().to_owned();
    let at = line.find("trace=").unwrap();
    let needle = [Bytes::from(line[at + 6..at + 38].to_owned())];
    let (cold, warm) = cost(&[], TimeRange::ALL, &needle, 1).await;
    assert!(cold.gets <= 3 && warm.gets <= 2, "{cold:?} {warm:?}");
}

#[tokio::test]
async fn an_absent_needle_takes_one_get() {
    let needle = [Bytes::from_static(b"there is no such text")];
    let (cold, warm) = cost(&[], TimeRange::ALL, &needle, 0).await;
    assert!(cold.gets <= 1 && warm.gets == 0, "{cold:?} {warm:?}");
}

#[tokio::test]
async fn a_part_of_one_stream_takes_three_gets() {
    let app = [Matcher::equal("app", "app-09")];
    let range = TimeRange::new(1000 * SEC, 3000 * SEC);
    let (cold, warm) = cost(&app, range, &[], 2000).await;
    assert!(cold.gets <= 3 && warm.gets <= 2, "{cold:?} {warm:?}");
}
