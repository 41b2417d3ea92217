//! Two Prometheus servers write the same series; one is taken, the other takes over.

use skald_testkit::payload::{self, REMOTE_WRITE_V1, REMOTE_WRITE_V2};
use skald_testkit::{Client, wait};

use crate::{now_ms, samples, skald};

/// Writes one sample as `replica`; whether it was taken.
pub(crate) async fn write(client: &Client, replica: &str, at_ms: i64) -> bool {
    let labels = [("__name__", "up"), ("__replica__", replica), ("cluster", "eu")];
    // One server is older.
    let reply = if replica == "a" {
        let v1 = payload::write_v1(vec![payload::series(&labels, &[(at_ms, 1.0)])]);
        client.post("/api/v1/push", &REMOTE_WRITE_V1, v1).await
    } else {
        let v2 = payload::write_v2(&[(&labels, at_ms, 1.0)]);
        client.post("/api/v1/write", &REMOTE_WRITE_V2, v2).await
    };
    let is_taken = reply.status == 204;
    assert!(is_taken || reply.status == 202, "{} {}", reply.status, reply.text());
    is_taken
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over_from_one_that_stops() {
    let builder = skald()
        .set("limits.accept_ha_samples", "true")
        .set("limits.ha_tracker_update_timeout", "500ms")
        .set("limits.ha_tracker_failover_timeout", "2s");
    let server = builder.start().await;
    let client = &server.client;
    let t0 = now_ms() - 600_000;
    let next = std::sync::atomic::AtomicI64::new(t0);
    let time = || next.fetch_add(1000, std::sync::atomic::Ordering::SeqCst);
    let taken = parking_lot::Mutex::new(Vec::new());
    wait::until("a is elected and b is not", || async {
        let at = time();
        let (a, b) = (write(client, "a", at).await, write(client, "b", at).await);
        if a || b {
            taken.lock().push(at);
        }
        (a && !b).then_some(())
    })
    .await;
    let page = client.get("/distributor/ha_tracker", &[]).await.json();
    assert_eq!(page["clusters"][0]["replica"], "a", "{page}");
    // Now a is silent.
    wait::until("b takes over", || async {
        let at = time();
        let b = write(client, "b", at).await;
        if b {
            taken.lock().push(at);
        }
        b.then_some(())
    })
    .await;
    let page = client.get("/distributor/ha_tracker", &[]).await.json();
    assert_eq!(page["clusters"][0]["replica"], "b", "{page}");
    let expected: Vec<_> = taken.lock().iter().map(|at| (*at, "1".to_owned())).collect();
    assert_eq!(samples(client, r#"up{cluster="eu"}"#, "1h").await, expected);
    let labels = client.get("/api/v1/labels", &[]).await.json();
    assert_eq!(labels["data"], serde_json::json!(["__name__", "cluster"]));
}
