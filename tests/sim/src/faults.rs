//! What goes wrong, drawn from the seed: several things at a time, each for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use skald_ring::PartitionState;
use skald_rpc::IngesterApi;
use skald_runtime::{Rng, Scope};
use skald_store::faulty::{Fault, Op as StoreOp};
use skald_wal::fs::mem::{Op, Tear};
use tokio::time::sleep;

use crate::net::Weather;
use crate::world::{End, Kind, World};

const ZONES: [&str; 3] = ["a", "b", "c"];
/// Partitions there may be.
pub const PARTITIONS: u64 = 3;

/// Strikes until the load ends.
#[derive(Debug)]
pub struct Faults {
    pub world: Arc<World>,
    pub rng: Rng,
    /// What ends a fault belongs here.
    pub scope: Scope,
}

/// The name of an ingester.
pub fn ingester(zone: &str, partition: u32) -> String {
    format!("ingester-{zone}-{partition}")
}

/// Zone and kind of a process by its name.
pub fn of_name(name: &str) -> Option<(&str, Kind)> {
    let mut parts = name.split('-');
    let (role, zone) = (parts.next()?, parts.next()?);
    let kind = match role {
        "ingester" => Kind::Ingester { partition: parts.next()?.parse().ok()? },
        "front" => Kind::Front,
        _ => Kind::Compactor,
    };
    Some((zone, kind))
}

// === impl Faults ===

impl Faults {
    pub async fn run(self) {
        // Seeds differ in how much goes wrong at once. In a few it is so much that hardly anything gets through.
        let calm = match self.rng.below(8) {
            0 => 2,
            _ => 10 + self.rng.below(40),
        };
        while !self.world.load_is_over() {
            sleep(Duration::from_millis(500 + self.rng.below(calm * 1000))).await;
            if !self.world.load_is_over() {
                self.strike().await;
            }
        }
    }

    async fn strike(&self) {
        match self.rng.below(27) {
            0..=2 => self.end_one(End::Kill),
            3..=4 => self.end_one(End::Power(self.tear())),
            5 => self.end_many(),
            6..=7 => self.lose_disk().await,
            8 => self.usurp().await,
            9..=10 => self.pause(),
            11 => self.end_other(),
            12..=13 => self.cut(),
            14 => self.cut_coordinator(),
            15 => self.weather(),
            16 => self.turn_clock(),
            17..=18 => self.bucket(),
            19 => self.fill_disk(),
            20 => self.fail_disk(),
            21..=22 => self.flush(),
            23 => self.drain(),
            24 => self.grow(),
            25 => self.retire().await,
            _ => self.restart(),
        }
    }

    // --- choosing ---

    fn tear(&self) -> Tear {
        let n = usize::try_from(self.rng.below(4096)).unwrap_or(0);
        match self.rng.below(3) {
            0 => Tear::Lose,
            1 => Tear::Keep(n),
            _ => Tear::Zero(n),
        }
    }

    fn one(&self, all: &[String]) -> Option<String> {
        let i = usize::try_from(self.rng.below(all.len() as u64)).unwrap_or(0);
        all.get(i).cloned()
    }

    fn any_ingester(&self) -> Option<String> {
        self.one(&self.world.names(|r| matches!(r.kind, Kind::Ingester { .. })))
    }

    fn any(&self) -> Option<String> {
        self.one(&self.world.names(|_| true))
    }

    fn zone(&self) -> &'static str {
        ZONES[usize::try_from(self.rng.below(3)).unwrap_or(0)]
    }

    /// Does something after a while.
    fn later(&self, max_s: u64, what: impl FnOnce(&Arc<World>) + Send + 'static) {
        let wait = Duration::from_millis(500 + self.rng.below(max_s * 1000));
        let world = Arc::clone(&self.world);
        world.n_later.fetch_add(1, Ordering::SeqCst);
        self.scope.spawn("later", async move {
            sleep(wait).await;
            what(&world);
            world.n_later.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn start_later(&self, name: String, max_s: u64) {
        self.later(max_s, move |world| start(world, &name));
    }

    // --- processes ---

    fn end_one(&self, how: End) {
        let Some(name) = self.any_ingester() else { return };
        self.world.end(&name, how);
        self.start_later(name, 40);
    }

    /// A whole zone, or everything.
    fn end_many(&self) {
        let zone = self.zone();
        let all = self.rng.below(3) == 0;
        let tear = self.tear();
        for name in self.world.names(|_| true) {
            if all || of_name(&name).is_some_and(|(z, _)| z == zone) {
                self.world.end(&name, End::Power(tear));
                self.start_later(name, 20);
            }
        }
    }

    fn end_other(&self) {
        let Some(name) = self.one(&self.world.names(|r| !matches!(r.kind, Kind::Ingester { .. })))
        else {
            return;
        };
        self.world.end(&name, End::Kill);
        self.start_later(name, 15);
    }

    async fn lose_disk(&self) {
        let Some(name) = self.any_ingester() else { return };
        let Ok(truth) = self.world.truth().await else { return };
        if self.world.may_lose(&truth, &name) {
            self.world.end(&name, End::Kill);
            self.world.lose_disk(&name, true);
            self.start_later(name, 40);
        }
    }

    async fn usurp(&self) {
        let Some(name) = self.any_ingester() else { return };
        let Ok(truth) = self.world.truth().await else { return };
        if let Some((zone, _)) = of_name(&name)
            && self.world.may_lose(&truth, &name)
            && let Err(e) = self.world.usurp(&name, zone)
        {
            self.world.trace.note(format_args!("cannot start {name}: {e}"));
        }
    }

    fn pause(&self) {
        let Some(name) = self.any() else { return };
        let Some(scope) = self.world.with(&name, |r| r.scope.clone()) else { return };
        self.world.trace.note(format_args!("{name} stands still"));
        scope.pause();
        self.later(90, move |world| {
            world.trace.note(format_args!("{name} goes on"));
            scope.resume();
        });
    }

    /// In order, as an upgrade does.
    fn restart(&self) {
        let Some(name) = self.any_ingester() else { return };
        let Some((stop, life)) = self.world.with(&name, |r| (r.stop.clone(), r.life)) else {
            return;
        };
        self.world.trace.note(format_args!("{name} is asked to stop"));
        stop.trigger();
        self.later(20, move |world| {
            if world.with(&name, |r| r.life) == Some(life) {
                world.end(&name, End::Kill);
            }
            start(world, &name);
        });
    }

    // --- network and clocks ---

    fn cut(&self) {
        let mut ends = match self.rng.below(3) {
            0 => (self.zone().to_owned(), self.zone().to_owned()),
            1 => (self.zone().to_owned(), "*".to_owned()),
            _ => (self.any().unwrap_or_default(), "*".to_owned()),
        };
        if self.rng.below(2) == 0 {
            std::mem::swap(&mut ends.0, &mut ends.1);
        }
        let (from, to) = ends;
        let is_one_way = self.rng.below(3) == 0;
        self.cut_for(from, to, is_one_way, 60);
    }

    fn cut_coordinator(&self) {
        let from = match self.rng.below(3) {
            0 => "*".to_owned(),
            1 => self.zone().to_owned(),
            _ => self.any().unwrap_or_default(),
        };
        let is_one_way = self.rng.below(3) == 0;
        self.cut_for(from, "etcd".to_owned(), is_one_way, 120);
    }

    fn cut_for(&self, from: String, to: String, is_one_way: bool, max_s: u64) {
        let arrow = if is_one_way { "→" } else { "↔" };
        self.world.trace.note(format_args!("cut {from} {arrow} {to}"));
        self.world.net.cut(&from, &to);
        if !is_one_way {
            self.world.net.cut(&to, &from);
        }
        self.later(max_s, move |world| {
            world.trace.note(format_args!("join {from} {arrow} {to}"));
            world.net.join(&from, &to);
            world.net.join(&to, &from);
        });
    }

    fn weather(&self) {
        let weather = Weather {
            delay_ms: 1 + self.rng.below(200),
            loss: self.rng.below(250),
            slow: self.rng.below(100),
        };
        self.world.trace.note(format_args!("{weather:?}"));
        self.world.net.set_weather(weather);
        self.later(40, |world| {
            world.trace.note(format_args!("fair weather"));
            world.net.set_weather(Weather::fair());
        });
    }

    fn turn_clock(&self) {
        let Some(name) = self.any() else { return };
        let hour = 3_600_000;
        let error_ms =
            [-hour, hour, -1000, 500, 0][usize::try_from(self.rng.below(5)).unwrap_or(0)];
        self.world.trace.note(format_args!("the clock of {name} is {error_ms} ms wrong"));
        self.world.with(&name, |r| r.clock.set_error_ms(error_ms));
    }

    // --- disks and the bucket ---

    fn bucket(&self) {
        let name = if self.rng.below(2) == 0 { None } else { self.any() };
        let is_outage = self.rng.below(3) == 0;
        #[expect(clippy::cast_precision_loss, reason = "below a hundred")]
        let some = |max: u64| self.rng.below(max) as f64 / 100.0;
        let ops = [StoreOp::Put, StoreOp::Get, StoreOp::Head, StoreOp::List, StoreOp::Upload];
        let mut faults = Vec::new();
        for op in ops {
            if is_outage {
                faults.push((op, Fault::ErrorBefore, 1.0));
                continue;
            }
            faults.push((op, Fault::ErrorBefore, some(50)));
            faults.push((op, Fault::ErrorAfter, some(50)));
            faults.push((op, Fault::Latency(Duration::from_secs(self.rng.below(20))), some(20)));
        }
        if !is_outage {
            faults.push((StoreOp::Put, Fault::FalseConflict, some(30)));
            faults.push((StoreOp::Put, Fault::OwnConflict, some(30)));
            faults.push((StoreOp::Get, Fault::BrokenGet, some(30)));
            faults.push((StoreOp::Get, Fault::TornGet, some(30)));
            faults.push((StoreOp::List, Fault::StaleList, some(30)));
        }
        let word = if is_outage { "is away" } else { "misbehaves" };
        self.world.trace.note(format_args!("the bucket {word} for {name:?}"));
        self.world.set_bucket_faults(name.as_deref(), &faults);
        self.later(90, |world| {
            world.trace.note(format_args!("the bucket is well"));
            world.set_bucket_faults(None, &[]);
        });
    }

    fn fill_disk(&self) {
        let Some(name) = self.any_ingester() else { return };
        let room = self.rng.below(16 << 10);
        self.world.trace.note(format_args!("the disk of {name} has room for {room}"));
        self.world.with_disk(&name, |fs| fs.set_capacity(Some(fs.used() + room)));
        self.later(60, move |world| {
            world.trace.note(format_args!("the disk of {name} has room"));
            world.with_disk(&name, |fs| fs.set_capacity(None));
        });
    }

    /// The process must exit.
    fn fail_disk(&self) {
        let Some(name) = self.any_ingester() else { return };
        let op =
            [Op::Sync, Op::Write, Op::SyncDir][usize::try_from(self.rng.below(3)).unwrap_or(0)];
        self.world.trace.note(format_args!("{op:?} of {name} will fail"));
        self.world.with_disk(&name, |fs| fs.fail_next(op, std::io::ErrorKind::Other));
        self.start_later(name, 30);
    }

    fn flush(&self) {
        let Some(name) = self.any_ingester() else { return };
        let found = self
            .world
            .with(&name, |r| r.ingester.as_ref().map(|i| (r.scope.clone(), i.ingester.clone())));
        if let Some((scope, ingester)) = found.flatten() {
            self.world.trace.note(format_args!("flush {name}"));
            scope.spawn("flush", async move { ingester.flush(0).await.is_ok() });
        }
    }

    // --- partitions ---

    fn drain(&self) {
        let n = u32::try_from(self.rng.below(PARTITIONS)).unwrap_or(0);
        let Some((scope, front)) = self.world.any_front(&self.rng) else { return };
        let (cluster, back) = (front.cluster, self.rng.below(3) == 0);
        let world = Arc::clone(&self.world);
        scope.spawn("drain", async move {
            let done = if back { cluster.undrain(n).await } else { cluster.drain(n).await };
            let word = if back { "undrain" } else { "drain" };
            world.trace.note(format_args!("{word} partition {n}: {done:?}"));
        });
    }

    /// Starts the ingesters of one more partition.
    fn grow(&self) {
        let n = u32::try_from(self.rng.below(PARTITIONS)).unwrap_or(0);
        for zone in ZONES.iter().take(self.world.replication_factor) {
            self.start_later(ingester(zone, n), 20);
        }
    }

    /// Ends the ingesters of a partition that was drained; their disks may go.
    async fn retire(&self) {
        let Ok(truth) = self.world.truth().await else { return };
        let removed =
            truth.partitions.iter().filter(|(_, at)| at.record.state == PartitionState::Removed);
        for (n, at) in removed {
            let wipes = self.rng.below(2) == 0;
            let comes_back = self.rng.below(2) == 0;
            self.world.trace.note(format_args!("partition {n} is taken down"));
            for seat in &at.record.replicas {
                self.world.end(&seat.id, End::Kill);
                if wipes {
                    self.world.lose_disk(&seat.id, false);
                }
                if comes_back {
                    self.start_later(seat.id.clone(), 60);
                }
            }
        }
    }
}

/// Starts a process unless it runs.
pub fn start(world: &Arc<World>, name: &str) {
    let Some((zone, kind)) = of_name(name) else { return };
    if let Err(e) = world.start(name, zone, kind) {
        world.trace.note(format_args!("cannot start {name}: {e}"));
    }
}
