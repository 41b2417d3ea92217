//! Faults of processes without state. Of each kind one stays.

use std::sync::Arc;
use std::time::Duration;

use super::Lane;
use crate::node::Node;

/// Kills, pauses and restarts one of `kinds` after the other.
pub async fn run(mut lane: Lane, kinds: &'static [&'static str]) {
    let (cluster, calm) = (Arc::clone(&lane.cluster), Arc::clone(&lane.calm));
    while !lane.over() {
        let _calm = calm.read().await;
        let kind = lane.rng.pick(kinds);
        let nodes = match kind {
            "distributor" => &cluster.distributors,
            "querier" => &cluster.queriers,
            _ => &cluster.compactors,
        };
        let node: &Node = &nodes[usize::try_from(lane.rng.below(2)).unwrap_or(0)];
        let name = lane.rng.weighted(&[(70, "kill"), (15, "pause"), (15, "restart")]);
        let fault = format!("{name} of {}", node.name);
        lane.report.begin(&fault);
        match name {
            "kill" => {
                lane.kill(node, &format!("a {kind}"));
                lane.pause(1_000).await;
                node.start();
            }
            "pause" => {
                let time = lane.duration(1_000);
                node.signal("-STOP");
                tokio::time::sleep(time).await;
                node.signal("-CONT");
                lane.report.count(&format!("fault: SIGSTOP of a {kind}"));
            }
            _ => {
                if node.terminate(Duration::from_secs(40)).await != Some(0) {
                    lane.report.count("stops that did not end well");
                    lane.report.note("a stop ended with an error", &node.last_words());
                }
                lane.report.count(&format!("fault: SIGTERM of a {kind}"));
                node.start();
            }
        }
        lane.until(&format!("after {name} of a {kind}"), || node.ready()).await;
        lane.report.end(&fault);
        lane.pause(2_000).await;
    }
}
