//! Probes, configuration, shutdown, addresses.

use std::process::Command;

use skald_testkit::payload::{self, REMOTE_WRITE_V1};

use crate::{now_ms, samples, skald};

const BINARY: &str = env!("CARGO_BIN_EXE_skald");

fn run(args: &[&str]) -> (bool, String, String) {
    let out = Command::new(BINARY).args(args).output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn configuration_is_checked_and_printed() {
    let (ok, out, _) = run(&["--config.print", "--set", "limits.ingestion_rate=12345"]);
    assert!(ok && out.contains("ingestion_rate: 12345"), "{out}");
    let (ok, _, err) = run(&["--config.check", "--set", "limits.no_such=1"]);
    assert!(!ok && err.contains("limits.no_such"), "{err}");
    let (ok, _, err) = run(&["--http-listen", "0.0.0.0:0"]);
    assert!(!ok && err.contains("auth.allow_unauthenticated"), "{err}");
}

#[test]
fn the_storage_suite_runs_from_the_command_line() {
    let (ok, out, err) = run(&["storage", "check", "memory://"]);
    assert!(ok, "{out}{err}");
    let (ok, _, err) = run(&["storage", "check", "ftp://x"]);
    assert!(!ok && err.contains("s3://"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_pages_answer() {
    let server = skald().start().await;
    assert_eq!(server.client.get("/ready", &[]).await.text(), "ready\n");
    assert_eq!(server.client.get("/livez", &[]).await.status, 200);
    assert!(server.client.get("/config", &[]).await.text().contains("ingestion_rate"));
    let diff = server.client.get("/config", &[("mode", "diff")]).await.text();
    assert!(diff.contains("data_dir") && !diff.contains("ingestion_rate"), "{diff}");
    let metrics = server.client.get("/metrics", &[]).await.text();
    for name in [
        "skald_build_info",
        "process_resident_memory_bytes",
        "skald_distributor_",
        "skald_ingester_",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    assert_eq!(server.client.get("/no/such/page", &[]).await.status, 404);
    assert_eq!(server.client.get("/api/v1/push", &[]).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_keeps_everything_and_exits_clean() {
    let builder = skald();
    let server = builder.start().await;
    let t0 = now_ms() - 1000;
    let body = payload::write_v1(vec![payload::series(&[("__name__", "kept")], &[(t0, 7.0)])]);
    let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    assert_eq!(server.terminate().await, Some(0));
    let server = builder.start().await;
    assert_eq!(samples(&server.client, "kept", "1h").await, [(t0, "7".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_can_be_looked_at_while_the_server_runs() {
    let builder = skald();
    let server = builder.start().await;
    let push = async |name: &str| {
        let body =
            payload::write_v1(vec![payload::series(&[("__name__", name)], &[(now_ms(), 7.0)])]);
        let reply = server.client.post("/api/v1/push", &REMOTE_WRITE_V1, body).await;
        assert!(reply.status.is_success(), "{}", reply.text());
    };
    push("stored").await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    push("logged").await;
    let dir = builder.data_dir().display().to_string();
    let look = |args: &[&str]| run(&[args, &["--data-dir", &dir]].concat());
    let (ok, out, err) = look(&["catalog", "show", "default"]);
    assert!(ok && out.contains("1 blocks") && out.contains("metrics"), "{out}{err}");
    let id = out.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
    let (ok, out, err) = look(&["block", "show", "default", &id]);
    assert!(ok && out.contains("metric-block") && out.contains("floats"), "{out}{err}");
    let (ok, out, err) = look(&["block", "verify", "default", &id]);
    assert!(ok && out == "ok: 1 series, 1 samples\n", "{out}{err}");
    let (ok, out, err) = look(&["catalog", "verify"]);
    assert!(ok && out == "1 blocks read, 0 of them bad\n", "{out}{err}");
    let (ok, out, err) = look(&["wal", "inspect"]);
    assert!(ok && out.contains("clean") && out.contains("default"), "{out}{err}");
    let (ok, _, err) = look(&["block", "show", "default", "01M8G7Z8GB0MJ7MT34449FZM1G"]);
    assert!(!ok && err.contains("has no block"), "{err}");
    let data = builder.data_dir().join("store/t/default/b").join(&id).join("data.parquet");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[8] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let (ok, out, err) = look(&["catalog", "verify"]);
    assert!(!ok && out.contains(&id) && err.contains("1 blocks are damaged"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_directory_is_refused() {
    let builder = skald();
    let server = builder.start().await;
    let dir = builder.data_dir().display().to_string();
    let (ok, _, err) =
        run(&["--data-dir", &dir, "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    assert!(!ok && !err.is_empty(), "{err}");
    assert_eq!(server.client.get("/ready", &[]).await.status, 200);
}
