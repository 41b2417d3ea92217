//! The suite against our own backends, bare and through the plugin protocol, and against broken ones.

use std::time::Duration;

use object_store::memory::InMemory;
use skald_runtime::Shutdown;
use tokio::net::TcpListener;

use super::*;
use crate::faulty::{Fault, FaultyStore, Op};
use crate::server::{Config, StorageService, serve};
use crate::{Options, open};

fn file_store(dir: &tempfile::TempDir) -> Arc<dyn ObjectStore> {
    let mut options = Options::default();
    options.file.fsync = false;
    open(&format!("file://{}", dir.path().display()), &options).unwrap()
}

async fn through_grpc(store: Arc<dyn ObjectStore>) -> (Arc<dyn ObjectStore>, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let service = StorageService::new(store, Config::default());
    skald_runtime::spawn("serve", serve(service, listener, shutdown.clone()));
    (open(&url, &Options::default()).unwrap(), shutdown)
}

/// Asserts that the store passes all cases but `lacking`, and is left empty.
async fn check(store: Arc<dyn ObjectStore>, lacking: &[&str]) {
    let report = run(Arc::clone(&store), Level::All).await;
    let failed: Vec<_> = report.failed().map(|c| c.name).collect();
    assert_eq!(failed, lacking, "\n{report}");
    assert!(report.passes(Level::Required));
    let left: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    check(Arc::new(InMemory::new()), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms_but_for_order_and_if_match() {
    let dir = tempfile::tempdir().unwrap();
    check(file_store(&dir), &["a list is in byte order", "a put with if-match"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_behind_the_plugin_protocol_conforms() {
    let (store, shutdown) = through_grpc(Arc::new(InMemory::new())).await;
    check(store, &[]).await;
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_behind_the_plugin_protocol_is_listed_in_order_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, shutdown) = through_grpc(file_store(&dir)).await;
    check(store, &["a put with if-match"]).await;
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_stores_are_found_out() {
    let faults = [
        (Op::Put, Fault::IgnoreCondition, "create-if-absent creates once"),
        (Op::Put, Fault::IgnoreCondition, "of racing creates exactly one wins"),
        (Op::List, Fault::StaleList, "a list shows a put and a delete at once"),
        (Op::Get, Fault::TornGet, "9 MiB in one put"),
        (Op::Upload, Fault::ErrorBefore, "a multipart upload"),
    ];
    for (op, fault, case) in faults {
        let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
        store.always(op, fault);
        let report = run(store, Level::All).await;
        assert!(report.failed().any(|c| c.name == case), "{fault:?}\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_is_reported_and_not_waited_for() {
    let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
    store.always(Op::Head, Fault::Latency(Duration::from_secs(100_000)));
    let report = run(store, Level::Required).await;
    assert!(!report.passes(Level::Required));
    assert!(report.to_string().contains("FAIL  put, get and head agree: not done after"));
}

#[tokio::test]
async fn the_required_level_runs_no_optional_case() {
    let report = run(Arc::new(InMemory::new()), Level::Required).await;
    assert!(report.cases.iter().all(|c| c.need == Need::Required));
    assert!(report.passes(Level::All));
}
