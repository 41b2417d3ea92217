//! Everything there is: processes, their disks, the network, the store of keys, the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use object_store::memory::InMemory;
use parking_lot::Mutex;
use skald_coord::{KeyStore, MemoryStore, Picture};
use skald_model::TenantId;
use skald_ring::PartitionState;
use skald_runtime::{Rng, Scope, Shutdown};
use skald_store::faulty::{Fault, FaultyStore, Op};
use skald_wal::MemFs;
use skald_wal::fs::mem::Tear;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::clock::NodeClock;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::net::{Net, Place};
use crate::process::{Front, Kit, PREFIX, RunningIngester, Seat};
use crate::trace::Trace;

/// What a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Ingester { partition: u32 },
    Front,
    Compactor,
}

/// A process that runs.
#[derive(Debug)]
pub struct Running {
    pub kind: Kind,
    pub life: u64,
    pub scope: Scope,
    pub clock: Arc<NodeClock>,
    pub stop: Shutdown,
    /// Once it serves.
    pub ingester: Option<RunningIngester>,
    pub front: Option<Front>,
    pub is_ready: bool,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine goes on.
    Kill,
    Power(Tear),
}

#[derive(Debug)]
struct Disk {
    fs: MemFs,
    dir: TempDir,
}

/// A simulated cluster.
#[derive(Debug)]
pub struct World {
    pub trace: Trace,
    pub rng: Rng,
    pub net: Net,
    pub ledger: Ledger,
    pub tenants: Vec<TenantId>,
    pub true_time: NodeClock,
    pub replication_factor: usize,
    pub flush_interval: Duration,
    keys: Arc<MemoryStore>,
    bucket: Arc<InMemory>,
    start: Instant,
    lives: AtomicU64,
    is_over: AtomicBool,
    /// What faults and the supervisor do later and have not done.
    pub n_later: AtomicU64,
    /// What starts processes again belongs here.
    supervisor: Scope,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<String, Running>,
    /// Whose name somebody else has taken.
    usurped: Vec<(String, Running)>,
    /// What those have lies there, until the world ends.
    usurped_disks: Vec<Disk>,
    disks: BTreeMap<String, Disk>,
    /// By name and life: of those, too, whose name somebody else has taken.
    stores: BTreeMap<(String, u64), Arc<FaultyStore>>,
    /// Replicas that lost their disk and are not known to have been rebuilt.
    lost: BTreeSet<String>,
}

// === impl World ===

impl World {
    pub fn new(seed: u64, trace: Trace, replication_factor: usize) -> Arc<Self> {
        let rng = Rng::seeded(seed);
        let start = Instant::now();
        let net = Net::new(Rng::seeded(rng.next_u64()), trace.clone());
        let tenants = ["one", "two", "three"].iter().filter_map(|id| TenantId::parse(id).ok());
        Arc::new(Self {
            trace,
            net,
            ledger: Ledger::default(),
            tenants: tenants.collect(),
            true_time: NodeClock::new(start),
            replication_factor,
            flush_interval: Duration::from_secs(15 + rng.below(90)),
            keys: Arc::default(),
            bucket: Arc::default(),
            start,
            lives: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            n_later: AtomicU64::new(0),
            supervisor: Scope::new(),
            state: Mutex::default(),
            rng,
        })
    }

    pub fn load_is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub fn end_load(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    // --- starting ---

    /// Starts a process under a name, on the disk of that name; it is ready some time later.
    pub fn start(self: &Arc<Self>, name: &str, zone: &str, kind: Kind) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.running.contains_key(name) {
            return Ok(());
        }
        let life = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        let place = Place { name: name.to_owned(), zone: zone.to_owned(), life };
        let clock = Arc::new(NodeClock::new(self.start));
        let (fs, data_dir) = {
            let disk = match state.disks.entry(name.to_owned()) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => new.insert(Disk::new()?),
            };
            (disk.fs.clone(), disk.dir.path().to_owned())
        };
        let bucket = Arc::clone(&self.bucket);
        let store = FaultyStore::new(bucket, self.rng.next_u64());
        set_faults(&store, &[]);
        state.stores.insert((name.to_owned(), life), Arc::clone(&store));
        let kit = Kit {
            keys: Arc::new(Keys::new(Arc::clone(&self.keys), self.net.clone(), place.clone())),
            store,
            net: self.net.clone(),
            clock: Arc::clone(&clock) as _,
            rng: Rng::seeded(self.rng.next_u64()),
            data_dir,
            replication_factor: self.replication_factor,
            place,
        };
        let (scope, stop) = (Scope::new(), Shutdown::new());
        let running = Running {
            kind: kind.clone(),
            life,
            scope: scope.clone(),
            clock,
            stop: stop.clone(),
            ingester: None,
            front: None,
            is_ready: false,
        };
        state.running.insert(name.to_owned(), running);
        drop(state);
        self.trace.note(format_args!("start {name}, life {life}"));
        let seat = self.seat(name, life, &kind, fs);
        let (world, name, zone) = (Arc::clone(self), name.to_owned(), zone.to_owned());
        let again = kind.clone();
        scope.spawn("main", async move {
            // What a process of this name held a moment ago is given back by then.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let stopped = stop.clone();
            tokio::select! {
                why = world.main(&name, life, kit, kind, seat, stop) => {
                    let (Ok(why) | Err(why)) = why;
                    if world.exited(life, &why) {
                        world.start_again(name, zone, again);
                    }
                }
                () = world.stopped(life, &stopped) => {
                    world.exited(life, "asked to");
                }
            }
        });
        Ok(())
    }

    /// What an ingester is given: at times an address of its own life.
    fn seat(&self, name: &str, life: u64, kind: &Kind, fs: MemFs) -> Option<Seat> {
        let Kind::Ingester { partition } = *kind else { return None };
        let addr = match self.rng.below(2) {
            0 => name.to_owned(),
            _ => format!("{name}:{life}"),
        };
        let (replica, flush_interval) = (name.to_owned(), self.flush_interval);
        Some(Seat { replica, partition, addr, fs: Arc::new(fs), flush_interval })
    }

    /// Starts what exited by itself again, as whoever watches over processes does.
    fn start_again(self: &Arc<Self>, name: String, zone: String, kind: Kind) {
        let wait = Duration::from_millis(1000 + self.rng.below(10_000));
        let world = Arc::clone(self);
        self.n_later.fetch_add(1, Ordering::SeqCst);
        self.supervisor.spawn("supervisor", async move {
            tokio::time::sleep(wait).await;
            if let Err(e) = world.start(&name, &zone, kind) {
                world.trace.note(format_args!("cannot start {name}: {e}"));
            }
            world.n_later.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Completes when a process that was asked to stop has nothing to do any more.
    async fn stopped(&self, life: u64, stop: &Shutdown) {
        stop.wait().await;
        loop {
            let is_done = {
                let state = self.state.lock();
                let usurped = state.usurped.iter().map(|(_, r)| r);
                let mut all = state.running.values().chain(usurped).filter(|r| r.life == life);
                let ingester = all.find_map(|r| r.ingester.as_ref());
                ingester.is_none_or(|i| i.flusher.is_finished())
            };
            if is_done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The life of a process; answers why it exits.
    async fn main(
        &self,
        name: &str,
        life: u64,
        kit: Kit,
        kind: Kind,
        seat: Option<Seat>,
        stop: Shutdown,
    ) -> Result<String, String> {
        match (kind, seat) {
            (Kind::Ingester { .. }, Some(seat)) => {
                let started = kit.ingester(seat, &stop).await?;
                let (ingester, cluster) = (started.ingester.clone(), started.cluster.clone());
                self.ready(name, life, |running| running.ingester = Some(started));
                tokio::select! {
                    e = ingester.failed() => Ok(skald_model::Chain(&e).to_string()),
                    () = cluster.fenced() => Ok("fenced".to_owned()),
                }
            }
            (Kind::Front, _) => {
                let front = kit.front(&stop).await?;
                self.ready(name, life, |running| running.front = Some(front));
                std::future::pending().await
            }
            _ => {
                kit.compactor()?;
                self.ready(name, life, |_| ());
                std::future::pending().await
            }
        }
    }

    fn ready(&self, name: &str, life: u64, set: impl FnOnce(&mut Running)) {
        let mut state = self.state.lock();
        let State { running, usurped, .. } = &mut *state;
        let mut all = running.values_mut().chain(usurped.iter_mut().map(|(_, r)| r));
        if let Some(running) = all.find(|r| r.life == life) {
            running.is_ready = true;
            set(running);
            self.trace.note(format_args!("{name}, life {life}, is ready"));
        }
    }

    // --- ending ---

    /// A process that cannot go on ends itself. Whether its name is free now.
    fn exited(&self, life: u64, why: &str) -> bool {
        let name = {
            let state = self.state.lock();
            let own = state.running.iter().find(|(_, r)| r.life == life);
            own.map(|(name, _)| name.clone())
        };
        // Directories have other names in each run.
        let word =
            |w: &str| if w.contains("/dev/shm") || w.contains("/tmp") { "…" } else { w }.to_owned();
        let why: Vec<_> = why.split(' ').map(word).collect();
        self.trace.note(format_args!("{name:?}, life {life}, exits: {}", why.join(" ")));
        match &name {
            Some(name) => self.end(name, End::Kill),
            None => self.end_usurped(life),
        }
        name.is_some()
    }

    fn end_usurped(&self, life: u64) {
        let mut state = self.state.lock();
        let Some(i) = state.usurped.iter().position(|(_, r)| r.life == life) else { return };
        let (name, running) = state.usurped.remove(i);
        state.stores.remove(&(name, life));
        drop(state);
        self.net.hang_up(life);
        running.scope.kill();
    }

    /// Ends a process; its disk stays.
    pub fn end(&self, name: &str, how: End) {
        let mut state = self.state.lock();
        let Some(running) = state.running.remove(name) else { return };
        state.stores.remove(&(name.to_owned(), running.life));
        if let Some(disk) = state.disks.get_mut(name) {
            disk.fs = match how {
                End::Kill => disk.fs.after_kill(),
                End::Power(tear) => disk.fs.after_power_loss(tear),
            };
        }
        drop(state);
        self.trace.note(format_args!("{name}, life {}, ends: {how:?}", running.life));
        self.net.hang_up(running.life);
        running.scope.kill();
    }

    /// Takes the disk of a process that does not run away.
    pub fn lose_disk(&self, name: &str, holds_data: bool) {
        let mut state = self.state.lock();
        if state.running.contains_key(name) || state.disks.remove(name).is_none() {
            return;
        }
        if holds_data {
            state.lost.insert(name.to_owned());
        }
        drop(state);
        self.trace.note(format_args!("{name} loses its disk"));
    }

    /// Starts a second process of the same name on an empty disk, beside the first one.
    pub fn usurp(self: &Arc<Self>, name: &str, zone: &str) -> Result<(), String> {
        let kind = {
            let mut state = self.state.lock();
            let Some(running) = state.running.remove(name) else { return Ok(()) };
            let kind = running.kind.clone();
            state.usurped.push((name.to_owned(), running));
            // Its disk is the old process's alone.
            let disk = state.disks.remove(name);
            state.usurped_disks.extend(disk);
            state.lost.insert(name.to_owned());
            kind
        };
        self.trace.note(format_args!("{name} is started a second time"));
        self.start(name, zone, kind)
    }

    // --- looking ---

    /// What really stands in the store of keys.
    pub async fn truth(&self) -> Result<Picture, String> {
        let snapshot = self.keys.list(PREFIX).await.map_err(|e| e.to_string())?;
        Picture::read(&snapshot, PREFIX).map_err(|e| e.to_string())
    }

    /// Replicas whose disk is lost and that are not rebuilt.
    pub fn lost(&self, truth: &Picture) -> BTreeSet<String> {
        let mut state = self.state.lock();
        let State { lost, running, .. } = &mut *state;
        lost.retain(|name| {
            let own = running.get(name).and_then(|r| r.ingester.as_ref()).map(|i| &i.incarnation);
            let record = truth.epochs.get(name).map(|at| &at.record);
            !own.zip(record).is_some_and(|(own, r)| r.disk == own.disk && !r.rebuilding)
        });
        lost.clone()
    }

    /// Whether a replica's disk may be lost without losing acknowledged data.
    pub fn may_lose(&self, truth: &Picture, name: &str) -> bool {
        let Some((_, at)) = truth.partition_of(name) else { return true };
        if !matches!(at.record.state, PartitionState::Active | PartitionState::ReadOnly) {
            return true;
        }
        let lost = self.lost(truth);
        let is_rebuilding = |id: &str| truth.epochs.get(id).is_some_and(|at| at.record.rebuilding);
        let mut others = at.record.replicas.iter().filter(|seat| seat.id != name);
        self.replication_factor == 3
            && others.all(|seat| !lost.contains(&seat.id) && !is_rebuilding(&seat.id))
    }

    /// Names of running processes that match.
    pub fn names(&self, which: impl Fn(&Running) -> bool) -> Vec<String> {
        let state = self.state.lock();
        let matching = state.running.iter().filter(|(_, running)| which(running));
        matching.map(|(name, _)| name.clone()).collect()
    }

    /// Looks at a running process.
    pub fn with<T>(&self, name: &str, look: impl FnOnce(&Running) -> T) -> Option<T> {
        self.state.lock().running.get(name).map(look)
    }

    /// How many processes run whose name somebody else has.
    pub fn n_usurped(&self) -> usize {
        self.state.lock().usurped.len()
    }

    pub fn any_front(&self, rng: &Rng) -> Option<(Scope, Front)> {
        let state = self.state.lock();
        let fronts: Vec<_> = state
            .running
            .values()
            .filter_map(|r| r.front.as_ref().map(|front| (r.scope.clone(), front.clone())))
            .collect();
        let i = usize::try_from(rng.below(fronts.len() as u64)).unwrap_or(0);
        fronts.into_iter().nth(i)
    }

    // --- disks and the bucket ---

    /// Does something to the file system of a process.
    pub fn with_disk(&self, name: &str, work: impl FnOnce(&MemFs)) {
        if let Some(disk) = self.state.lock().disks.get(name) {
            work(&disk.fs);
        }
    }

    /// Makes the bucket fail for one process, or for all.
    pub fn set_bucket_faults(&self, name: Option<&str>, faults: &[(Op, Fault, f64)]) {
        let state = self.state.lock();
        let chosen = state.stores.iter().filter(|((n, _), _)| name.is_none_or(|name| n == name));
        chosen.for_each(|(_, store)| set_faults(store, faults));
    }

    /// Ends all that is wrong, but starts nothing.
    pub fn heal(&self) {
        self.trace.note(format_args!("heal"));
        self.net.heal();
        self.set_bucket_faults(None, &[]);
        let state = self.state.lock();
        for disk in state.disks.values() {
            disk.fs.set_capacity(None);
            disk.fs.fail_no_more();
        }
        let usurped = state.usurped.iter().map(|(_, r)| r);
        for running in state.running.values().chain(usurped) {
            running.clock.set_error_ms(0);
            running.scope.resume();
        }
    }
}

/// Replaces the faults of a store; it always takes some time.
fn set_faults(store: &FaultyStore, faults: &[(Op, Fault, f64)]) {
    store.clear();
    for (op, fault, probability) in faults {
        store.sometimes(*op, *fault, *probability);
    }
    for op in [Op::Put, Op::Get, Op::List] {
        store.always(op, Fault::Latency(Duration::from_millis(15)));
    }
}

// === impl Disk ===

impl Disk {
    fn new() -> Result<Self, String> {
        // Syncs cost nothing in memory.
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() };
        Ok(Self { fs: MemFs::new(), dir: dir.map_err(|e| e.to_string())? })
    }
}
