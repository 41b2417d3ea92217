//! Payloads that are read again, from memory and from segments.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use skald_runtime::{ByteSize, Rng};

use super::{DIR, config, open, open_with, segments, tenant, until};
use crate::fs::mem::{Op, Tear};
use crate::{Config, Kept, MemFs, Metrics, Wal};

fn payload(n: usize, len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from((i * 31 + n * 7) % 251).unwrap()).collect()
}

fn whole(kept: &Kept) -> Bytes {
    kept.read(0..kept.len()).unwrap()
}

fn wide() -> Config {
    Config { segment_size: ByteSize(64 << 10), ..config() }
}

#[tokio::test]
async fn a_payload_is_read_from_memory_until_it_is_on_disk_and_takes_none_afterwards() {
    let fs = MemFs::new();
    let wal = open_with(&fs, wide()).unwrap().wal;
    fs.hold_syncs();
    let sizes = [0, 10, 100_000, 40_000, 33];
    let payloads: Vec<Bytes> = sizes.iter().enumerate().map(|(n, len)| payload(n, *len)).collect();
    let mut all = Vec::new();
    for p in &payloads {
        let (appended, kept) = wal.append_kept(&tenant(1), 1, p).unwrap();
        assert_eq!(whole(&kept), *p);
        assert_eq!(kept.memory(), p.len());
        all.push((appended.seq, kept));
    }
    fs.release_syncs();
    wal.commit(all.last().unwrap().0).await.unwrap();
    for ((_, kept), p) in all.iter().zip(&payloads) {
        assert_eq!((whole(kept), kept.memory()), (p.clone(), 0));
    }
    let (_, large) = &all[2];
    assert_eq!(large.read(70..99_000).unwrap(), payloads[2].slice(70..99_000));
    assert!(large.read(70..100_001).is_err());
    // Deleting segments takes nothing from those who read.
    wal.truncate_before(u64::MAX).unwrap();
    until(|| segments(&fs).len() == 1);
    drop(wal);
    for ((_, kept), p) in all.iter().zip(&payloads) {
        assert_eq!(whole(kept), *p);
    }
}

#[tokio::test]
async fn a_replay_finds_what_was_kept_and_keeps_it_without_memory() {
    let fs = MemFs::new();
    let wal = open_with(&fs, wide()).unwrap().wal;
    let payloads: Vec<Bytes> = (0..9).map(|n| payload(n, n * 20_000)).collect();
    for (n, p) in payloads.iter().enumerate() {
        let seq = if n % 3 == 0 {
            wal.append(&tenant(1), 1, &[p]).unwrap().seq
        } else {
            wal.append_kept(&tenant(1), 1, p).unwrap().0.seq
        };
        wal.commit(seq).await.unwrap();
    }
    drop(wal);
    let fs = fs.after_power_loss(Tear::Lose);
    let (dir, rng) = (Path::new(DIR), Rng::seeded(1));
    let (wal, replay) = Wal::open(Arc::new(fs), dir, wide(), &rng, Metrics::default()).unwrap();
    let mut found: Vec<(Bytes, Arc<Kept>)> = Vec::new();
    let read = replay.run::<Infallible>(&mut |r| {
        found.push((Bytes::copy_from_slice(r.payload), r.keep()));
        Ok(())
    });
    assert_eq!(read.unwrap().records, 9);
    for ((read, kept), p) in found.iter().zip(&payloads) {
        assert_eq!((read, &whole(kept), kept.memory()), (p, p, 0));
    }
    drop(wal);
}

#[tokio::test]
async fn a_failing_write_leaves_no_part_of_a_large_record() {
    let fs = MemFs::new();
    let wal = open_with(&fs, wide()).unwrap().wal;
    let (first, kept) = wal.append_kept(&tenant(1), 1, &payload(1, 50_000)).unwrap();
    wal.commit(first.seq).await.unwrap();
    fs.set_capacity(Some(fs.used() + 20_000));
    let (second, waiting) = wal.append_kept(&tenant(1), 1, &payload(2, 60_000)).unwrap();
    wal.commit(second.seq).await.unwrap_err();
    assert_eq!(whole(&waiting), payload(2, 60_000));
    assert_eq!(open(&fs.after_kill()).records.len(), 1);
    fs.set_capacity(None);
    until(|| waiting.memory() == 0);
    assert_eq!(whole(&waiting), payload(2, 60_000));
    assert_eq!(whole(&kept), payload(1, 50_000));
    drop(wal);
    let again = open(&fs.after_power_loss(Tear::Lose));
    assert_eq!(again.records.iter().map(|r| r.payload.len()).collect::<Vec<_>>(), [50_000, 60_000]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    let (appended, kept) = wal.append_kept(&tenant(1), 1, &payload(1, 50)).unwrap();
    wal.commit(appended.seq).await.unwrap();
    fs.fail_next(Op::Read, io::ErrorKind::Other);
    assert!(kept.read(0..50).is_err());
    assert_eq!(whole(&kept), payload(1, 50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn records_of_all_sizes_come_back_in_order(sizes in prop::collection::vec((0usize..70_000, any::<bool>()), 1..12)) {
        let fs = MemFs::new();
        let wal = open_with(&fs, wide()).unwrap().wal;
        fs.hold_syncs();
        let mut kept = Vec::new();
        for (n, (len, is_kept)) in sizes.iter().enumerate() {
            let bytes = payload(n, *len);
            if *is_kept {
                kept.push((n, wal.append_kept(&tenant(1), 1, &bytes).unwrap().1));
            } else {
                wal.append(&tenant(1), 1, &[&bytes]).unwrap();
            }
        }
        fs.release_syncs();
        until(|| wal.durable_seq() == sizes.len() as u64);
        for (n, k) in &kept {
            prop_assert_eq!(whole(k), payload(*n, sizes[*n].0));
        }
        drop(wal);
        let found = open_with(&fs, wide()).unwrap().records;
        let want: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, (len, _))| payload(n, *len).to_vec()).collect();
        prop_assert_eq!(found.into_iter().map(|r| r.payload).collect::<Vec<_>>(), want);
    }
}
