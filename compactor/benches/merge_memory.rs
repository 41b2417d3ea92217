//! Peak heap and CPU time while log blocks are encoded as a flush does and then merged by the compactor, on a directory.
//!
//! `cargo bench -p skald-compactor --bench merge_memory -- [MB of lines] [blocks] [streams]`; in a build that
//! was not optimised (`--profile dev`) the bytes are the same and only the times are not.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement by hand")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use prometheus_client::registry::Registry;
use skald_blocks::{BlockId, LogBlockWriter, WriterOptions, put_block};
use skald_catalog::{Author, BlockMeta, Catalog, Change, Signal};
use skald_compactor::{Compactor, Config, Parts};
use skald_limits::{Limits, Overrides};
use skald_model::{Labels, LogEntry, TenantId};
use skald_runtime::{CpuPool, Rng, SharedClock, SystemClock};

const T0: i64 = 1_700_000_000_000_000_000;
const MB: usize = 1_000_000;

/// The allocator, counting what is held.
#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
mod held {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting;

    static HELD: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    fn add(n: usize) {
        let held = HELD.fetch_add(n, Ordering::Relaxed) + n;
        PEAK.fetch_max(held, Ordering::Relaxed);
    }

    // SAFETY: everything is passed on to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            add(layout.size());
            // SAFETY: the caller keeps the contract, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(ptr, layout) }
        }

        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // As the allocator of the server does it, which moves them.
            add(size);
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.realloc(ptr, layout, size) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    pub(crate) fn now() -> usize {
        HELD.load(Ordering::Relaxed)
    }

    /// The most that was held since the last call.
    pub(crate) fn peak() -> usize {
        PEAK.swap(now(), Ordering::Relaxed)
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let (mb, n_blocks) = (args.next().unwrap_or(300), args.next().unwrap_or(24));
    let n_streams = args.next().unwrap_or(500);
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    let clock: SharedClock = Arc::new(SystemClock);
    let rng = Rng::seeded(1);
    let author = Author { replica: "bench".to_owned(), epoch: 1 };
    let settings = skald_catalog::Config::default();
    let catalog =
        Catalog::new(Arc::clone(&store), Arc::clone(&clock), rng.clone(), author, settings);
    let tenant = TenantId::single();

    let mut adds = Vec::new();
    let (mut first, mut n_bytes) = (0, 0);
    let before = held::now();
    let _ = held::peak();
    let (mut most, mut most_entries, mut encoding) = (0, 0, 0.0);
    for n in 0..n_blocks {
        let mut writer = LogBlockWriter::new(WriterOptions::new(BlockId::new(1_000, n as u128)));
        let (lines, bytes) = fill(&mut writer, first, mb * MB / n_blocks, n_streams);
        (first, n_bytes) = (first + lines, n_bytes + bytes);
        most_entries = most_entries.max(held::peak() - before);
        let started = cpu();
        let encoded = writer.finish().unwrap();
        encoding += cpu() - started;
        most = most.max(held::peak() - before);
        put_block(&store, &tenant, &encoded).await.unwrap();
        adds.push(described(&encoded.meta));
    }
    let mb = mega(n_bytes);
    println!("{first} lines, {mb:.1} MB in {n_blocks} blocks of {n_streams} streams");
    println!("flush: entries of a block {:>6.1} MB", mega(most_entries));
    println!("flush: peak               {:>6.1} MB, {encoding:.1} CPU-s", mega(most));
    catalog.commit(&tenant, Change { adds, ..Change::default() }).await.unwrap();

    let parts = Parts {
        store: Arc::clone(&store),
        catalog: catalog.clone(),
        overrides: Overrides::fixed(Limits::default()),
        clock,
        rng,
        cpu: CpuPool::new(2),
        share: None,
        auto_deletion_delay: Duration::ZERO,
    };
    let compactor = Compactor::new(Config::default(), parts, &mut Registry::default()).unwrap();
    let before = held::now();
    let _ = held::peak();
    let started = cpu();
    let report = compactor.compact_all().await.unwrap();
    let peak = mega(held::peak() - before);
    println!("merge: peak               {peak:>6.1} MB, {:.1} CPU-s", cpu() - started);
    let blocks = &catalog.refresh(&tenant).await.unwrap().blocks;
    let bytes: u64 = blocks.iter().map(|b| b.size_bytes).sum();
    println!("{} merges left {} blocks of {bytes} bytes", report.merges, blocks.len());
}

/// Seconds that the process has computed.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn mega(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1024.0 / 1e6
}

/// Pushes about `bytes` of lines, stream by stream, as a flush reads them: the lines of a push share their memory.
fn fill(
    writer: &mut LogBlockWriter,
    first: usize,
    bytes: usize,
    n_streams: usize,
) -> (usize, usize) {
    const PER_PUSH: usize = 100;
    let (mut n_lines, mut n_bytes) = (0, 0);
    for stream in 0..n_streams {
        let mut pushed = 0;
        while pushed < bytes / n_streams {
            let (mut text, mut ends) = (Vec::new(), Vec::new());
            for i in 0..PER_PUSH {
                line((first + n_lines + i) as u64, &mut text);
                ends.push(text.len());
            }
            pushed += text.len();
            n_bytes += text.len();
            let text = Bytes::from(text);
            let mut start = 0;
            let entries = (0..).zip(ends).map(|(i, end)| {
                let at = (first + n_lines + i) as u64;
                let line = text.slice(start..end);
                start = end;
                let level = ["info", "info", "info", "warn", "error"][(noise(at) % 5) as usize];
                let metadata = Labels::from_pairs([("detected_level", level)]);
                LogEntry { timestamp_ns: T0 + at.cast_signed() * 1_000_003, line, metadata }
            });
            writer.push(labels(stream as u64), entries.collect()).unwrap();
            n_lines += PER_PUSH;
        }
    }
    (n_lines, n_bytes)
}

fn noise(i: u64) -> u64 {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 29
}

fn labels(stream: u64) -> Labels {
    Labels::from_pairs([
        ("app", format!("app-{}", stream % 50)),
        ("cluster", "eu-west-1".to_owned()),
        ("namespace", format!("team-{}", stream % 20)),
        ("pod", format!("app-{}-{:08x}", stream % 50, noise(stream) >> 32)),
    ])
}

fn line(i: u64, out: &mut Vec<u8>) {
    use std::io::Write as _;

    let r = noise(i);
    write!(
        out,
        "level={} ts={} caller=handler.go:{} msg=\"request served\" method=GET path=/api/v1/items/{} status={} duration={}ms trace_id={:016x} component=storage user=u{}",
        ["info", "info", "info", "warn", "error"][(r % 5) as usize],
        T0 / 1000 + i.cast_signed(),
        r % 400,
        r % 10_000,
        [200, 200, 200, 404, 500][(r >> 8) as usize % 5],
        r % 1500,
        noise(r),
        (r >> 20) % 3000,
    )
    .unwrap();
}

/// As the catalog has it.
fn described(meta: &skald_blocks::BlockMeta) -> BlockMeta {
    BlockMeta {
        id: meta.id.to_string(),
        signal: Signal::Logs as i32,
        min_time: meta.min_time,
        max_time: meta.max_time,
        n_series: meta.n_series,
        n_rows: meta.n_rows,
        size_bytes: meta.size_bytes,
        crc32c: meta.crc32c,
        level: meta.level,
        format_version: meta.format_version,
        sources: meta.sources.clone(),
    }
}
