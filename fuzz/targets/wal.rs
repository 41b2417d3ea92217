//! What each run of the fuzzer does with a log: the first bytes say how much of the rest is which segment. It must open,
//! whatever it is, and open again with what the first time left of it.

use std::path::Path;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use skald_runtime::{ByteSize, Rng};
use skald_wal::{Config, Error, Filesystem, MemFs, Metrics, Wal};

const DIR: &str = "/wal";
/// The uuid of the directory in `lib/wal/testdata`.
const ID: &str = "000102030405060708090a0b0c0d0e0f";

pub(crate) fn run(data: &[u8]) {
    let Some((&cut, rest)) = data.split_first() else { return };
    let at = rest.len() * usize::from(cut) / 255;
    let fs = MemFs::new();
    fs.put(&Path::new(DIR).join("id"), ID.as_bytes().to_vec());
    fs.put(&Path::new(DIR).join(format!("{:020}.seg", 7)), rest[..at].to_vec());
    fs.put(&Path::new(DIR).join(format!("{:020}.seg", 9)), rest[at..].to_vec());
    let Some(first) = open(&fs) else { return };
    let second = open(&fs).expect("what was repaired can be opened");
    assert_eq!(first, second, "nothing is lost by a second start");
}

/// The records; `None` when a newer release wrote it.
fn open(fs: &MemFs) -> Option<Vec<(u64, Vec<u8>)>> {
    let config = Config { ballast: ByteSize(0), ..Config::default() };
    let metrics = Metrics::register(&mut Registry::default());
    let fs: Arc<dyn Filesystem> = Arc::new(fs.clone());
    let opened = Wal::open(fs, Path::new(DIR), config, &Rng::seeded(1), metrics);
    let (_wal, replay) = match opened {
        Ok(opened) => opened,
        Err(Error::Version { .. }) => return None,
        Err(e) => panic!("damage never keeps a log from opening: {e}"),
    };
    let mut records = Vec::new();
    let visit = &mut |r: skald_wal::Record<'_>| {
        records.push((r.seq, r.payload.to_vec()));
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(_) = replay.run(visit);
    Some(records)
}
