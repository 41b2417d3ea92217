//! A run: a healthy while, one with a zone paused, faults, and then everything is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skald_testkit::Etcd;
use skald_testkit::rng::Rng;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::fault::{self, KILLS, Lane};
use crate::journal::{Journal, Kind};
use crate::read::Reader;
use crate::report::Report;
use crate::write::Writer;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub skald: PathBuf,
    pub seed: u64,
    /// How long faults happen.
    pub time: Duration,
    /// So many SIGKILLs end it earlier.
    pub kills: u64,
    /// The longest pause and outage.
    pub longest: Duration,
    /// Each of the two whiles in which latencies are measured.
    pub calm: Duration,
}

const TENANTS: [&str; 3] = ["amber", "birch", "cedar"];
pub const HEALTHY: &str = "pushes healthy";
pub const PAUSED: &str = "pushes with one zone paused";
pub const ROLLING: &str = "pushes while restarting all ingesters in turn";
const FAULTS: &str = "pushes under faults";

struct Load {
    phase: watch::Sender<Option<&'static str>>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    checks: Vec<Reader>,
}

/// Runs it; the report has violations if anything is wrong.
pub async fn run(options: &Options, etcd: Etcd) -> Arc<Report> {
    let report = Arc::new(Report::default());
    let cluster = Arc::new(Cluster::start(&options.skald, etcd).await);
    let root = cluster.root().display().to_string();
    println!("data and logs in {root}");
    let supervisor = tokio::spawn(fault::supervise(Arc::clone(&cluster), Arc::clone(&report)));
    let lane = |n: u64, end| Lane {
        cluster: Arc::clone(&cluster),
        report: Arc::clone(&report),
        rng: Rng::fork(options.seed, n),
        end,
        kills: options.kills,
        longest: options.longest,
        calm: Arc::default(),
    };
    let still = lane(0, Instant::now());
    let all: Vec<_> = cluster.ingesters.iter().collect();
    still.until_well(&cluster, &all, "the first start").await;

    let load = Load::start(options, &cluster, &report);
    tokio::time::sleep(options.calm).await;
    load.phase.send_replace(Some(PAUSED));
    let zone = || cluster.ingesters.iter().filter(|i| i.zone == 2);
    zone().for_each(|i| i.node.signal("-STOP"));
    tokio::time::sleep(options.calm).await;
    zone().for_each(|i| i.node.signal("-CONT"));
    load.phase.send_replace(Some(FAULTS));
    still.until_well(&cluster, &all, "after the pause of a zone").await;

    torture(options, &lane, &load).await;
    still.until_well(&cluster, &all, "at the end of the faults").await;
    load.finish(&report).await;
    load.check_all(&still, "when all are well").await;
    cold_start(&cluster, &report).await;
    still.until_well(&cluster, &all, "after a cold start").await;
    load.check_all(&still, "after a cold start").await;
    supervisor.abort();
    let _ = supervisor.await;
    drop(still);
    finish(cluster, &report);
    report
}

/// All lanes at once, and in their midst a rolling restart without other faults.
async fn torture(options: &Options, lane: &impl Fn(u64, Instant) -> Lane, load: &Load) {
    let calm: Arc<RwLock<()>> = Arc::default();
    let began = Instant::now();
    let lane = |n| Lane { calm: Arc::clone(&calm), ..lane(n, began + options.time) };
    let lanes = [
        tokio::spawn(fault::zone::run(lane(1))),
        tokio::spawn(fault::stateless::run(lane(2), &["distributor", "querier"])),
        tokio::spawn(fault::stateless::run(lane(3), &["compactor"])),
        tokio::spawn(fault::infra::run(lane(4))),
        tokio::spawn(fault::drain::run(lane(5))),
    ];
    tokio::time::sleep(options.time / 2).await;
    {
        let roll = lane(6);
        let _calm = calm.write().await;
        let all: Vec<_> = roll.cluster.ingesters.iter().collect();
        roll.until_well(&roll.cluster, &all, "before a rolling restart").await;
        // Pushes that began under faults end.
        load.phase.send_replace(Some(FAULTS));
        tokio::time::sleep(Duration::from_secs(2)).await;
        load.phase.send_replace(Some(ROLLING));
        roll.report.begin("rolling restart");
        roll.roll().await;
        roll.report.end("rolling restart");
        load.phase.send_replace(Some(FAULTS));
    }
    for lane in lanes {
        if let Err(e) = lane.await {
            lane_failed(&load.checks[0].report, &e.to_string());
        }
    }
}

fn lane_failed(report: &Report, why: &str) {
    report.violation(&format!("a lane of faults ended: {why}"));
}

/// Everything at once, as when the power of all zones goes.
async fn cold_start(cluster: &Cluster, report: &Report) {
    report.begin("cold start");
    for node in cluster.nodes() {
        node.kill();
        report.count(KILLS);
        report.count("fault: kill -9 of everything");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.nodes().for_each(crate::node::Node::start);
    report.end("cold start");
}

fn finish(cluster: Arc<Cluster>, report: &Report) {
    if report.violations() == 0 {
        return;
    }
    match Arc::try_unwrap(cluster) {
        Ok(mut cluster) => cluster.keep(),
        Err(_) => report.note("data and logs are gone", "the cluster is still in use"),
    }
}

// === impl Load ===

impl Load {
    fn start(options: &Options, cluster: &Cluster, report: &Arc<Report>) -> Self {
        let (phase, watched) = watch::channel(Some(HEALTHY));
        let since_ms = crate::now_ms() - 1;
        let (mut writers, mut readers, mut checks) = (Vec::new(), Vec::new(), Vec::new());
        let mut n = 100;
        for (tenant, name) in TENANTS.iter().enumerate() {
            for kind in [Kind::Samples, Kind::Lines] {
                n += 2;
                let journal = Arc::new(Journal::new(tenant, kind));
                let routes = |nodes: &[crate::node::Node]| {
                    nodes.iter().map(|n| n.client.clone().with_tenant(name)).collect()
                };
                let (report, phase) = (Arc::clone(report), watched.clone());
                let reader = Reader {
                    journal: Arc::clone(&journal),
                    routes: routes(&cluster.queriers),
                    report: Arc::clone(&report),
                    phase: phase.clone(),
                    since_ms,
                };
                let routes = routes(&cluster.distributors);
                let writer = Writer { journal, routes, report, phase };
                writers.push(tokio::spawn(writer.run(Rng::fork(options.seed, n))));
                checks.push(reader.clone());
                readers.push(tokio::spawn(reader.run(Rng::fork(options.seed, n + 1))));
            }
        }
        Self { phase, writers, readers, checks }
    }

    /// Ends the load.
    async fn finish(&self, report: &Report) {
        self.phase.send_replace(None);
        for task in self.writers.iter().chain(&self.readers) {
            while !task.is_finished() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        for reader in &self.checks {
            let (attempted, acked) = reader.journal.count();
            let what = match reader.journal.kind {
                Kind::Samples => "samples",
                Kind::Lines => "lines",
            };
            let each = crate::journal::WIDTH as u64;
            report.add(&format!("{what} attempted"), attempted as u64 * each);
            report.add(&format!("{what} acknowledged"), acked as u64 * each);
        }
    }

    /// Everything of every tenant, by each querier.
    async fn check_all(&self, lane: &Lane, when: &str) {
        for reader in &self.checks {
            for route in 0..reader.routes.len() {
                let end = crate::now_ms() + 1_000;
                lane.until(&format!("everything is read {when}"), || async {
                    let answer = reader.check(route, reader.since_ms, end).await;
                    if let Err(e) = &answer {
                        lane.report.note(&format!("a query failed {when}"), e);
                    }
                    answer.is_ok()
                })
                .await;
            }
        }
    }
}
