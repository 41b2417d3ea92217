//! Outages of what all processes lean on: etcd, and the store of blocks.

use std::sync::Arc;
use std::time::Duration;

use super::Lane;

/// One outage, a rest, and the next one.
pub async fn run(mut lane: Lane) {
    let (cluster, calm) = (Arc::clone(&lane.cluster), Arc::clone(&lane.calm));
    let longest = lane.longest;
    while !lane.over() {
        let rest = u64::try_from(longest.as_millis()).unwrap_or(0) / 2;
        lane.pause(rest).await;
        let _calm = calm.read().await;
        if lane.over() {
            return;
        }
        let fault =
            lane.rng.weighted(&[(30, "etcd kill"), (30, "etcd pause"), (40, "storage kill")]);
        lane.report.begin(fault);
        lane.report.count(&format!("fault: {fault}"));
        let time = lane.duration(longest.as_millis().try_into().unwrap_or(0_u64) / 6);
        match fault {
            "etcd kill" => {
                let mut etcd = cluster.etcd.lock().await;
                etcd.kill();
                lane.report.count(super::KILLS);
                tokio::time::sleep(time).await;
                etcd.restart().await;
            }
            "etcd pause" => {
                let etcd = cluster.etcd.lock().await;
                etcd.pause();
                tokio::time::sleep(time).await;
                etcd.resume();
            }
            _ => {
                lane.kill(&cluster.storage, "the store");
                tokio::time::sleep(time).await;
                cluster.storage.start();
                lane.until("the store", || cluster.storage.ready()).await;
                // Who was started meanwhile has exited and is started again.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        lane.report.end(fault);
    }
}
