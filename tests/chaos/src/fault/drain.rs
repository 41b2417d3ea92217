//! A partition is drained, its ingesters are lost, and it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Method;

use super::Lane;

const PARTITION: u32 = 1;

/// Drains at long intervals.
pub async fn run(mut lane: Lane) {
    let (cluster, calm) = (Arc::clone(&lane.cluster), Arc::clone(&lane.calm));
    let rest = u64::try_from(lane.longest.as_millis()).unwrap_or(0) * 2;
    while !lane.over() {
        lane.pause(rest).await;
        let _calm = calm.read().await;
        let _zone = cluster.zone().await;
        if lane.over() {
            return;
        }
        lane.report.begin("drain");
        lane.drain_and_return().await;
        lane.report.end("drain");
    }
}

// === impl Lane ===

impl Lane {
    async fn drain_and_return(&mut self) {
        let cluster = Arc::clone(&self.cluster);
        if !self.until("a drain is taken", || self.ask(Method::POST)).await {
            return;
        }
        self.report.count("fault: drain");
        let is = |wanted: &'static [&'static str]| {
            let cluster = Arc::clone(&cluster);
            async move { cluster.state(PARTITION).await.is_some_and(|s| wanted.contains(&s.as_str())) }
        };
        // Everybody knows, so that what is seen from here on came after it.
        self.until("a drain is seen", || is(&["readonly", "removed"])).await;
        if self.rng.chance(25) {
            self.pause(500).await;
            // It may have been removed already: then it comes back like the others.
            self.ask(Method::DELETE).await;
        }
        // Not asked once more: nobody may answer then, and one that stays removed never gets well.
        let removed = AtomicBool::new(false);
        let done = || {
            let (cluster, removed) = (&cluster, &removed);
            async move {
                let state = cluster.state(PARTITION).await.unwrap_or_default();
                removed.store(state == "removed", Ordering::Relaxed);
                state == "removed" || state == "active"
            }
        };
        self.until("a drained partition is removed", done).await;
        let own: Vec<_> = cluster.ingesters.iter().filter(|i| i.partition == PARTITION).collect();
        if removed.into_inner() {
            let wipe = self.rng.chance(50);
            for ingester in &own {
                self.kill(&ingester.node, "an ingester");
                if wipe {
                    ingester.node.wipe();
                }
            }
            self.pause(3_000).await;
            own.iter().for_each(|i| i.node.start());
        }
        self.until_well(&cluster, &own, "after a drain").await;
    }

    /// Whether any router did it.
    async fn ask(&self, method: Method) -> bool {
        for node in &self.cluster.distributors {
            let path = format!("/drain?partition={PARTITION}");
            let asked = node.client.try_send(method.clone(), &path, &[], Bytes::new());
            let asked = tokio::time::timeout(std::time::Duration::from_secs(5), asked).await;
            match asked {
                Ok(Ok(reply)) if reply.status.is_success() => return true,
                Ok(Ok(reply)) => self.report.note("a drain was refused", &reply.text()),
                _ => {}
            }
        }
        false
    }
}
