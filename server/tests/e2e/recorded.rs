//! Replays recorded answers of reference servers, where the folder with them is there (it is not part of the project).
//!
//! All of them must be met, but for the few that are listed with the reason.

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

/// Sends every case below `folder`; passed, all, and the failed cases with what is wrong.
async fn replay(
    client: &Client,
    root: &str,
    folder: &PathBuf,
) -> (usize, usize, Vec<(String, String)>) {
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
                Err(why) => {
                    let id = case["id"].as_str().unwrap().to_owned();
                    let why = format!("{params:?}: {why}").chars().take(700).collect();
                    failures.push((id, why));
                }
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

/// Replays all cases of an API; only `exceptions` may fail.
async fn verify(client: &Client, root: &str, folder: &PathBuf, exceptions: &[&str]) {
    let (passed, all, failures) = replay(client, root, folder).await;
    println!("{passed} of {all} recorded answers");
    let odd: Vec<_> = failures.iter().filter(|(id, _)| !exceptions.contains(&&**id)).collect();
    assert!(odd.is_empty(), "{} of {all} recorded answers are not met: {odd:#?}", odd.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers() {
    let Some(folder) = folder("promql") else {
        println!("skipped: no recorded answers beside the project");
        return;
    };
    let server = server().await;
    load::metrics(&server.client, &read(&folder.join("dataset.json"))).await;
    verify(&server.client, "/api/v1", &folder, &PROMETHEUS_EXCEPTIONS).await;
    // The same from blocks.
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    verify(&server.client, "/api/v1", &folder, &PROMETHEUS_EXCEPTIONS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loki_answers() {
    let Some(folder) = folder("logql") else {
        println!("skipped: no recorded answers beside the project");
        return;
    };
    let server = server().await;
    load::logs(&server.client, &read(&folder.join("dataset.json"))).await;
    verify(&server.client, "/loki/api/v1", &folder, &[]).await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    verify(&server.client, "/loki/api/v1", &folder, &[]).await;
}

/// Both ask for `changes` over native histograms. Of the 39 pairs in the window four are equal in all they say,
/// yet the recorded answer counts one of these as a change: where Prometheus began a new chunk, it gave the first
/// histogram behind the cut other empty buckets than the last one before it.
const PROMETHEUS_EXCEPTIONS: [&str; 2] = ["rate-0103", "rate-0105"];
