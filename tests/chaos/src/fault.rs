//! Faults, in lanes that overlap: one zone of ingesters at a time, routers and compactors, etcd and the store.

pub mod drain;
pub mod infra;
pub mod stateless;
pub mod zone;

use std::sync::Arc;
use std::time::Duration;

use skald_testkit::rng::Rng;
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE};
use crate::node::Node;
use crate::report::Report;

/// What every lane has.
#[derive(Clone, Debug)]
pub struct Lane {
    pub cluster: Arc<Cluster>,
    pub report: Arc<Report>,
    pub rng: Rng,
    /// No fault begins after it.
    pub end: Instant,
    /// Nor after so many SIGKILLs.
    pub kills: u64,
    /// The longest pause or outage.
    pub longest: Duration,
    /// Faults read; who wants none beside its own writes.
    pub calm: Arc<RwLock<()>>,
}

pub const KILLS: &str = "kill -9";

// === impl Lane ===

impl Lane {
    pub fn over(&self) -> bool {
        Instant::now() >= self.end || self.report.counted(KILLS) >= self.kills
    }

    /// A duration of which most are short and some as long as they may be.
    fn duration(&mut self, least_ms: u64) -> Duration {
        let most = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
        let most = if self.rng.chance(15) { most } else { most / 6 };
        Duration::from_millis(least_ms + self.rng.below(most.saturating_sub(least_ms)))
    }

    async fn pause(&mut self, most_ms: u64) {
        let ms = self.rng.below(most_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn kill(&self, node: &Node, what: &str) {
        node.kill();
        self.report.count(KILLS);
        self.report.count(&format!("fault: kill -9 of {what}"));
    }

    /// Waits until `well`, which is a violation if it takes longer than [`PATIENCE`].
    pub async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        mut well: impl FnMut() -> F,
    ) -> bool {
        let began = Instant::now();
        while !well().await {
            if began.elapsed() > PATIENCE {
                self.report.violation(&format!("it did not come about: {what}"));
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.report.recovered(what, began.elapsed());
        true
    }
}

/// Lets the supervisor look after all processes until it is dropped.
pub async fn supervise(cluster: Arc<Cluster>, report: Arc<Report>) {
    loop {
        for node in cluster.nodes() {
            if let Some(code) = node.supervise() {
                let words = node.last_words();
                let role = node.name.split('-').next().unwrap_or_default();
                report.count(&format!("exits by themselves: {role}, {code}"));
                report
                    .note(&format!("{role} exited with {code}"), &format!("{} {words}", node.name));
                if code == 101 || words.contains("panicked") {
                    report.violation(&format!("{} panicked: {words}", node.name));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
