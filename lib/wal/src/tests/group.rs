//! Appending, group commit, backpressure, truncation.

use std::sync::Arc;

use skald_runtime::{ByteSize, Rng};

use super::{append, append_all, config, expected, open, open_with, segments, until};
use crate::fs::mem::Op;
use crate::{Config, Error, Fsync, MemFs, Metrics, StdFs, Wal};

#[tokio::test]
async fn what_is_committed_is_replayed_and_numbers_go_on() {
    let fs = MemFs::new();
    let first = open(&fs);
    assert!(first.records.is_empty());
    assert_eq!(append_all(&first.wal, 100).await, 100);
    assert_eq!(first.wal.durable_seq(), 100);
    first.wal.close().await.unwrap();
    assert!(matches!(append(&first.wal), Err(Error::Closed)));

    let second = open(&fs);
    assert_eq!(second.records, expected(1..=100));
    assert_eq!(second.summary.corrupt, 0);
    assert!(second.summary.segments > 3);
    assert_eq!(second.wal.uuid(), first.wal.uuid());
    assert_eq!(append_all(&second.wal, 1).await, 101);
    drop(second);
    assert_eq!(open(&fs).records, expected(1..=101));
}

#[tokio::test]
async fn works_on_the_machine_s_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    let open = || {
        let config = Config { ballast: ByteSize(1 << 20), ..config() };
        Wal::open(Arc::new(StdFs), &path, config, &Rng::seeded(3), Metrics::default())
    };
    let (wal, _) = open().unwrap();
    append_all(&wal, 50).await;
    assert!(matches!(open(), Err(Error::Locked(_))));
    assert_eq!(std::fs::metadata(path.join("ballast")).unwrap().len(), 1 << 20);
    let uuid = wal.uuid();
    drop(wal);
    let (wal, replay) = open().unwrap();
    assert_eq!(wal.uuid(), uuid);
    let mut found = Vec::<super::Owned>::new();
    replay
        .run::<()>(&mut |r| {
            found.push(r.into());
            Ok(())
        })
        .unwrap();
    assert_eq!(found, expected(1..=50));
    wal.truncate_before(51).unwrap();
    append_all(&wal, 1).await;
    until(|| std::fs::read_dir(&path).unwrap().count() == 4);
}

#[tokio::test]
async fn one_sync_serves_all_who_wait() {
    let fs = MemFs::new();
    let wal = open_with(&fs, Config { segment_size: ByteSize(1 << 20), ..config() }).unwrap().wal;
    append_all(&wal, 1).await;
    let before = fs.count(Op::Sync);
    fs.hold_syncs();
    let first = wal.commit(append(&wal).unwrap());
    until(|| fs.count(Op::Sync) == before + 1);
    let rest: Vec<_> = (0..500).map(|_| wal.commit(append(&wal).unwrap())).collect();
    fs.release_syncs();
    first.await.unwrap();
    for commit in rest {
        commit.await.unwrap();
    }
    assert_eq!(fs.count(Op::Sync), before + 2);
}

#[tokio::test]
async fn without_fsync_a_commit_waits_for_the_write_only() {
    let fs = MemFs::new();
    let config = Config { fsync: Fsync::Os, segment_size: ByteSize(1 << 20), ..config() };
    let wal = open_with(&fs, config).unwrap().wal;
    append_all(&wal, 1).await;
    let before = fs.count(Op::Sync);
    append_all(&wal, 10).await;
    assert_eq!(fs.count(Op::Sync), before);
    assert_eq!(open(&fs.after_kill()).records, expected(1..=11));
}

#[tokio::test]
async fn refuses_when_the_disk_is_behind() {
    let fs = MemFs::new();
    let config = Config { buffer_size: ByteSize(2 << 10), ..config() };
    let wal = open_with(&fs, config).unwrap().wal;
    append_all(&wal, 1).await;
    let before = fs.count(Op::Sync);
    fs.hold_syncs();
    append(&wal).unwrap();
    until(|| fs.count(Op::Sync) > before);
    let refused = loop {
        if let Err(e) = append(&wal) {
            break e;
        }
    };
    assert!(matches!(refused, Error::BufferFull { limit: 2048, .. }), "{refused}");
    assert_eq!(refused.id(), Some("err-skald-wal-buffer-full"));
    let last = wal.last_seq();
    fs.release_syncs();
    wal.commit(last).await.unwrap();
    append_all(&wal, 1).await;
    drop(wal);
    assert_eq!(open(&fs).records, expected(1..=last + 1));
}

#[tokio::test]
async fn refuses_records_and_numbers_that_cannot_be() {
    let wal = open(&MemFs::new()).wal;
    let huge = vec![0; 2 << 20];
    let refused = wal.append(&super::tenant(1), 0, &[&huge]).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }));
    assert!(matches!(wal.commit(1).await, Err(Error::UnknownSeq { seq: 1, last: 0 })));
    wal.commit(0).await.unwrap();
}

#[tokio::test]
async fn refuses_beyond_its_total_size_until_truncated() {
    let fs = MemFs::new();
    let config = Config { max_total_size: ByteSize(4 << 10), ..config() };
    let wal = open_with(&fs, config).unwrap().wal;
    let refused = loop {
        match append(&wal) {
            Ok(seq) => wal.commit(seq).await.unwrap(),
            Err(e) => break e,
        }
    };
    assert!(matches!(refused, Error::Full { limit: 4096, .. }), "{refused}");
    assert!(wal.size_bytes() <= 4096);
    wal.truncate_before(wal.durable_seq()).unwrap();
    append_all(&wal, 1).await;
}

#[tokio::test]
async fn truncation_deletes_whole_segments_only() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 100).await;
    let all = segments(&fs);
    let firsts: Vec<u64> = all.iter().map(|n| n[..20].parse().unwrap()).collect();
    assert!(firsts.len() > 4);
    wal.truncate_before(firsts[2] + 1).unwrap();
    assert_eq!(segments(&fs), all[2..]);
    let kill = open(&fs.after_kill());
    assert_eq!(kill.records, expected(firsts[2]..=100));
}

#[tokio::test]
async fn numbers_survive_the_truncation_of_everything() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 30).await;
    wal.truncate_before(31).unwrap();
    until(|| segments(&fs) == ["00000000000000000031.seg"]);
    // Also when the removals were never synced, and through starts that append nothing.
    for fs in [fs.after_kill(), fs.after_power_loss(crate::fs::mem::Tear::Lose)] {
        drop(open(&fs));
        let opened = open(&fs);
        assert!(opened.records.len() < 30);
        assert_eq!(opened.wal.last_seq(), 30);
        append_all(&opened.wal, 2).await;
        drop(opened);
        assert_eq!(open(&fs).records.last().unwrap().seq, 32);
    }
}

#[tokio::test]
async fn raised_numbers_leave_a_gap() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 3).await;
    wal.raise_seq(2);
    assert_eq!(wal.last_seq(), 3);
    wal.raise_seq(1000);
    wal.commit(1000).await.unwrap();
    append_all(&wal, 2).await;
    drop(wal);
    let seqs: Vec<u64> = open(&fs).records.iter().map(|r| r.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 1001, 1002]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_are_all_there_in_order() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    let tasks: Vec<_> = (0..8u8)
        .map(|task| {
            let wal = wal.clone();
            skald_runtime::spawn("append", async move {
                let mut mine = Vec::new();
                for i in 0..100u8 {
                    let seq = wal.append(&super::tenant(0), task, &[&[i]]).unwrap().seq;
                    wal.commit(seq).await.unwrap();
                    mine.push((seq, i));
                }
                mine
            })
        })
        .collect();
    let mut sent = Vec::new();
    for (task, handle) in (0u8..).zip(tasks) {
        sent.extend(handle.await.unwrap().into_iter().map(|(seq, i)| (seq, task, i)));
    }
    sent.sort_unstable();
    let found = open(&fs.after_kill()).records;
    let found: Vec<_> = found.iter().map(|r| (r.seq, r.kind, r.payload[0])).collect();
    assert_eq!(found, sent);
}
