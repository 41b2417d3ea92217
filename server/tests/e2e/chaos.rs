//! A short torture of a cluster of processes; `skald-chaos` runs long ones. Skipped where there is no etcd.

use std::time::Duration;

use skald_chaos::Options;
use skald_testkit::Etcd;

#[tokio::test(flavor = "multi_thread")]
async fn a_tortured_cluster_loses_doubles_and_mixes_up_nothing() {
    let Some(etcd) = Etcd::start().await else { return };
    let options = Options {
        skald: env!("CARGO_BIN_EXE_skald").into(),
        seed: 6,
        time: Duration::from_secs(30),
        kills: u64::MAX,
        longest: Duration::from_secs(6),
        calm: Duration::from_secs(2),
    };
    let report = skald_chaos::run(&options, etcd).await;
    println!("{report}");
    assert_eq!(report.violations(), 0, "{report}");
    assert!(report.counted("pushes acknowledged") > 0);
}
