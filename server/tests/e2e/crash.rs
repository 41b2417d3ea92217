//! SIGKILL at any moment: what was acknowledged is there, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use skald_testkit::Client;
use skald_testkit::http::form;
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

/// How many lines a count says there are, and whether it says that it lacks something; or that the log is being read.
async fn counted(client: &Client, partial: bool) -> Option<Result<(u64, bool), Replaying>> {
    let query = r#"sum(count_over_time({app=~".+"}[1h]))"#;
    let args = [("query", query), ("partial", "allow")];
    let args = form(&args[..if partial { 2 } else { 1 }]);
    let path = format!("/loki/api/v1/query?{args}");
    let reply = client.try_send(http::Method::GET, &path, &[], Bytes::new()).await.ok()?;
    if reply.status == 503 {
        let is_replaying = reply.text().contains("err-skald-ingester-replaying");
        return is_replaying.then_some(Err(Replaying));
    }
    assert_eq!(reply.status, 200, "{}", reply.text());
    let result = reply.result();
    let count = result.first().and_then(|sample| sample["value"][1].as_str());
    let is_partial = reply.headers.contains_key("x-skald-partial");
    Some(Ok((count.map_or(0, |n| n.parse().unwrap()), is_partial)))
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Replaying;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_read_answers_are_refused_or_say_what_they_lack() {
    const PER_PUSH: i64 = 4000;
    let address = format!("127.0.0.1:{}", skald_testkit::etcd::free_port());
    let builder = skald().http_listen(&address).set("limits.ingestion_rate_mb", "1000");
    let server = builder.start().await;
    let t0 = (now_ms() - 600_000) * 1_000_000;
    let push = |app: &'static str, round: i64| {
        let client = server.client.clone();
        async move {
            let lines: Vec<String> =
                (0..PER_PUSH).map(|i| format!("line {round} {i} {:0200}", i)).collect();
            let entry = |(i, line): (i64, &String)| (t0 + round * PER_PUSH + i, line.clone());
            let entries: Vec<(i64, String)> = (0..).zip(&lines).map(entry).collect();
            let entries: Vec<(i64, &str)> =
                entries.iter().map(|(t, line)| (*t, line.as_str())).collect();
            let body = payload::loki_json(&[(&[("app", app)], &entries)]);
            let headers = [("content-type", "application/json")];
            let reply = client.post("/loki/api/v1/push", &headers, body).await;
            assert_eq!(reply.status, 204, "{}", reply.text());
        }
    };
    push("stored", 0).await;
    assert!(server.client.post("/flush", &[], "").await.status.is_success());
    let shipped = u64::try_from(PER_PUSH).unwrap();
    for round in 1..=40 {
        push("logged", round).await;
    }
    let all = counted(&server.client, false).await.unwrap().unwrap();
    assert_eq!(all, (41 * shipped, false));
    server.kill();

    let client = Client::new(format!("http://{address}"));
    let poll = async {
        let (mut n_partial, mut n_refused) = (0, 0);
        loop {
            match counted(&client, false).await {
                // Nothing listens yet, or there are no roles.
                None => {}
                Some(Err(Replaying)) => n_refused += 1,
                Some(Ok(answer)) => {
                    assert_eq!(answer, all, "complete or refused");
                    return (n_partial, n_refused);
                }
            }
            if let Some(Ok((count, is_partial))) = counted(&client, true).await {
                assert_eq!(count, if is_partial { shipped } else { all.0 });
                n_partial += u32::from(is_partial);
            }
        }
    };
    let (server, (n_partial, n_refused)) = tokio::join!(builder.start(), poll);
    assert!(n_partial > 0 && n_refused > 0, "{n_partial} partial, {n_refused} refused");
    server.terminate().await;
}
