//! Lines stay in the write-ahead log: what memory holds of them, and what a disk that fails does to them.

use std::io;
use std::path::Path;

use bytes::Bytes;
use skald_codec::batch::LogsBuilder;
use skald_model::{ErrorKind, Labels, TenantId, TimeRange};
use skald_rpc::IngesterApi;
use skald_rpc::ingester::SelectEntries;
use skald_runtime::ByteSize;
use skald_wal::fs::mem::Op;
use skald_wal::{Filesystem, MemFs};

use crate::support::*;

/// Entries of one stream, each of `len` bytes.
fn wide(n: usize, times: std::ops::Range<i64>, len: usize) -> Bytes {
    let labels = labels(n);
    let mut b = LogsBuilder::new(0);
    b.stream(labels.id(), Some(&labels));
    for t in times {
        b.entry(t, wide_line(n, t, len).as_bytes(), &Labels::empty());
    }
    b.finish()
}

fn wide_line(n: usize, t: i64, len: usize) -> String {
    format!("{:<len$}", line(n, t))
}

/// Changes bytes of the files that are open.
fn replace(fs: &MemFs, from: &[u8], to: &[u8]) {
    let mut n_changed = 0;
    for name in fs.list(Path::new("/wal")).unwrap() {
        let path = Path::new("/wal").join(name);
        let mut bytes = fs.contents(&path).unwrap();
        let Some(at) = bytes.windows(from.len()).position(|w| w == from) else { continue };
        bytes[at..at + from.len()].copy_from_slice(to);
        let mut file = fs.open(&path).unwrap();
        file.set_len(0).unwrap();
        file.write_all(&bytes).unwrap();
        n_changed += 1;
    }
    assert_eq!(n_changed, 1, "files that have it");
}

#[tokio::test]
async fn lines_take_no_memory_once_they_are_on_disk() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    for round in 0..20 {
        node.push(wide(0, round * 100..(round + 1) * 100, 1000)).await.unwrap();
    }
    let used = node.ingester.memory_used();
    assert!(used < 20_000, "2 MB of lines take {used}");
    let lines = node.lines().await;
    assert_eq!(lines.len(), 2000);
    assert!(
        (0..2000)
            .zip(&lines)
            .all(|(t, (_, ts, text))| { *ts == t && *text == wide_line(0, t, 1000) })
    );
    // Nor does a replay take more.
    machine.kill(node);
    let node = machine.start().await;
    let replayed = node.ingester.memory_used();
    assert!(replayed <= used, "{replayed} after a replay, {used} before");
    assert_eq!(node.lines().await, lines);
}

#[tokio::test]
async fn a_stream_larger_than_a_block_is_flushed_in_parts() {
    let mut machine = Machine::new();
    machine.config.max_log_block_bytes = ByteSize(25_000);
    let node = machine.start().await;
    for round in 0..8 {
        node.push(wide(0, round * 10..(round + 1) * 10, 1000)).await.unwrap();
        node.push(lines(1..4, round, Send::Labels)).await.unwrap();
    }
    let before = node.lines().await;
    node.ingester.flush(0).await.unwrap();
    assert_eq!(node.lines().await, before);
    let view = node.catalog.refresh(&TenantId::single()).await.unwrap();
    assert!((3..8).contains(&view.blocks.len()), "{} blocks", view.blocks.len());
    let ours = |n: usize| before.iter().filter(|(l, _, _)| *l == labels(n)).count();
    assert_eq!((ours(0), ours(1), ours(3)), (80, 8, 8));
}

#[tokio::test]
async fn entries_of_short_lines_count_as_what_they_take_while_a_block_is_made() {
    let mut machine = Machine::new();
    machine.config.max_log_block_bytes = ByteSize(25_000);
    let node = machine.start().await;
    // Of 20 bytes each, with an entry of three times as much.
    for round in 0..20 {
        node.push(wide(0, round * 50..(round + 1) * 50, 20)).await.unwrap();
    }
    let before = node.lines().await;
    node.ingester.flush(0).await.unwrap();
    assert_eq!(node.lines().await, before);
    let view = node.catalog.refresh(&TenantId::single()).await.unwrap();
    assert!((3..6).contains(&view.blocks.len()), "{} blocks", view.blocks.len());
}

#[tokio::test]
async fn the_newest_of_many_streams_are_found_whatever_the_order_of_the_pushes() {
    let node = Machine::new().start().await;
    for t in [5, 3, 9, 1, 7, 8, 2, 6, 4, 0] {
        node.push(lines(0..4, t * 10, Send::Labels)).await.unwrap();
        // Retried: counts once.
        node.push(lines(0..4, t * 10, Send::Labels)).await.unwrap();
    }
    let select = |limit, backward| SelectEntries { limit, backward, ..everything() };
    for limit in 1..50 {
        for backward in [false, true] {
            let request = select(limit, backward);
            let found =
                node.ingester.select_entries(&TenantId::single(), &request).await.unwrap().data;
            let mut times: Vec<i64> =
                found.iter().flat_map(|s| s.entries.iter().map(|e| e.timestamp_ns)).collect();
            times.sort_unstable();
            let n = i64::try_from(limit.div_ceil(4).min(10)).unwrap();
            let wanted = if backward { 10 - n..10 } else { 0..n };
            let want: Vec<i64> = wanted.flat_map(|t| [t * 10; 4]).collect();
            assert_eq!(times, want, "limit {limit} backward {backward}");
        }
    }
}

#[tokio::test]
async fn a_damaged_line_fails_queries_and_costs_a_flush_no_other() {
    let machine_fs;
    let node = {
        let mut machine = Machine::new();
        machine_fs = machine.fs.clone();
        machine.start().await
    };
    node.push(lines(0..3, 7, Send::Labels)).await.unwrap();
    node.push(lines(1..2, 8, Send::Ids)).await.unwrap();
    replace(&machine_fs, b"stream 1 at 7", b"stream 1 at 9");
    let tenant = TenantId::single();
    let failed = node.ingester.select_entries(&tenant, &everything()).await.unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Corrupt);
    let undamaged = SelectEntries { range: TimeRange::new(8, 9), ..everything() };
    let found = node.ingester.select_entries(&tenant, &undamaged).await.unwrap().data;
    assert_eq!(found[0].entries[0].text(), line(1, 8));
    node.ingester.flush(0).await.unwrap();
    let texts: Vec<String> = node.lines().await.into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, [line(0, 7), line(1, 8), line(2, 7)]);
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_for_a_moment_costs_nothing() {
    let mut machine = Machine::new();
    let node = machine.start().await;
    node.push(lines(0..3, 1, Send::Labels)).await.unwrap();
    machine.fs.fail_next(Op::Read, io::ErrorKind::Other);
    let failed = node.ingester.select_entries(&TenantId::single(), &everything()).await;
    assert_eq!(failed.unwrap_err().kind, ErrorKind::Unavailable);
    machine.fs.fail_next(Op::Read, io::ErrorKind::Other);
    node.ingester.flush(0).await.unwrap();
    assert_eq!(node.lines().await.len(), 3);
}
