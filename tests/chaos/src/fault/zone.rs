//! Faults of the ingesters of one zone, and nobody else's until they are well again.

use std::sync::Arc;
use std::time::Duration;

use super::Lane;
use crate::cluster::{Cluster, Ingester, ZONES};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    KillWhileStarting,
    Pause,
    Restart,
    Wipe,
    Twin,
}

const FAULTS: [(u64, Fault); 6] = [
    (50, Fault::Kill),
    (18, Fault::KillWhileStarting),
    (10, Fault::Pause),
    (8, Fault::Restart),
    (8, Fault::Wipe),
    (6, Fault::Twin),
];

/// One fault after the other.
pub async fn run(mut lane: Lane) {
    let cluster = Arc::clone(&lane.cluster);
    let calm = Arc::clone(&lane.calm);
    while !lane.over() {
        let _calm = calm.read().await;
        let _zone = cluster.zone().await;
        let zone = lane.rng.pick(&[0, 1, 2]);
        let fault = lane.rng.weighted(&FAULTS);
        let (first, both) = (lane.rng.pick(&[0, 1]), lane.rng.chance(50));
        let hit: Vec<&Ingester> = cluster
            .ingesters
            .iter()
            .filter(|i| i.zone == zone && (i.partition == first || both))
            .collect();
        let name = format!("zone {} {fault:?} of {}", ZONES[zone], hit.len());
        lane.report.begin(&name);
        lane.inflict(fault, &hit).await;
        lane.until_well(&cluster, &hit, &format!("after {fault:?} of an ingester")).await;
        lane.report.end(&name);
        lane.pause(500).await;
    }
}

// === impl Lane ===

impl Lane {
    async fn inflict(&mut self, fault: Fault, hit: &[&Ingester]) {
        match fault {
            Fault::Kill => {
                hit.iter().for_each(|i| self.kill(&i.node, "an ingester"));
                self.pause(1_000).await;
                hit.iter().for_each(|i| i.node.start());
            }
            Fault::KillWhileStarting => {
                for _ in 0..=self.rng.below(3) {
                    hit.iter().for_each(|i| self.kill(&i.node, "an ingester"));
                    hit.iter().for_each(|i| i.node.start());
                    self.pause(1_500).await;
                }
                hit.iter().for_each(|i| self.kill(&i.node, "an ingester"));
                hit.iter().for_each(|i| i.node.start());
            }
            Fault::Pause => {
                let time = self.duration(1_000);
                hit.iter().for_each(|i| i.node.signal("-STOP"));
                tokio::time::sleep(time).await;
                hit.iter().for_each(|i| i.node.signal("-CONT"));
                self.report.add("fault: SIGSTOP of an ingester", hit.len() as u64);
            }
            Fault::Restart => {
                for ingester in hit {
                    self.restart(ingester).await;
                }
            }
            Fault::Wipe => {
                for ingester in hit {
                    self.kill(&ingester.node, "an ingester");
                    ingester.node.wipe();
                    ingester.node.start();
                    self.report.count("fault: loss of a disk");
                }
            }
            Fault::Twin => self.twin(hit[0]).await,
        }
    }

    /// SIGTERM and start.
    pub async fn restart(&self, ingester: &Ingester) {
        let code = ingester.node.terminate(Duration::from_secs(30)).await;
        self.report.count("fault: SIGTERM of an ingester");
        if code != Some(0) {
            let words = ingester.node.last_words();
            self.report.note("a stop ended with an error", &format!("{code:?} {words}"));
            self.report.count("stops that did not end well");
        }
        ingester.node.start();
    }

    /// A second process with the same name: the first one leaves, and returns when the second is gone.
    async fn twin(&self, of: &Ingester) {
        let n = self.report.counted("fault: second process of a name");
        let twin = self.cluster.twin(of, usize::try_from(n).unwrap_or(0));
        self.report.count("fault: second process of a name");
        of.node.unsupervised();
        twin.start();
        let left = self.until("the older process of a name leaves", || async {
            twin.supervise();
            of.node.reap().is_some()
        });
        left.await;
        let id = of.node.name.as_str();
        let well = self.until("the newer process of a name serves", || async {
            twin.supervise();
            self.cluster.serves(id, &twin).await
        });
        well.await;
        self.kill(&twin, "an ingester");
        twin.wipe();
        of.node.start();
    }

    pub async fn until_well(&self, cluster: &Cluster, hit: &[&Ingester], what: &str) -> bool {
        let mut well = true;
        for ingester in hit {
            let id = ingester.node.name.as_str();
            let serves = self.until(what, || cluster.serves(id, &ingester.node)).await;
            if !serves {
                self.report.note("an ingester is not well", &ingester.node.last_words());
            }
            well &= serves;
        }
        well
    }

    /// All ingesters, one after the other, by SIGTERM.
    pub async fn roll(&self) {
        for zone in 0..ZONES.len() {
            for ingester in self.cluster.ingesters.iter().filter(|i| i.zone == zone) {
                self.restart(ingester).await;
                self.until_well(&self.cluster, &[ingester], "after a rolling restart").await;
            }
        }
    }
}
