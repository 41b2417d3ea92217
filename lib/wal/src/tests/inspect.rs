//! Looking at a log from outside.

use std::path::Path;

use super::{DIR, append_all, config, open_with, segments};
use crate::inspect::{EndReport, Volume, inspect};
use crate::{Error, MemFs};

fn sizes(fs: &MemFs) -> Vec<usize> {
    let of = |name: String| fs.contents(&Path::new(DIR).join(name)).unwrap().len();
    segments(fs).into_iter().map(of).collect()
}

#[tokio::test]
async fn an_open_log_is_described_and_left_alone() {
    let fs = MemFs::new();
    assert!(matches!(inspect(&fs, Path::new(DIR)), Err(Error::Io { .. })), "no log");
    let opened = open_with(&fs, config()).unwrap();
    append_all(&opened.wal, 40).await;
    let report = inspect(&fs, Path::new(DIR)).unwrap();
    assert!(report.is_sound() && report.segments.len() > 1, "{report:?}");
    assert_eq!(report.segments.iter().map(|s| s.records).sum::<u64>(), 40);
    assert_eq!(report.segments.iter().filter_map(|s| s.last_seq).max(), Some(40));
    assert!(report.segments.iter().all(|s| s.header_ok && s.good_bytes == s.size));
    let mut expected = std::collections::BTreeMap::<(String, u8), Volume>::new();
    for record in super::expected(1..=40) {
        let volume = expected.entry((record.tenant.to_string(), record.kind)).or_default();
        volume.records += 1;
        volume.bytes += record.payload.len() as u64;
    }
    assert_eq!(report.volumes, expected);
}

#[tokio::test]
async fn unfinished_and_damaged_ends_are_told_apart() {
    let fs = MemFs::new();
    let opened = open_with(&fs, config()).unwrap();
    append_all(&opened.wal, 40).await;
    drop(opened);
    let names = segments(&fs);
    let (first, last) = (&names[0], &names[names.len() - 1]);
    let newest = Path::new(DIR).join(last);
    let mut bytes = fs.contents(&newest).unwrap();
    bytes.truncate(bytes.len() - 3);
    fs.put(&newest, bytes);
    let report = inspect(&fs, Path::new(DIR)).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.segments.last().unwrap().end, EndReport::Unfinished);
    let oldest = Path::new(DIR).join(first);
    let mut bytes = fs.contents(&oldest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs.put(&oldest, bytes);
    let before = sizes(&fs);
    let report = inspect(&fs, Path::new(DIR)).unwrap();
    assert!(!report.is_sound());
    let damaged = &report.segments[0];
    assert!(matches!(&damaged.end, EndReport::Damaged(_)), "{damaged:?}");
    assert!(damaged.good_bytes < damaged.size);
    assert_eq!(sizes(&fs), before, "nothing is cut");
}
