//! One seed from beginning to end: a cluster comes up, works under faults, is healed, and has everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use skald_model::Signal;
use skald_ring::PartitionState;
use skald_rpc::IngesterApi;
use skald_runtime::{Rng, Scope};
use tokio::time::{Instant, sleep};

use crate::faults::{Faults, ingester, start};
use crate::load::{self, Writer};
use crate::trace::Trace;
use crate::world::{Kind, World};

/// How a seed is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long writers write.
    pub load: Duration,
    /// Whether anything goes wrong.
    pub faults: bool,
    /// Print every event.
    pub echo: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { load: Duration::from_secs(150), faults: true, echo: false }
    }
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub hash: u64,
    pub n_events: u64,
    pub n_sent: usize,
    pub n_acked: usize,
    pub n_queries: u64,
    /// Queries that failed while something was wrong.
    pub n_failed: u64,
    /// The promise that was broken.
    pub violation: Option<String>,
    pub last: Vec<String>,
}

/// What readers found.
#[derive(Debug, Default)]
struct Found {
    n_queries: u64,
    n_failed: u64,
    violation: Option<String>,
}

/// Longest time in which a healed cluster must be well.
const RECOVERY: Duration = Duration::from_secs(400);
const WRITERS: usize = 4;

/// Runs a seed. The runtime has one thread and a paused clock.
pub async fn run(seed: u64, options: Options) -> Outcome {
    let trace = Trace::new(options.echo);
    let rng = Rng::seeded(seed ^ 0x5eed);
    let replication_factor = if rng.below(8) == 0 { 1 } else { 3 };
    let world = World::new(seed, trace.clone(), replication_factor);
    let found = Arc::new(Mutex::new(Found::default()));
    let violation = drive(&world, &rng, options, &found).await.err();
    let (n_sent, n_acked) = world.ledger.counts();
    let found = found.lock();
    let violation = violation.or_else(|| found.violation.clone());
    Outcome {
        hash: trace.hash(),
        n_events: trace.n_lines(),
        n_sent,
        n_acked,
        n_queries: found.n_queries,
        n_failed: found.n_failed,
        violation,
        last: trace.last(),
    }
}

async fn drive(
    world: &Arc<World>,
    rng: &Rng,
    options: Options,
    found: &Arc<Mutex<Found>>,
) -> Result<(), String> {
    for zone in ["a", "b", "c"].iter().take(world.replication_factor) {
        start(world, &ingester(zone, 0));
    }
    for name in ["front-a", "front-b", "compactor-c"] {
        start(world, name);
    }
    until(world, "the cluster comes up", is_well).await?;
    let all = Scope::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let writer = Writer { world: Arc::clone(world), n, rng: Rng::seeded(rng.next_u64()) };
            all.spawn("writer", writer.run())
        })
        .collect();
    let reader = all
        .spawn("reader", read(Arc::clone(world), Rng::seeded(rng.next_u64()), Arc::clone(found)));
    if options.faults {
        let (world, rng) = (Arc::clone(world), Rng::seeded(rng.next_u64()));
        all.spawn("faults", Faults { world, rng, scope: all.clone() }.run());
    }
    let end = Instant::now() + options.load;
    while Instant::now() < end && found.lock().violation.is_none() {
        sleep(Duration::from_secs(1)).await;
    }
    world.end_load();
    if let Some(violation) = &found.lock().violation {
        return Err(violation.clone());
    }
    sleep(Duration::from_secs(1)).await;
    heal(world).await?;
    until(world, "the cluster recovers", is_well).await?;
    // What faults have begun may yet end a process.
    let begun = Instant::now();
    while world.n_later.load(Ordering::SeqCst) > 0 {
        if begun.elapsed() > RECOVERY {
            return Err("processes exit again and again".to_owned());
        }
        sleep(Duration::from_secs(1)).await;
    }
    heal(world).await?;
    until(world, "the cluster stays well", is_well).await?;
    for writer in writers {
        writer.await.map_err(|e| format!("writer: {e}"))?;
    }
    reader.await.map_err(|e| format!("reader: {e}"))?;
    let found = found.lock().violation.clone();
    found.map_or(Ok(()), Err)?;
    finish(world, rng).await
}

/// Everything goes on, and everything is started.
async fn heal(world: &Arc<World>) -> Result<(), String> {
    world.heal();
    let truth = world.truth().await?;
    for seat in truth.partitions.values().flat_map(|at| &at.record.replicas) {
        start(world, &seat.id);
    }
    for name in ["front-a", "front-b", "compactor-c"] {
        start(world, name);
    }
    Ok(())
}

/// Waits for a state.
async fn until(
    world: &Arc<World>,
    what: &str,
    is_so: impl AsyncFn(&Arc<World>) -> Result<(), String>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let Err(why) = is_so(world).await else { return Ok(()) };
        if start.elapsed() > RECOVERY {
            return Err(format!("{what}: not within {RECOVERY:?}: {why}"));
        }
        sleep(Duration::from_secs(1)).await;
        // What exited once may have done so for a reason that is gone.
        if start.elapsed().as_secs() % 10 == 5 {
            heal(world).await?;
        }
    }
}

async fn is_well(world: &Arc<World>) -> Result<(), String> {
    let starting = world.names(|r| !r.is_ready);
    if !starting.is_empty() {
        return Err(format!("{starting:?} are not ready"));
    }
    if world.n_usurped() > 0 {
        return Err("a process runs whose name another one has".to_owned());
    }
    let truth = world.truth().await?;
    let seats = truth.partitions.values().flat_map(|at| &at.record.replicas);
    let gone: Vec<_> = seats.filter(|s| world.with(&s.id, |_| ()).is_none()).collect();
    if !gone.is_empty() {
        return Err(format!("{gone:?} do not run"));
    }
    let lost = world.lost(&truth);
    if !lost.is_empty() {
        return Err(format!("{lost:?} are not rebuilt"));
    }
    let states: Vec<_> = truth.partitions.iter().map(|(n, at)| (n, at.record.state)).collect();
    let is_settled = |s: &PartitionState| *s != PartitionState::ReadOnly;
    if !states.iter().any(|(_, s)| *s == PartitionState::Active) {
        return Err(format!("no partition is active: {states:?}"));
    }
    let fronts = world.names(|r| r.kind == Kind::Front);
    let version = truth.version();
    for name in fronts {
        let own = world.with(&name, |r| r.front.as_ref().map(|f| f.cluster.picture().version()));
        if own.flatten() != Some(version) {
            return Err(format!("{name} has view {own:?}, and the newest is {version}"));
        }
    }
    match states.iter().all(|(_, s)| is_settled(s)) {
        true => Ok(()),
        false => Err(format!("partitions are not settled: {states:?}")),
    }
}

/// Queries while all this goes on.
async fn read(world: Arc<World>, rng: Rng, found: Arc<Mutex<Found>>) {
    while !world.load_is_over() && found.lock().violation.is_none() {
        sleep(Duration::from_millis(500 + rng.below(6000))).await;
        let answer = load::query(&world, &rng).await;
        let mut found = found.lock();
        found.n_queries += 1;
        match answer {
            Some(Ok(_)) => {}
            Some(Err(violation)) => {
                world.trace.note(format_args!("VIOLATION: {violation}"));
                found.violation = Some(violation);
            }
            None => found.n_failed += 1,
        }
    }
}

/// With everything healed writes succeed, all is there, and stays there when it is flushed.
async fn finish(world: &Arc<World>, rng: &Rng) -> Result<(), String> {
    for n in 0..WRITERS {
        let writer = Writer { world: Arc::clone(world), n, rng: Rng::seeded(rng.next_u64()) };
        writer.probe().await.map_err(|e| format!("after healing, {e}"))?;
    }
    read_all(world, rng, "after healing").await?;
    for name in world.names(|r| matches!(r.kind, Kind::Ingester { .. })) {
        let of = world
            .with(&name, |r| r.ingester.as_ref().map(|i| (r.scope.clone(), i.ingester.clone())));
        let Some((scope, ingester)) = of.flatten() else { continue };
        let flushed = scope.spawn("flush", async move { ingester.flush(0).await });
        let flushed = flushed.await.map_err(|e| format!("flush of {name}: {e}"))?;
        flushed.map_err(|e| format!("flush of {name}: {e}"))?;
    }
    read_all(world, rng, "after a flush").await
}

async fn read_all(world: &Arc<World>, rng: &Rng, when: &str) -> Result<(), String> {
    for tenant in 0..world.tenants.len() {
        for signal in [Signal::Metrics, Signal::Logs] {
            let mut attempts = 0;
            let reads = loop {
                let (scope, front) = world.any_front(rng).ok_or("no front")?;
                match load::read(world, &front, &scope, tenant, signal).await {
                    Ok(reads) => break reads,
                    Err(e) if attempts == 5 => return Err(format!("{when}, a query fails: {e}")),
                    Err(e) => {
                        world.trace.note(format_args!("{when}, a query failed: {e}"));
                        attempts += 1;
                        sleep(Duration::from_secs(10)).await;
                    }
                }
            };
            let acked = world.ledger.acked_of(tenant, signal);
            let named = |e| format!("{when}, {signal:?} of tenant {tenant}: {e}");
            world.ledger.check(tenant, signal, &acked, &reads).map_err(named)?;
        }
    }
    Ok(())
}
