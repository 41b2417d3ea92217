//! Disks that fail and disks that are full.

use std::io::ErrorKind as Io;
use std::path::Path;

use skald_model::ErrorKind;
use skald_runtime::ByteSize;

use super::{DIR, append, append_all, config, expected, open, open_with, until};
use crate::fs::mem::{Op, Tear};
use crate::{Config, Error, Filesystem, MemFs};

#[tokio::test]
async fn a_failed_sync_poisons_the_log_for_good() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 5).await;
    let failed = wal.failed();
    fs.fail_next(Op::Sync, Io::Other);
    let seq = append(&wal).unwrap();
    let error = wal.commit(seq).await.unwrap_err();
    assert!(matches!(error, Error::Poisoned { op: "sync", .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(failed.await, Error::Poisoned { .. }));
    let syncs = fs.count(Op::Sync);
    assert!(matches!(append(&wal), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.commit(seq).await, Err(Error::Poisoned { .. })));
    assert!(matches!(wal.close().await, Err(Error::Poisoned { .. })));
    assert_eq!(fs.count(Op::Sync), syncs);
    assert_eq!(open(&fs.after_power_loss(Tear::Lose)).records, expected(1..=5));
}

#[tokio::test]
async fn a_failed_write_poisons_the_log_too() {
    for op in [Op::Write, Op::Create] {
        let fs = MemFs::new();
        let wal = open(&fs).wal;
        fs.fail_next(op, Io::PermissionDenied);
        let seq = append(&wal).unwrap();
        assert!(matches!(wal.commit(seq).await, Err(Error::Poisoned { .. })));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_losing_a_record() {
    let fs = MemFs::new();
    let opened = open(&fs);
    let wal = opened.wal;
    append_all(&wal, 10).await;
    fs.set_capacity(Some(fs.used() + 300));
    let refused = loop {
        let seq = append(&wal).unwrap();
        if let Err(e) = wal.commit(seq).await {
            break e;
        }
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.id(), Some("err-skald-wal-disk-full"));
    let (last, durable) = (wal.last_seq(), wal.durable_seq());
    assert_eq!(last, durable + 1);
    assert!(matches!(append(&wal), Err(Error::DiskFull { .. })));
    assert!(matches!(wal.commit(last).await, Err(Error::DiskFull { .. })));
    // What a start would find now: nothing that is torn, all that was acknowledged.
    fs.set_capacity(None);
    assert_eq!(open(&fs.after_kill()).records[..], expected(1..=durable));
    wal.truncate_before(0).unwrap();
    until(|| wal.durable_seq() == last);
    // The record that was refused is there, since later ones may rely on it.
    until(|| append(&wal).is_ok());
    drop(wal);
    assert_eq!(open(&fs).records, expected(1..=last + 1));
    assert_eq!(opened.metrics.corrupt_records.get(), 0);
}

#[tokio::test]
async fn refuses_before_the_disk_is_full() {
    let fs = MemFs::new();
    fs.set_capacity(Some(100 << 10));
    let config = Config { min_free: ByteSize(8 << 10), ..config() };
    let wal = open_with(&fs, config).unwrap().wal;
    append_all(&wal, 1).await;
    fs.put(Path::new("other"), vec![0; 95 << 10]);
    // The writer looks at the space after each batch.
    let refused = loop {
        match append(&wal) {
            Ok(seq) => wal.commit(seq).await.unwrap(),
            Err(e) => break e,
        }
    };
    assert!(matches!(refused, Error::DiskFull { min_free: 8192, .. }), "{refused}");
    fs.remove(Path::new("other")).unwrap();
    wal.truncate_before(0).unwrap();
    until(|| append(&wal).is_ok());
}

#[tokio::test]
async fn a_full_disk_can_be_started_on() {
    let fs = MemFs::new();
    fs.set_capacity(Some(1 << 20));
    let config = Config { ballast: ByteSize(64 << 10), min_free: ByteSize(4 << 10), ..config() };
    let wal = open_with(&fs, config.clone()).unwrap().wal;
    append_all(&wal, 20).await;
    drop(wal);
    let ballast = Path::new(DIR).join("ballast");
    assert_eq!(fs.contents(&ballast).unwrap().len(), 64 << 10);
    let segments = fs.after_kill();
    segments.put(Path::new("other"), vec![0; usize::try_from((1 << 20) - fs.used()).unwrap()]);
    let opened = open_with(&segments, config).unwrap();
    assert_eq!(opened.records, expected(1..=20));
    assert!(segments.contents(&ballast).is_none());
    append_all(&opened.wal, 1).await;
    // Once there is space again, the ballast comes back.
    segments.remove(Path::new("other")).unwrap();
    opened.wal.truncate_before(15).unwrap();
    assert_eq!(segments.contents(&ballast).unwrap().len(), 64 << 10);
}

#[tokio::test]
async fn a_directory_is_used_by_one_log_at_a_time() {
    let fs = MemFs::new();
    let first = open(&fs);
    assert!(matches!(open_with(&fs, config()), Err(Error::Locked(_))));
    drop(first);
    open(&fs);
}
