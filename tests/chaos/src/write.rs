//! Writers: each pushes the rows of its journal, one after the other, and repeats a push until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use skald_testkit::payload::{self, REMOTE_WRITE_V1};
use skald_testkit::rng::Rng;
use skald_testkit::{Client, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::{Journal, Kind, WIDTH};
use crate::report::Report;

/// Where pushes go, and what they are told.
#[derive(Clone, Debug)]
pub struct Writer {
    pub journal: Arc<Journal>,
    /// One of each distributor, with the tenant.
    pub routes: Vec<Client>,
    pub report: Arc<Report>,
    /// What the cluster goes through now; `None` ends the writer.
    pub phase: watch::Receiver<Option<&'static str>>,
}

/// A push that takes longer has failed; a paused distributor would never answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 12;

// === impl Writer ===

impl Writer {
    pub async fn run(self, mut rng: Rng) {
        loop {
            let Some(phase) = *self.phase.borrow() else { return };
            self.row(phase, &mut rng).await;
            tokio::time::sleep(Duration::from_millis(100 + rng.below(200))).await;
        }
    }

    async fn row(&self, phase: &'static str, rng: &mut Rng) {
        let (row, at_ms) = self.journal.begin();
        let body = self.body(row, at_ms);
        let first = usize::try_from(rng.below(2)).unwrap_or(0);
        let began = Instant::now();
        for attempt in 0..ATTEMPTS {
            let route = &self.routes[(first + attempt as usize) % self.routes.len()];
            let sent = tokio::time::timeout(TIMEOUT, self.push(route, body.clone())).await;
            let trouble = match sent {
                Ok(Ok(reply)) if reply.status.is_success() => {
                    self.journal.acked(row);
                    self.report.latency(phase, began.elapsed());
                    self.report.count("pushes acknowledged");
                    if attempt > 1 {
                        self.report.count(&format!("more than one retry: {phase}"));
                    }
                    return;
                }
                Ok(Ok(reply)) if reply.status.is_client_error() => {
                    let text = reply.text();
                    self.report.violation(&format!("refused: {} {text}", reply.status));
                    return;
                }
                Ok(Ok(reply)) => format!("{}: {}", reply.status, reply.text()),
                Ok(Err(e)) => format!("no answer: {e}"),
                Err(_) => "no answer within 10 s".to_owned(),
            };
            self.report.count("pushes repeated");
            if attempt > 0 {
                self.report.note(&format!("failed twice: {phase}"), &trouble);
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(6))).await;
        }
        self.report.count("pushes given up");
    }

    /// One row, pushed once.
    pub async fn once(&self) {
        let (row, at_ms) = self.journal.begin();
        let sent = self.push(&self.routes[0], self.body(row, at_ms));
        match tokio::time::timeout(TIMEOUT, sent).await {
            Ok(Ok(reply)) if reply.status.is_success() => {
                self.journal.acked(row);
                self.report.count("pushes acknowledged");
            }
            Ok(Ok(reply)) => {
                self.report.violation(&format!("refused: {} {}", reply.status, reply.text()));
            }
            Ok(Err(_)) | Err(_) => self.report.count("pushes without an answer"),
        }
    }

    fn body(&self, row: usize, at_ms: i64) -> Bytes {
        let texts: Vec<_> =
            (0..WIDTH).map(|s| (s.to_string(), self.journal.text(s, row))).collect();
        match self.journal.kind {
            Kind::Samples => payload::write_v1(
                texts
                    .iter()
                    .map(|(s, text)| {
                        let value = text.parse().unwrap_or(f64::NAN);
                        payload::series(&[("__name__", "chaos"), ("series", s)], &[(at_ms, value)])
                    })
                    .collect(),
            ),
            Kind::Lines => {
                let at_ns = at_ms * 1_000_000;
                let entries: Vec<_> =
                    texts.iter().map(|(s, text)| (s, [(at_ns, text.as_str())])).collect();
                let labels: Vec<_> =
                    texts.iter().map(|(s, _)| [("app", "chaos"), ("series", s.as_str())]).collect();
                let streams: Vec<payload::StreamOf<'_>> = labels
                    .iter()
                    .zip(&entries)
                    .map(|(labels, (_, entries))| (labels.as_slice(), entries.as_slice()))
                    .collect();
                payload::loki_json(&streams)
            }
        }
    }

    async fn push(&self, route: &Client, body: Bytes) -> Result<Reply, String> {
        let json = [("content-type", "application/json")];
        let (path, headers): (_, &[_]) = match self.journal.kind {
            Kind::Samples => ("/api/v1/push", &REMOTE_WRITE_V1),
            Kind::Lines => ("/loki/api/v1/push", &json),
        };
        route.try_send(Method::POST, path, headers, body).await
    }
}
