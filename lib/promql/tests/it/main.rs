//! Language tests: files in the `.test` form of Prometheus's promqltest, run against the engine.
//!
//! Our own cases stand in `testdata/`; upstream's are looked for beside the workspace and skipped
//! with a message when they are not there.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::print_stdout,
    reason = "a test program: it fails loudly, compares exactly and prints what passed"
)]

mod compare;
mod dsl;
mod fixed;
mod number;
mod recorded;
mod run;
mod storage;
mod syntax;

use std::path::{Path, PathBuf};

use crate::run::{Tally, run_file};

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut out: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "test"))
        .collect();
    out.sort();
    out
}

async fn run_all(files: &[PathBuf]) -> Vec<(String, Tally)> {
    let mut out = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        out.push((name.clone(), run_file(&name, &text).await));
    }
    out
}

#[tokio::test]
async fn own_language_tests_pass() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let tallies = run_all(&files(&dir)).await;
    let total: usize = tallies.iter().map(|(_, t)| t.total).sum();
    assert!(total >= 60, "only {total} evals found in {}", dir.display());
    let failures: Vec<&String> = tallies.iter().flat_map(|(_, t)| &t.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn upstream_language_tests_pass() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promqltest");
    let files = files(&dir);
    if files.is_empty() {
        println!("skipped: no upstream language tests at {}", dir.display());
        return;
    }
    let mut sum = Tally::default();
    for (name, tally) in run_all(&files).await {
        println!("{name}: {}/{} passed", tally.passed, tally.total);
        sum.add(&tally);
    }
    println!("all: {}/{} passed", sum.passed, sum.total);
    assert!(sum.failures.is_empty(), "{} evals fail: {:#?}", sum.failures.len(), sum.failures);
}
