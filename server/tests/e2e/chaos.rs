//! A short torture of a cluster of processes, skipped where there is no etcd, and one crash at every crash point;
//! `skald-chaos` runs more of both.

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

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_loses_and_doubles_nothing() {
    let options = skald_chaos::points::Options {
        skald: env!("CARGO_BIN_EXE_skald").into(),
        sources: concat!(env!("CARGO_MANIFEST_DIR"), "/..").into(),
        rounds: 1,
        jobs: 2,
        prefix: String::new(),
    };
    let report = skald_chaos::points::run(&options).await;
    println!("{report}");
    assert_eq!(report.violations(), 0, "{report}");
    assert!(report.counted("crashes") >= report.counted("crash points"), "{report}");
}
