//! Replays recorded answers of reference servers, where the folder with them is there (it is not part of the project).
//!
//! Each category has a floor: the number of cases that passed when it was written down. A change may raise
//! a floor, never lower it.

mod compare;
mod load;

use std::path::PathBuf;

use serde_json::Value;
use skald_testkit::{Client, Server};

use crate::skald;

fn folder(api: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance").join(api);
    path.is_dir().then_some(path)
}

fn read(path: &PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

async fn server() -> Server {
    skald()
        .set("limits.out_of_order_time_window", "2h")
        .set("limits.reject_old_samples", "false")
        .start()
        .await
}

/// Sends every case below `folder`; passed, all, and a line per failed case.
async fn replay(client: &Client, root: &str, folder: &PathBuf) -> (usize, usize, Vec<String>) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut all, mut failures) = (0, 0, Vec::new());
    for file in files.iter().filter(|f| f.file_name().unwrap() != "dataset.json") {
        let (mut file_passed, mut file_all) = (0, 0);
        for case in read(file)["cases"].as_array().unwrap() {
            let params: Vec<(String, String)> = params(&case["params"]);
            let params: Vec<(&str, &str)> =
                params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let path = format!("{root}{}", case["path"].as_str().unwrap());
            let reply = client.get(&path, &params).await;
            file_all += 1;
            match compare::check(case, &reply) {
                Ok(()) => file_passed += 1,
                Err(why) => failures.push(format!("{} {params:?}: {why}", case["id"])),
            }
        }
        println!("{file_passed:5}/{file_all:<5} {}", file.file_name().unwrap().to_string_lossy());
        passed += file_passed;
        all += file_all;
    }
    (passed, all, failures)
}

/// Parameters may repeat: a list stands for several of one name.
fn params(value: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut out = Vec::new();
    for (name, value) in value.as_object().unwrap() {
        match value.as_array() {
            Some(list) => out.extend(list.iter().map(|v| (name.clone(), text(v)))),
            None => out.push((name.clone(), text(value))),
        }
    }
    out
}

fn report(passed: usize, all: usize, floor: usize, failures: &[String]) {
    println!("{passed} of {all} recorded answers");
    let shown = std::env::var("SHOW_FAILURES").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    failures
        .iter()
        .take(shown)
        .for_each(|f| println!("{}", f.chars().take(700).collect::<String>()));
    assert!(passed >= floor, "{passed} of {all} recorded answers, but {floor} were reached before");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers() {
    let Some(folder) = folder("promql") else {
        println!("skipped: no recorded answers beside the project");
        return;
    };
    let server = server().await;
    load::metrics(&server.client, &read(&folder.join("dataset.json"))).await;
    let (passed, all, failures) = replay(&server.client, "/api/v1", &folder).await;
    report(passed, all, PROMETHEUS_FLOOR, &failures);
    // The same from blocks.
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let (flushed, all, failures) = replay(&server.client, "/api/v1", &folder).await;
    report(flushed, all, passed, &failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn loki_answers() {
    let Some(folder) = folder("logql") else {
        println!("skipped: no recorded answers beside the project");
        return;
    };
    let server = server().await;
    load::logs(&server.client, &read(&folder.join("dataset.json"))).await;
    let (passed, all, failures) = replay(&server.client, "/loki/api/v1", &folder).await;
    report(passed, all, LOKI_FLOOR, &failures);
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let (flushed, all, failures) = replay(&server.client, "/loki/api/v1", &folder).await;
    report(flushed, all, passed, &failures);
}

/// What is missing: last digits in `count_values` of native histograms (some), `changes` over them (2), and
/// -0, which the loader's protobuf encoder leaves out as a default (3).
const PROMETHEUS_FLOOR: usize = 1956;
const LOKI_FLOOR: usize = 801;
