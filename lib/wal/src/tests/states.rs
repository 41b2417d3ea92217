//! Every state in which power loss may leave the disk, made from recorded file operations.
//!
//! Between a write and the sync that covers it, a disk may have any of the writes, in any order, whole, cut at
//! a sector or a page, as zeros or as garbage; between a change of a directory and its sync, any of these
//! changes. Whatever it has, a start finds all that was acknowledged and nothing that was not appended.
//!
//! `SKALD_CRASH_STATES=100000 cargo test -p skald-wal crash_state -- --nocapture` looks at more of them.

mod model;
mod recording;

use std::collections::HashSet;
use std::path::Path;

use skald_runtime::Rng;

use self::model::Disk;
use self::recording::{Event, RecordingFs};
use super::{CloneFs, DIR, append, open, record};
use crate::MemFs;
use crate::fs::mem::Tear;

impl CloneFs for RecordingFs {
    fn arc(&self) -> std::sync::Arc<dyn crate::Filesystem> {
        std::sync::Arc::new(self.clone())
    }
}

/// Some lives of a log, with all that it asked of the file system and told its callers.
async fn lives(seed: u64) -> Vec<Event> {
    let (fs, rng) = (RecordingFs::default(), Rng::seeded(seed));
    for _ in 0..2 {
        let wal = open(&fs).wal;
        for _ in 0..4 + rng.below(5) {
            let mut last = wal.last_seq();
            for _ in 0..=rng.below(6) {
                last = append(&wal).unwrap();
            }
            match rng.below(4) {
                // Others wait for the same sync.
                0 => {
                    let more = append(&wal).unwrap();
                    wal.commit(last).await.unwrap();
                    fs.tell(Event::Acked(last));
                    last = more;
                }
                1 if last > 8 => {
                    let before = last - rng.below(8);
                    fs.tell(Event::Obsolete(before));
                    wal.truncate_before(before).unwrap();
                }
                _ => {}
            }
            wal.commit(last).await.unwrap();
            fs.tell(Event::Acked(last));
        }
        drop(wal);
    }
    fs.events()
}

/// Starts on what the disk has and goes on.
async fn check(fs: &MemFs, acked: u64, obsolete: u64, what: &str) {
    let opened = open(fs);
    let seqs: Vec<u64> = opened.records.iter().map(|r| r.seq).collect();
    // Of files that nobody needs, some may be gone and others not.
    let follows = |w: &[u64]| w[0] + 1 == w[1] || w[1] <= obsolete;
    assert!(
        seqs.windows(2).all(follows),
        "gaps in {seqs:?}, obsolete before {obsolete}, after {what}"
    );
    assert!(opened.records.iter().all(|r| *r == record(r.seq)), "foreign bytes after {what}");
    let kept = acked.min(obsolete.saturating_sub(1));
    if acked > kept {
        let holds = (kept + 1..=acked).all(|seq| seqs.binary_search(&seq).is_ok());
        assert!(holds, "acknowledged up to {acked}, found {seqs:?} after {what}");
    }
    assert!(opened.wal.last_seq() >= acked, "numbers went back after {what}");
    let next = append(&opened.wal).unwrap();
    opened.wal.commit(next).await.unwrap();
    drop(opened);
    let again = open(&fs.after_power_loss(Tear::Lose));
    let last = again.records.last().map(|r| r.seq);
    assert_eq!(last, Some(next), "what came after the start is lost: {what}");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "says how much was looked at")]
async fn every_crash_state_starts_with_what_was_acknowledged() {
    let wanted = std::env::var("SKALD_CRASH_STATES").ok().and_then(|n| n.parse().ok());
    let wanted: usize = wanted.unwrap_or(3_000);
    let (mut seen, mut seed) = (HashSet::new(), 0);
    while seen.len() < wanted {
        let events = lives(seed).await;
        let (mut disk, mut acked, mut obsolete) = (Disk::default(), 0, 1);
        for event in &events {
            match event {
                Event::Acked(seq) => acked = *seq,
                Event::Obsolete(before) => obsolete = obsolete.max(*before),
                change => disk.apply(change),
            }
            for state in disk.states() {
                if seen.len() < wanted && seen.insert((state.hash(), acked, obsolete, seed)) {
                    check(&state.boot(Path::new(DIR)), acked, obsolete, &state.what).await;
                }
            }
        }
        seed += 1;
    }
    println!("{} crash states of {seed} recorded lives", seen.len());
}
