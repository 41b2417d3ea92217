//! The cache over stores in memory and directories of their own.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use skald_runtime::Rng;

use super::*;

const ROOM: Bounds = Bounds { bytes: 1 << 30, files: 1000 };

/// Counts the reads that reach it, which take a turn of the scheduler each.
#[derive(Debug, Default)]
struct Counted {
    store: InMemory,
    gets: AtomicUsize,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, key: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.store.put_opts(key, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.store.get_opts(key, options).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// A cache over a store, in a directory that may outlive both.
struct World {
    plain: Arc<Counted>,
    cache: DiskCache,
    store: DiskCachedStore,
    metrics: Metrics,
}

impl World {
    fn new(dir: PathBuf, bounds: Bounds) -> Self {
        Self::over(Arc::default(), dir, bounds)
    }

    fn over(plain: Arc<Counted>, dir: PathBuf, bounds: Bounds) -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let cache = DiskCache::open(dir, bounds, metrics.clone());
        let store = cache.over(Arc::<Counted>::clone(&plain));
        Self { plain, cache, store, metrics }
    }

    fn gets(&self) -> usize {
        self.plain.gets.load(Ordering::Relaxed)
    }

    async fn put(&self, path: &str, data: &[u8]) {
        self.store.put(&path.into(), data.to_vec().into()).await.unwrap();
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Bytes {
        let got = self.store.get_range(&path.into(), range).await.unwrap();
        self.settle().await;
        got
    }

    /// Waits until all is written, and all known that was there.
    async fn settle(&self) {
        let parts = &self.cache.0;
        while !parts.flights.is_empty() || !parts.is_complete.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    }

    fn held(&self) -> (u64, usize) {
        self.cache.0.index.lock().held()
    }
}

fn block(tenant: &str, n: u32) -> String {
    format!("t/{tenant}/b/01ARZ3NDEKTSV4RRFFQ69G{n:04}/data.parquet")
}

/// All files of the entries in a directory.
fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out.sort();
    out
}

#[tokio::test]
async fn what_was_read_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().join("cache"), ROOM);
    world.put(&block("a", 1), b"0123456789").await;
    assert_eq!(world.get(&block("a", 1), 2..5).await, "234");
    assert_eq!(world.get(&block("a", 1), 2..5).await, "234");
    assert_eq!((world.gets(), world.metrics.hits.get(), world.metrics.misses.get()), (1, 1, 1));
    // Other ranges are other entries.
    assert_eq!(world.get(&block("a", 1), 2..6).await, "2345");
    assert_eq!(world.gets(), 2);

    let again = World::over(Arc::clone(&world.plain), dir.path().join("cache"), ROOM);
    let path = Path::from(block("a", 1));
    // At once, before anybody has looked at what is there.
    let options = GetOptions::new().with_range(Some(2..5));
    let got = again.store.get_opts(&path, options).await.unwrap();
    assert!(got.extensions.get::<FromCache>().is_some());
    assert_eq!((got.meta.size, got.range.clone(), got.meta.location.clone()), (10, 2..5, path));
    assert_eq!(got.bytes().await.unwrap(), "234");
    again.settle().await;
    assert_eq!((world.gets(), again.held()), (2, (8192, 2)));
    assert_eq!(again.get(&block("a", 1), 2..6).await, "2345");
    assert_eq!(world.gets(), 2);
}

#[tokio::test]
async fn only_ranges_of_blocks_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), ROOM);
    let manifest = "t/a/m/00000000000000000001.pb";
    for path in [manifest, "t/a/b/x", "t//b/x/y", "x/a/b/c/d", "a/b/c"] {
        world.put(path, b"0123456789").await;
        for _ in 0..2 {
            assert_eq!(world.get(path, 2..5).await, "234", "{path}");
        }
    }
    let path = Path::from(block("a", 1));
    world.put(path.as_ref(), b"0123456789").await;
    for _ in 0..2 {
        assert_eq!(world.store.head(&path).await.unwrap().size, 10);
        assert_eq!(world.store.get(&path).await.unwrap().bytes().await.unwrap(), "0123456789");
        let tail = GetOptions { range: Some(GetRange::Suffix(2)), ..GetOptions::default() };
        assert_eq!(world.store.get_opts(&path, tail).await.unwrap().range, 8..10);
        let other = GetOptions { if_match: Some("x".into()), ..GetOptions::new() };
        let other = other.with_range(Some(2..5));
        assert!(world.store.get_opts(&path, other).await.is_err());
        // Shorter than asked for.
        assert_eq!(world.get(path.as_ref(), 5..20).await, "56789");
        assert!(world.store.get_range(&path, 30..40).await.is_err());
        assert!(world.store.get_range(&block("a", 2).into(), 0..1).await.is_err());
    }
    world.settle().await;
    assert_eq!(world.held(), (0, 0));
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn the_least_recently_used_go_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    // An entry of 5000 bytes takes two pages.
    let bounds = Bounds { bytes: 5 * 8192, files: 1000 };
    let world = World::new(dir.path().into(), bounds);
    for n in 0..7 {
        world.put(&block("a", n), &[7; 20_000]).await;
        world.get(&block("a", n), 0..5000).await;
        world.get(&block("a", 0), 0..5000).await;
        assert!(world.held().0 <= bounds.bytes);
    }
    assert_eq!((world.held(), world.metrics.evictions.get()), ((40_960, 5), 2));
    assert_eq!(files(dir.path()).len(), 5);
    let before = world.gets();
    for n in [0, 3, 4, 5, 6] {
        world.get(&block("a", n), 0..5000).await;
    }
    assert_eq!(world.gets(), before, "these stayed");
    world.get(&block("a", 1), 0..5000).await;
    assert_eq!(world.gets(), before + 1);
    // More than a fourth of all is not kept.
    world.get(&block("a", 1), 0..12_000).await;
    world.get(&block("a", 1), 0..12_000).await;
    assert_eq!(world.gets(), before + 3);
}

#[tokio::test]
async fn the_least_recently_used_go_by_files_also_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), Bounds { bytes: 1 << 30, files: 5 });
    for n in 0..8 {
        world.put(&block("a", n), b"0123456789").await;
        world.get(&block("a", n), 0..5).await;
    }
    assert_eq!((world.held(), files(dir.path()).len()), ((5 * 4096, 5), 5));
    let fewer = World::new(dir.path().into(), Bounds { bytes: 1 << 30, files: 2 });
    fewer.settle().await;
    while files(dir.path()).len() > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fewer.held().1, 2);
    let smaller = World::new(dir.path().into(), Bounds { bytes: 4096, files: 1000 });
    smaller.settle().await;
    assert_eq!(smaller.held(), (4096, 1));
}

#[tokio::test]
async fn damaged_entries_are_absent_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), ROOM);
    world.put(&block("a", 1), b"0123456789").await;
    world.put(&block("a", 2), b"abcdefghij").await;
    world.get(&block("a", 2), 0..8).await;
    let foreign = fs::read(&files(dir.path())[0]).unwrap();
    world.get(&block("a", 1), 0..8).await;
    let file = files(dir.path()).into_iter().find(|f| fs::read(f).unwrap() != foreign).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
    all.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    }));
    all.push([&whole[..], b"x"].concat());
    all.push(foreign);
    for (n, bytes) in all.iter().enumerate() {
        assert_eq!(fs::read(&file).unwrap(), whole, "it was written anew");
        fs::write(&file, bytes).unwrap();
        let before = world.gets();
        assert_eq!(world.get(&block("a", 1), 0..8).await, "01234567", "{n}");
        assert_eq!((world.gets(), world.metrics.damaged.get()), (before + 1, n as u64 + 1));
    }
    // Gone behind our back, and a directory in its place.
    fs::remove_file(&file).unwrap();
    assert_eq!(world.get(&block("a", 1), 0..8).await, "01234567");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(world.get(&block("a", 1), 0..8).await, "01234567");
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("cache");
    // Nothing can be made below a file.
    fs::write(&at, "in the way").unwrap();
    let world = World::new(at.clone(), ROOM);
    world.put(&block("a", 1), b"0123456789").await;
    for _ in 0..3 {
        assert_eq!(world.get(&block("a", 1), 0..8).await, "01234567");
    }
    let Metrics { write_failures, paused, .. } = &world.metrics;
    assert_eq!((world.gets(), write_failures.get(), paused.get()), (3, 1, 1), "tried once");
    fs::remove_file(&at).unwrap();
    *world.cache.0.paused.lock() = Some(Instant::now());
    for _ in 0..2 {
        assert_eq!(world.get(&block("a", 1), 0..8).await, "01234567");
    }
    assert_eq!((world.gets(), paused.get(), files(&at).len()), (4, 0, 1), "it works again");
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("ab");
    fs::create_dir_all(&shard).unwrap();
    fs::write(shard.join("7.tmp"), "half").unwrap();
    fs::write(dir.path().join("README"), "not ours").unwrap();
    fs::write(shard.join("other"), "not ours").unwrap();
    let world = World::new(dir.path().into(), ROOM);
    world.settle().await;
    let left: Vec<_> =
        files(dir.path()).iter().map(|f| f.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, ["README", "other"]);
    assert_eq!(world.held(), (0, 0));
}

#[tokio::test]
async fn readers_of_one_range_fetch_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), ROOM);
    world.put(&block("a", 1), b"0123456789").await;
    world.settle().await;
    let path = Path::from(block("a", 1));
    let reads = (0..50).map(|_| world.store.get_range(&path, 1..4));
    let got = futures_util::future::join_all(reads).await;
    assert!(got.into_iter().all(|bytes| bytes.unwrap() == "123"));
    assert_eq!((world.gets(), world.metrics.hits.get()), (1, 49));
    // One who gives up leaves the others their turn.
    let mut first = Box::pin(world.store.get_range(&path, 5..9));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = Box::pin(world.store.get_range(&path, 5..9));
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(30), second).await;
    assert_eq!(second.expect("it has its turn").unwrap(), "5678");
    world.settle().await;
    assert!(world.cache.0.flights.is_empty());
}

#[tokio::test]
async fn what_the_store_sent_damaged_is_replaced_when_it_is_asked_for_anew() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), ROOM);
    let path = block("a", 1);
    world.put(&path, b"01234X6789").await;
    assert_eq!(world.get(&path, 3..8).await, "34X67");
    world.put(&path, b"0123456789").await;
    assert_eq!(world.get(&path, 3..8).await, "34X67", "it is kept");
    let mut options = GetOptions::new().with_range(Some(3..8));
    options.extensions.insert(Anew);
    let got = world.store.get_opts(&path.as_str().into(), options).await.unwrap();
    assert!(got.extensions.get::<FromCache>().is_none());
    assert_eq!(got.bytes().await.unwrap(), "34567");
    world.settle().await;
    assert_eq!(world.get(&path, 3..8).await, "34567");
    let again = World::over(Arc::clone(&world.plain), dir.path().into(), ROOM);
    assert_eq!(again.get(&path, 3..8).await, "34567");
    assert_eq!((world.gets(), world.held().1), (2, 1));
}

#[tokio::test]
async fn tenants_never_share_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path().into(), ROOM);
    for (tenant, data) in [("a", b"aaaaaaaaaa"), ("b", b"bbbbbbbbbb")] {
        world.put(&block(tenant, 1), data).await;
    }
    for _ in 0..2 {
        assert_eq!(world.get(&block("a", 1), 0..4).await, "aaaa");
        assert_eq!(world.get(&block("b", 1), 0..4).await, "bbbb");
    }
    assert_eq!(world.gets(), 2);
    // Even under the other's name: the entry says whose it is.
    let [one, other] = files(dir.path()).try_into().unwrap();
    let (a, b) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
    fs::write(&one, b).unwrap();
    fs::write(&other, a).unwrap();
    assert_eq!(world.get(&block("a", 1), 0..4).await, "aaaa");
    assert_eq!(world.get(&block("b", 1), 0..4).await, "bbbb");
    assert_eq!((world.gets(), world.metrics.damaged.get()), (4, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_readers_see_what_the_store_has() {
    let dir = tempfile::tempdir().unwrap();
    let world = Arc::new(World::new(dir.path().into(), Bounds { bytes: 64 << 10, files: 12 }));
    let data = |n: u32| (0..9000u32).map(|i| (i * 31 + n * 7 + i / 256).to_le_bytes()[0]).collect();
    let objects: Vec<Vec<u8>> = (0..3).map(data).collect();
    for (n, object) in (0..).zip(&objects) {
        world.put(&block("a", n), object).await;
    }
    let objects = Arc::new(objects);
    let reader = |seed: u64| {
        let (world, objects, dir) =
            (Arc::clone(&world), Arc::clone(&objects), dir.path().to_owned());
        skald_runtime::spawn("reader", async move {
            let rng = Rng::seeded(seed);
            let below = |n: u128| usize::try_from(rng.next_u128() % n).unwrap();
            for _ in 0..150 {
                let (n, start) = (below(3), below(8) * 1000);
                let range = start..start + (below(3) + 1) * 400;
                let path = Path::from(block("a", u32::try_from(n).unwrap()));
                let asked = range.start as u64..range.end as u64;
                let got = world.store.get_range(&path, asked).await.unwrap();
                assert_eq!(got, objects[n][range]);
                if below(20) == 0
                    && let Some(file) = files(&dir).first()
                {
                    // Somebody damages or deletes at any time.
                    let _ =
                        if below(2) == 0 { fs::write(file, "?") } else { fs::remove_file(file) };
                }
            }
        })
    };
    for task in [1, 2, 3, 4, 5, 6].map(reader) {
        task.await.unwrap();
    }
    world.settle().await;
    let (bytes, n_files) = world.held();
    assert!(bytes <= 64 << 10 && n_files <= 12, "{bytes} {n_files}");
    assert!(world.metrics.hits.get() > 0 && world.metrics.evictions.get() > 0);
}

/// Files of the first version are read for ever, or counted as absent: see docs/formats/disk-cache.md.
#[test]
fn an_entry_has_the_bytes_of_version_1() {
    let key = Key::new(block("a", 1).into(), 3..7);
    let meta = ObjectMeta {
        location: key.path.clone(),
        last_modified: (std::time::SystemTime::UNIX_EPOCH
            + Duration::from_millis(1_700_000_000_123))
        .into(),
        size: 10,
        e_tag: None,
        version: None,
    };
    let entry = Entry::of(&key, &meta, Bytes::from_static(b"3456"));
    let bytes = Bytes::from([&entry.head()[..], &entry.data].concat());
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/disk-cache-v1.bin");
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(bytes, fs::read(&file).unwrap());
    assert_eq!(bytes.len() as u64, entry::size(&key));
    assert_eq!(format!("{:032x}", key.hash), "9794e5b984c4823ffe9e3d8e4e5ee70a");
    let read = Entry::parse(&bytes, &key).unwrap();
    assert_eq!((&read, read.modified()), (&entry, entry.modified()));
    assert!(Entry::parse(&bytes, &Key::new(block("a", 1).into(), 3..8)).is_none());
    assert!(Entry::parse(&bytes, &Key::new(block("b", 1).into(), 3..7)).is_none());
}
