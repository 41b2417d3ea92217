//! The bytes of version 1, kept for ever, and bytes that are none.

use bytes::Bytes;
use proptest::prelude::*;
use skald_proto::catalog::{Checkpoint, Commit, DeleteRequest, RemovedBlock};

use super::{block, tenant};
use crate::frame::{self, Hint};
use crate::{Author, Error, MetricMetadata, Signal, path};

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn metadata() -> MetricMetadata {
    MetricMetadata {
        name: "up".to_owned(),
        kind: "gauge".to_owned(),
        help: "help".to_owned(),
        unit: "s".to_owned(),
    }
}

fn commit() -> Commit {
    Commit {
        version: 1,
        number: 7,
        commit_uuid: Bytes::from_static(b"0123456789abcdef"),
        author: Some(Author { replica: "ingester-0".to_owned(), epoch: 2 }),
        time_ms: 1_700_000_000_000,
        adds: vec![block("01ARZ3NDEKTSV4RRFFQ69G5FAV")],
        removes: vec!["01ARZ3NDEKTSV4RRFFQ69G5FAW".to_owned()],
        watermark: [("ingester-0".to_owned(), 99)].into(),
        metadata: vec![metadata()],
        ..Commit::default()
    }
}

fn delete() -> DeleteRequest {
    DeleteRequest {
        id: "0badcafe".to_owned(),
        query: r#"{app="x"} |= "y""#.to_owned(),
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_000_000_000_009,
        created_ms: 1_700_000_000_001,
        ..DeleteRequest::default()
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        version: 1,
        number: 100,
        blocks: vec![block("01ARZ3NDEKTSV4RRFFQ69G5FAV")],
        watermark: [("ingester-0".to_owned(), 99)].into(),
        epochs: [("ingester-0".to_owned(), 2)].into(),
        metadata: vec![metadata()],
        removed: vec![RemovedBlock {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAW".to_owned(),
            removed_ms: 1_700_000_000_000,
            signal: Signal::Logs.into(),
        }],
        ..Checkpoint::default()
    }
}

#[test]
fn version_1_is_read_and_written() {
    let at = path::manifest(&tenant());
    let golden = bytes(include_str!("../../testdata/commit-v1.hex"));
    assert_eq!(hex(&frame::encode_commit(&commit())), hex(&golden));
    assert_eq!(frame::decode_commit(&at, &golden, 7).unwrap(), commit());
    let golden = bytes(include_str!("../../testdata/checkpoint-v1.hex"));
    assert_eq!(hex(&frame::encode_checkpoint(&checkpoint())), hex(&golden));
    assert_eq!(frame::decode_checkpoint(&at, &golden, 100).unwrap(), checkpoint());
    let golden = bytes(include_str!("../../testdata/hint-v1.hex"));
    assert_eq!(hex(&frame::encode_hint(Hint { checkpoint: 300 })), hex(&golden));
    assert_eq!(frame::decode_hint(&at, &golden).unwrap(), Hint { checkpoint: 300 });
}

#[test]
fn version_2_has_requests_to_delete() {
    let at = path::manifest(&tenant());
    let forget_deletes = vec!["1badcafe".to_owned()];
    let commit = Commit { version: 2, deletes: vec![delete()], forget_deletes, ..commit() };
    let golden = bytes(include_str!("../../testdata/commit-v2.hex"));
    assert_eq!(hex(&frame::encode_commit(&commit)), hex(&golden));
    assert_eq!(frame::decode_commit(&at, &golden, 7).unwrap(), commit);
    let checkpoint = Checkpoint { version: 2, deletes: vec![delete()], ..checkpoint() };
    let golden = bytes(include_str!("../../testdata/checkpoint-v2.hex"));
    assert_eq!(hex(&frame::encode_checkpoint(&checkpoint)), hex(&golden));
    assert_eq!(frame::decode_checkpoint(&at, &golden, 100).unwrap(), checkpoint);
}

#[test]
fn version_3_has_requests_to_delete_samples() {
    let at = path::manifest(&tenant());
    let of_samples = DeleteRequest {
        id: "2badcafe".to_owned(),
        query: r#"up{job="x"}"#.to_owned(),
        start_ns: i64::MIN,
        signal: Signal::Metrics.into(),
        ..delete()
    };
    let deletes = vec![delete(), of_samples];
    let commit = Commit { version: 3, deletes: deletes.clone(), ..commit() };
    let golden = bytes(include_str!("../../testdata/commit-v3.hex"));
    assert_eq!(hex(&frame::encode_commit(&commit)), hex(&golden));
    assert_eq!(frame::decode_commit(&at, &golden, 7).unwrap(), commit);
    let checkpoint = Checkpoint { version: 3, deletes: deletes.clone(), ..checkpoint() };
    let golden = bytes(include_str!("../../testdata/checkpoint-v3.hex"));
    assert_eq!(hex(&frame::encode_checkpoint(&checkpoint)), hex(&golden));
    assert_eq!(frame::decode_checkpoint(&at, &golden, 100).unwrap(), checkpoint);
    // No version is higher than what it says needs.
    assert_eq!(frame::version(deletes.iter(), false), 3);
    assert_eq!(frame::version(deletes[..1].iter(), false), 2);
    assert_eq!((frame::version([].iter(), true), frame::version([].iter(), false)), (2, 1));
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let at = path::manifest(&tenant());
    let newer = frame::encode_commit(&Commit { version: 4, ..commit() });
    let error = frame::decode_commit(&at, &newer, 7).unwrap_err();
    assert!(matches!(error, Error::Version { version: 4, .. }), "{error}");
    let mut newer = frame::encode_commit(&commit()).to_vec();
    newer[4] = 9;
    let body = newer.len() - 4;
    let crc = crc32c::crc32c(&newer[..body]);
    newer[body..].copy_from_slice(&crc.to_le_bytes());
    let error = frame::decode_commit(&at, &newer.into(), 7).unwrap_err();
    assert!(matches!(error, Error::Version { version: 9, .. }), "{error}");
}

#[test]
fn ids_that_could_leave_their_directory_are_damage() {
    let at = path::manifest(&tenant());
    let evil = Commit { removes: vec!["../../x".to_owned()], ..commit() };
    let error = frame::decode_commit(&at, &frame::encode_commit(&evil), 7).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let evil = Checkpoint { blocks: vec![block("a/b")], ..checkpoint() };
    let error = frame::decode_checkpoint(&at, &frame::encode_checkpoint(&evil), 100).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = frame::encode_commit(&commit()).to_vec();
        let i = at.index(bytes.len());
        bytes[i] ^= 1 << bit;
        prop_assert!(frame::decode_commit(&path::manifest(&tenant()), &bytes.into(), 7).is_err());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let at = path::manifest(&tenant());
        let bytes = Bytes::from(bytes);
        prop_assert!(frame::decode_commit(&at, &bytes, 7).is_err());
        prop_assert!(frame::decode_checkpoint(&at, &bytes, 7).is_err());
        prop_assert!(frame::decode_hint(&at, &bytes).is_err());
    }
}
