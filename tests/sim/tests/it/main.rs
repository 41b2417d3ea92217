//! Some seeds, and whether a seed is one course of events. Many more: `cargo run -p skald-sim -- --seeds 0..5000`.

#![expect(clippy::unwrap_used, reason = "a broken assumption ends a test")]

use std::process::Command;

/// Runs the program; answers what it printed.
fn sim(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_skald-sim")).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

#[test]
fn a_cluster_under_faults_loses_and_doubles_nothing() {
    let text = sim(&["--seeds", "0..8", "--load", "60"]);
    assert_eq!(text.lines().filter(|line| line.contains(": ok ")).count(), 8, "{text}");
}

#[test]
fn a_seed_is_one_course_of_events() {
    let courses = ["1001", "1002"].map(|seed| {
        let [first, second] = [(), ()].map(|()| sim(&["--seed", seed, "--load", "60"]));
        assert_eq!(first, second);
        let (_, course) = first.split_once(": ok ").unwrap();
        assert!(!course.contains(" 0 of "), "{first}");
        course.to_owned()
    });
    assert_ne!(courses[0], courses[1]);
}
