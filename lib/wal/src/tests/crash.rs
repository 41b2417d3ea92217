//! Power loss at every byte, and damaged bytes.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{DIR, append, append_all, expected, open, record, segments, until};
use crate::fs::mem::{Op, Tear};
use crate::{Filesystem, MemFs};

const SYNCED: u64 = 8;
const UNSYNCED: u64 = 6;

/// A log with synced records and a batch that is written and not synced.
async fn half_synced() -> (MemFs, usize) {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, SYNCED - 1).await;
    let syncs = fs.count(Op::Sync);
    fs.hold_syncs();
    append(&wal).unwrap();
    until(|| fs.count(Op::Sync) > syncs);
    (0..UNSYNCED).for_each(|_| assert!(append(&wal).is_ok()));
    fs.release_syncs();
    until(|| wal.durable_seq() >= SYNCED);
    // The last batch is in the file in one piece, whatever was synced of it: model it as unsynced.
    wal.commit(SYNCED + UNSYNCED).await.unwrap();
    let name = segments(&fs).pop().unwrap();
    let path = Path::new(DIR).join(name);
    let bytes = fs.contents(&path).unwrap();
    let tail: usize =
        (SYNCED + 1..=SYNCED + UNSYNCED).map(|s| 18 + 8 + record(s).payload.len()).sum();
    (fs.after_kill(), bytes.len() - tail)
}

fn newest(fs: &MemFs) -> PathBuf {
    Path::new(DIR).join(segments(fs).pop().unwrap())
}

/// Whatever came back is a prefix of what was appended, holds all that was acknowledged, and the log goes on.
async fn assert_goes_on(fs: &MemFs, acked: u64, appended: u64) {
    let opened = open(fs);
    let n = opened.records.len() as u64;
    assert!((acked..=appended).contains(&n), "{n} records");
    assert_eq!(opened.records, expected(1..=n));
    assert_eq!(opened.summary.corrupt, 0);
    assert_eq!(append_all(&opened.wal, 2).await, n + 2);
    drop(opened);
    let again = open(&fs.after_power_loss(Tear::Lose));
    assert_eq!(again.records, expected(1..=n + 2));
    assert_eq!(again.metrics.torn_tails.get(), 0);
}

#[tokio::test]
async fn power_loss_at_any_byte_keeps_what_was_acknowledged() {
    let (fs, synced) = half_synced().await;
    let bytes = fs.contents(&newest(&fs)).unwrap();
    for kept in synced..=bytes.len() {
        let torn = fs.after_kill();
        torn.put(&newest(&fs), bytes[..kept].to_vec());
        assert_goes_on(&torn, SYNCED, SYNCED + UNSYNCED).await;
        let mut zeroed = bytes[..kept].to_vec();
        zeroed.resize(bytes.len(), 0);
        let hole = fs.after_kill();
        hole.put(&newest(&fs), zeroed);
        let opened = open(&hole);
        let n = opened.records.len() as u64;
        assert!((SYNCED..=SYNCED + UNSYNCED).contains(&n));
        assert_eq!(opened.records, expected(1..=n));
        assert_eq!(opened.summary.corrupt, 0);
    }
}

#[tokio::test]
async fn power_loss_in_the_middle_of_a_sync_is_modelled_by_the_file_system_as_well() {
    for tear in [Tear::Lose, Tear::Keep(1), Tear::Keep(40), Tear::Zero(0), Tear::Zero(33)] {
        let fs = MemFs::new();
        let wal = open(&fs).wal;
        append_all(&wal, 5).await;
        let syncs = fs.count(Op::Sync);
        fs.hold_syncs();
        append(&wal).unwrap();
        until(|| fs.count(Op::Sync) > syncs);
        let lost = fs.after_power_loss(tear);
        fs.release_syncs();
        assert_goes_on(&lost, 5, 6).await;
    }
}

#[tokio::test]
async fn a_log_cut_anywhere_starts_with_what_is_whole() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 9).await;
    drop(wal);
    let bytes = fs.contents(&newest(&fs)).unwrap();
    assert_eq!(segments(&fs).len(), 1);
    for kept in 0..bytes.len() {
        let cut = fs.after_kill();
        cut.put(&newest(&fs), bytes[..kept].to_vec());
        assert_goes_on(&cut, 0, 9).await;
    }
}

#[tokio::test]
async fn a_segment_that_was_never_synced_is_gone_without_harm() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    fs.hold_syncs();
    append(&wal).unwrap();
    until(|| !segments(&fs).is_empty());
    assert_goes_on(&fs.after_power_loss(Tear::Lose), 0, 1).await;
    fs.release_syncs();
}

#[tokio::test]
async fn damage_in_an_older_segment_costs_only_what_follows_it_there() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 60).await;
    drop(wal);
    let names = segments(&fs);
    let firsts: Vec<u64> = names.iter().map(|n| n[..20].parse().unwrap()).collect();
    let path = Path::new(DIR).join(&names[1]);
    let mut bytes = fs.contents(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs.put(&path, bytes.clone());

    let opened = open(&fs);
    assert_eq!(opened.summary.corrupt, 1);
    assert_eq!(opened.metrics.corrupt_records.get(), 1);
    let in_second: Vec<_> =
        opened.records.iter().filter(|r| (firsts[1]..firsts[2]).contains(&r.seq)).collect();
    assert!((1..firsts[2] - firsts[1]).contains(&(in_second.len() as u64)));
    let others = opened.records.iter().filter(|r| !(firsts[1]..firsts[2]).contains(&r.seq));
    let want: Vec<_> = (1..firsts[1]).chain(firsts[2]..=60).map(record).collect();
    assert!(others.eq(&want));
    drop(opened);
    // The damaged bytes were kept, and the next start finds nothing wrong.
    let all = fs.list(Path::new(DIR)).unwrap();
    let aside = all.iter().find(|n| n.ends_with(".corrupt")).unwrap();
    let aside = fs.contents(&Path::new(DIR).join(aside)).unwrap();
    assert!(bytes.ends_with(&aside) && aside.len() > bytes.len() - middle);
    assert_eq!(open(&fs).summary.corrupt, 0);
}

#[tokio::test]
async fn a_lost_identity_is_taken_from_the_segments() {
    let fs = MemFs::new();
    let wal = open(&fs).wal;
    append_all(&wal, 20).await;
    let uuid = wal.uuid();
    drop(wal);
    fs.remove(&Path::new(DIR).join("id")).unwrap();
    let opened = open(&fs);
    assert_eq!(opened.wal.uuid(), uuid);
    assert_eq!(opened.records, expected(1..=20));
}

#[tokio::test]
async fn records_of_another_directory_are_not_taken_for_ours() {
    let (ours, theirs) = (MemFs::new(), MemFs::new());
    drop(open(&ours));
    theirs.put(&Path::new(DIR).join("id"), b"000102030405060708090a0b0c0d0e0f".to_vec());
    let wal = open(&theirs).wal;
    append_all(&wal, 5).await;
    drop(wal);
    ours.put(&newest(&theirs), theirs.contents(&newest(&theirs)).unwrap());
    let opened = open(&ours);
    assert!(opened.records.is_empty());
    assert_eq!(opened.metrics.corrupt_records.get(), 1);
}

/// One life of a process: a start that is checked, some work, and the power goes.
async fn live_and_lose_power(fs: &MemFs, known: &mut Known, life: &Life) -> MemFs {
    let opened = open(fs);
    let seqs: Vec<u64> = opened.records.iter().map(|r| r.seq).collect();
    assert!(seqs.windows(2).all(|w| w[0] + 1 == w[1]), "gaps in {seqs:?}");
    assert!(opened.records.iter().all(|r| *r == record(r.seq)));
    let (first, last) = (seqs.first().copied(), seqs.last().copied());
    let all_obsolete = known.truncated > known.acked;
    assert!(all_obsolete || first.is_some_and(|f| f <= known.truncated.max(1)) || known.acked == 0);
    assert!(opened.wal.last_seq() >= known.acked, "numbers went back");
    assert!(all_obsolete || last.unwrap_or(0) >= known.acked, "an acknowledged record is lost");
    assert_eq!(opened.summary.corrupt, 0);
    let wal = opened.wal;
    for _ in 0..life.acked {
        known.acked = append(&wal).unwrap();
        wal.commit(known.acked).await.unwrap();
    }
    if life.truncate {
        let before = known.acked.saturating_sub(life.keep) + 1;
        known.truncated = known.truncated.max(before);
        wal.truncate_before(before).unwrap();
    }
    for _ in 0..life.waiting {
        append(&wal).unwrap();
    }
    fs.after_power_loss(life.tear)
}

/// What the outside world was told.
#[derive(Debug, Default)]
struct Known {
    acked: u64,
    truncated: u64,
}

#[derive(Clone, Debug)]
struct Life {
    acked: u64,
    waiting: u64,
    truncate: bool,
    keep: u64,
    tear: Tear,
}

fn life() -> impl Strategy<Value = Life> {
    let tear = prop_oneof![
        Just(Tear::Lose),
        (0usize..400).prop_map(Tear::Keep),
        (0usize..400).prop_map(Tear::Zero),
    ];
    (0u64..30, 0u64..20, any::<bool>(), 0u64..20, tear).prop_map(
        |(acked, waiting, truncate, keep, tear)| Life { acked, waiting, truncate, keep, tear },
    )
}

fn filled() -> MemFs {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let fs = MemFs::new();
        let wal = open(&fs).wal;
        append_all(&wal, 40).await;
        drop(wal);
        fs
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flipped_bits_never_make_a_wrong_record(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..8), 1..8),
        segment in any::<proptest::sample::Index>(),
    ) {
        let fs = filled();
        let names = segments(&fs);
        let path = Path::new(DIR).join(segment.get(&names));
        let mut bytes = fs.contents(&path).unwrap();
        let original = bytes.clone();
        for (at, bit) in flips {
            bytes[at.index(original.len())] ^= 1 << bit;
        }
        let changed = bytes[crate::format::HEADER..] != original[crate::format::HEADER..];
        fs.put(&path, bytes);
        let opened = open(&fs);
        for found in &opened.records {
            prop_assert_eq!(found, &record(found.seq));
        }
        let lost = opened.records.len() < 40;
        prop_assert_eq!(lost, changed, "damage is noticed, and only damage");
        let noticed = opened.metrics.corrupt_records.get() + opened.metrics.torn_tails.get();
        prop_assert_eq!(noticed > 0, changed);
        drop(opened);
        prop_assert_eq!(open(&fs).summary.corrupt, 0);
    }

    #[test]
    fn many_lives_that_end_in_power_loss(lives in proptest::collection::vec(life(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut fs, mut known) = (MemFs::new(), Known::default());
            for life in &lives {
                fs = live_and_lose_power(&fs, &mut known, life).await;
            }
            live_and_lose_power(&fs, &mut known, &lives[0]).await;
        });
    }

    #[test]
    fn any_bytes_at_all_can_be_started_on(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        valid_header in any::<bool>(),
    ) {
        let fs = filled();
        let path = newest(&fs);
        let mut all = fs.contents(&path).unwrap();
        all.truncate(if valid_header { crate::format::HEADER } else { 0 });
        all.extend(bytes);
        fs.put(&path, all);
        let opened = open(&fs);
        prop_assert!(opened.records.len() < 40);
        append(&opened.wal).unwrap();
    }
}
