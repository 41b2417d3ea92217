//! Tests of the log against files in memory that lose power, fill up and fail.

mod crash;
mod disk;
mod golden;
mod group;
mod inspect;
mod kept;
mod states;

use std::path::Path;
use std::sync::Arc;

use skald_model::TenantId;
use skald_runtime::{ByteSize, Rng};

use crate::{Config, Error, Filesystem, MemFs, Metrics, Record, Summary, Wal};

const DIR: &str = "wal";

/// A record that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    seq: u64,
    kind: u8,
    tenant: TenantId,
    payload: Vec<u8>,
}

impl From<Record<'_>> for Owned {
    fn from(r: Record<'_>) -> Self {
        let payload = r.payload.to_vec();
        Self { seq: r.seq, kind: r.kind, tenant: r.tenant.clone(), payload }
    }
}

fn config() -> Config {
    Config {
        ballast: ByteSize(0),
        min_free: ByteSize(0),
        segment_size: ByteSize(1 << 10),
        buffer_size: ByteSize(1 << 20),
        ..Config::default()
    }
}

fn tenant(n: u64) -> TenantId {
    TenantId::parse(&format!("tenant-{n}")).unwrap()
}

/// A log, what a replay found, and what it counted.
struct Opened {
    wal: Wal,
    records: Vec<Owned>,
    summary: Summary,
    metrics: Metrics,
}

fn open_with(fs: &impl CloneFs, config: Config) -> Result<Opened, Error> {
    let metrics = Metrics::default();
    let rng = Rng::seeded(1);
    let (wal, replay) = Wal::open(fs.arc(), Path::new(DIR), config, &rng, metrics.clone())?;
    let mut records = Vec::new();
    let summary = replay
        .run::<std::convert::Infallible>(&mut |r| {
            records.push(Owned::from(r));
            Ok(())
        })
        .unwrap();
    Ok(Opened { wal, records, summary, metrics })
}

fn open(fs: &impl CloneFs) -> Opened {
    open_with(fs, config()).unwrap()
}

trait CloneFs {
    fn arc(&self) -> Arc<dyn Filesystem>;
}

impl CloneFs for MemFs {
    fn arc(&self) -> Arc<dyn Filesystem> {
        Arc::new(self.clone())
    }
}

/// The record that number `seq` stands for in these tests.
fn record(seq: u64) -> Owned {
    let n = usize::try_from(seq * 37 % 90).unwrap();
    let payload = (0..n).map(|i| u8::try_from((i * 7 + n) % 256).unwrap()).collect();
    Owned { seq, kind: u8::try_from(seq % 3).unwrap(), tenant: tenant(seq % 4), payload }
}

/// Appends the next record, without waiting.
fn append(wal: &Wal) -> Result<u64, Error> {
    let r = record(wal.last_seq() + 1);
    let (a, b) = r.payload.split_at(r.payload.len() / 2);
    let seq = wal.append(&r.tenant, r.kind, &[a, b])?.seq;
    assert_eq!(seq, r.seq);
    Ok(seq)
}

async fn append_all(wal: &Wal, n: u64) -> u64 {
    let mut last = 0;
    for _ in 0..n {
        last = append(wal).unwrap();
        wal.commit(last).await.unwrap();
    }
    last
}

fn expected(seqs: std::ops::RangeInclusive<u64>) -> Vec<Owned> {
    seqs.map(record).collect()
}

/// Waits for a state that a background thread brings about.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

fn segments(fs: &MemFs) -> Vec<String> {
    let mut names = fs.list(Path::new(DIR)).unwrap();
    names.retain(|n| n.ends_with(".seg"));
    names.sort();
    names
}
