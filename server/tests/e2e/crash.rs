//! SIGKILL at any moment: what was acknowledged is there, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use skald_testkit::Client;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};

use crate::{lines, now_ms, samples, skald};

/// Pushes numbered samples and lines until told to stop or the server is gone; answers how many were acknowledged.
async fn write_until(client: Client, t0: i64, from: i64, stop: Arc<AtomicBool>) -> i64 {
    let mut n = from;
    while !stop.load(Ordering::Relaxed) {
        let ts = t0 + n;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let series = payload::series(&[("__name__", "numbered")], &[(ts, n as f64)]);
        let body = payload::write_v1(vec![series]);
        let line = format!("line {n}");
        let log = payload::loki_json(&[(&[("app", "numbered")], &[(ts * 1_000_000, &line)])]);
        let send =
            |path: &'static str, headers: &'static [(&'static str, &'static str)], body: Bytes| {
                let client = client.clone();
                async move {
                    let reply = client.try_send(http::Method::POST, path, headers, body).await;
                    reply.is_ok_and(|r| r.status.is_success())
                }
            };
        if !send("/api/v1/push", &REMOTE_WRITE_V1, body).await
            || !send("/loki/api/v1/push", &[("content-type", "application/json")], log).await
        {
            break;
        }
        n += 1;
    }
    n
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_acknowledged() {
    // Small intervals, so that kills meet flushes too.
    let builder = skald().set("ingester.flush_interval", "1s");
    let t0 = now_ms() - 600_000;
    let mut acked = 0;
    for round in 0..4u64 {
        let server = builder.start().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write_until(server.client.clone(), t0, acked, Arc::clone(&stop)));
        if round % 2 == 1 {
            let client = server.client.clone();
            // Not awaited: the kill comes in the middle of it.
            tokio::spawn(async move {
                client.try_send(http::Method::POST, "/flush", &[], Bytes::new()).await
            });
        }
        tokio::time::sleep(std::time::Duration::from_millis(700 + 350 * round)).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        acked = writer.await.unwrap();
    }
    assert!(acked > 20, "the writer got through: {acked}");
    let server = builder.start().await;
    let found = samples(&server.client, "numbered", "1h").await;
    // One more than acknowledged may be there: its answer was lost.
    let n = i64::try_from(found.len()).unwrap();
    assert!((acked..=acked + 1).contains(&n), "acknowledged {acked}, found {n}");
    for (i, (ts, value)) in (0i64..).zip(&found) {
        assert_eq!((ts - t0, value.as_str()), (i, i.to_string().as_str()));
    }
    let logged = lines(&server.client, r#"{app="numbered"}"#).await;
    let n = i64::try_from(logged.len()).unwrap();
    assert!((acked..=acked + 1).contains(&n), "acknowledged {acked}, found {n} lines");
    for (i, (_, line)) in logged.iter().enumerate() {
        assert_eq!(line, &format!("line {i}"));
    }
}
