//! The bytes of version 1, kept for ever.

use std::path::Path;

use super::{DIR, Owned, open, tenant};
use crate::format::{Header, segment_name};
use crate::{Error, MemFs};

const UUID: &str = "000102030405060708090a0b0c0d0e0f";
const SEGMENT: &str = include_str!("../../testdata/segment-v1.hex");

fn bytes() -> Vec<u8> {
    let digits: Vec<u8> = SEGMENT.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn records() -> Vec<Owned> {
    vec![
        Owned { seq: 7, kind: 1, tenant: tenant(1), payload: b"first".to_vec() },
        Owned { seq: 9, kind: 255, tenant: tenant(2), payload: Vec::new() },
    ]
}

#[tokio::test]
async fn version_1_is_read() {
    let fs = MemFs::new();
    fs.put(&Path::new(DIR).join("id"), UUID.as_bytes().to_vec());
    fs.put(&Path::new(DIR).join(segment_name(7)), bytes());
    let opened = open(&fs);
    assert_eq!(opened.records, records());
    assert_eq!(opened.metrics.corrupt_records.get(), 0);
    assert_eq!(opened.wal.last_seq(), 9);
}

#[tokio::test]
async fn version_1_is_written() {
    let fs = MemFs::new();
    fs.put(&Path::new(DIR).join("id"), UUID.as_bytes().to_vec());
    let wal = open(&fs).wal;
    wal.raise_seq(6);
    let [a, b] = &records()[..] else { panic!("two records") };
    let seq = wal.append(&a.tenant, a.kind, &[b"fi", b"rst"]).unwrap().seq;
    wal.commit(seq).await.unwrap();
    wal.raise_seq(8);
    let seq = wal.append(&b.tenant, b.kind, &[]).unwrap().seq;
    wal.commit(seq).await.unwrap();
    let written = fs.contents(&Path::new(DIR).join(segment_name(7))).unwrap();
    let hex: String = written.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(written, bytes(), "{hex}");
}

#[test]
fn a_newer_version_is_left_alone() {
    let fs = MemFs::new();
    fs.put(&Path::new(DIR).join("id"), UUID.as_bytes().to_vec());
    let header = Header { version: 2, first_seq: 5, uuid: [1; 16] }.encode().to_vec();
    fs.put(&Path::new(DIR).join(segment_name(5)), header.clone());
    let refused = super::open_with(&fs, super::config()).err().unwrap();
    assert!(matches!(refused, Error::Version { version: 2, .. }), "{refused}");
    assert_eq!(fs.contents(&Path::new(DIR).join(segment_name(5))).unwrap(), header);
}
