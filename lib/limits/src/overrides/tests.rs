use std::time::Duration;

use skald_runtime::{ByteSize, Shutdown};

use super::*;

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn load(text: &str) -> Result<Overrides, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overrides.yaml");
    std::fs::write(&path, text).unwrap();
    let defaults = Limits { ingestion_rate: 7.0, max_label_name_length: 99, ..Limits::default() };
    Overrides::load(&path, defaults)
}

#[test]
fn overrides_are_merged_over_the_defaults() {
    let text = "overrides:\n  a:\n    ingestion_rate: 50000\n    max_line_size: 1MiB\n    \
                out_of_order_time_window: 2h\n    discover_service_name: []\n  b:\n";
    let overrides = load(text).unwrap();
    let a = overrides.get(&tenant("a"));
    assert_eq!(a.ingestion_rate.to_bits(), 50_000f64.to_bits());
    assert_eq!(a.max_line_size, ByteSize(1 << 20));
    assert_eq!(a.out_of_order_time_window.as_millis(), 7_200_000);
    assert_eq!(a.max_label_name_length, 99, "what is not named stays at the default");
    assert!(a.discover_service_name.is_empty());
    for other in ["b", "c"] {
        let limits = overrides.get(&tenant(other));
        assert_eq!(limits.ingestion_rate.to_bits(), 7f64.to_bits());
    }
    assert_eq!(overrides.tenants().len(), 2);
}

#[test]
fn files_that_are_not_clear_are_refused() {
    for text in [
        "overrides:\n  a:\n    no_such_limit: 1\n",
        "override:\n  a: {}\n",
        "overrides:\n  a:\n    ingestion_rate: fast\n",
        "overrides:\n  a:\n    max_line_size: 12parsecs\n",
        "overrides:\n  ../a:\n    ingestion_rate: 1\n",
        "overrides:\n  a:\n    ingestion_rate: -1\n",
        "overrides: [1, 2]\n",
        "overrides:\n  a: {\n",
    ] {
        let error = load(text).unwrap_err();
        assert!(matches!(error, LoadError::Parse { .. }), "{text:?}: {error}");
    }
}

#[test]
fn an_unknown_key_is_named_in_the_error() {
    let error = load("overrides:\n  team:\n    no_such_limit: 1\n").unwrap_err().to_string();
    assert!(error.contains("no_such_limit") && error.contains("team"), "{error}");
}

#[test]
fn an_empty_file_means_no_overrides() {
    assert!(load("").unwrap().tenants().is_empty());
    assert!(load("# nothing yet\n").unwrap().tenants().is_empty());
    assert!(load("overrides:\n").unwrap().tenants().is_empty());
}

#[test]
fn a_missing_file_is_an_error() {
    let error = Overrides::load(Path::new("/nonexistent/x.yaml"), Limits::default()).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
}

/// Polls until `state` holds; the test's own timeout is the runner's.
async fn until(state: impl Fn() -> bool) {
    while !state() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overrides.yaml");
    let put = |text: &str| {
        // Renamed into place, as an operator's tool does.
        let new = dir.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    put("overrides:\n  a:\n    ingestion_rate: 1\n");
    let overrides = Overrides::load(&path, Limits::default()).unwrap();
    let metrics = ReloadMetrics::default();
    let shutdown = Shutdown::new();
    let task = skald_runtime::spawn(
        "watch",
        watch(
            overrides.clone(),
            path.clone(),
            Duration::from_millis(1),
            metrics.clone(),
            shutdown.clone(),
        ),
    );
    let rate = || overrides.get(&tenant("a")).ingestion_rate;
    put("overrides:\n  a:\n    ingestion_rate: 2\n");
    until(|| rate() > 1.5).await;

    put("overrides:\n  a:\n    ingestion_rate: [\n");
    until(|| metrics.failed.get() == 1).await;
    assert!(rate() > 1.5, "the old limits stay in force");

    put("overrides:\n  a:\n    ingestion_rate: 2\n");
    until(|| metrics.failed.get() == 0).await;

    put("overrides:\n  a:\n    ingestion_rate: 3\n");
    until(|| rate() > 2.5 && metrics.failed.get() == 0).await;
    shutdown.trigger();
    task.await.unwrap();
}
