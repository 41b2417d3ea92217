//! Readers: an answer that succeeds has all that was acknowledged before it was asked for, whatever goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use skald_testkit::Client;
use skald_testkit::http::form;
use skald_testkit::rng::Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::{Found, Journal, Kind};
use crate::report::Report;

/// Asks for what one writer wrote.
#[derive(Clone, Debug)]
pub struct Reader {
    pub journal: Arc<Journal>,
    /// One of each querier, with the tenant.
    pub routes: Vec<Client>,
    pub report: Arc<Report>,
    pub phase: watch::Receiver<Option<&'static str>>,
    /// When the first row was written.
    pub since_ms: i64,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const RECENT_MS: i64 = 120_000;
/// Lines asked for at once.
const SLICE_MS: i64 = 600_000;

// === impl Reader ===

impl Reader {
    pub async fn run(self, mut rng: Rng) {
        loop {
            let Some(phase) = *self.phase.borrow() else { return };
            let end = crate::now_ms();
            let start = if rng.chance(5) { self.since_ms } else { end - RECENT_MS };
            let first = usize::try_from(rng.below(2)).unwrap_or(0);
            let began = Instant::now();
            let mut answer = self.check(first, start, end).await;
            if answer.is_err() {
                self.report.count("queries repeated");
                answer = self.check(first + 1, start, end).await;
            }
            match answer {
                Ok(()) => self.report.latency("queries", began.elapsed()),
                Err(e) => {
                    let excused = ["storage", "cold"].iter().any(|f| self.report.is_on(f));
                    let why = if excused {
                        "while the store is away"
                    } else {
                        phase.trim_start_matches("pushes ")
                    };
                    self.report.count(&format!("queries failed twice, {why}"));
                    self.report.note(&format!("a query failed twice, {why}"), &e);
                }
            }
            tokio::time::sleep(Duration::from_millis(500 + rng.below(1_000))).await;
        }
    }

    /// Asks one querier for all in `(start, end]`; an error only if it does not answer.
    pub async fn check(&self, route: usize, start_ms: i64, end_ms: i64) -> Result<(), String> {
        let route = &self.routes[route % self.routes.len()];
        let due = self.journal.due(start_ms, end_ms);
        let found = match self.journal.kind {
            Kind::Samples => samples(route, start_ms, end_ms).await?,
            Kind::Lines => lines(route, start_ms, end_ms).await?,
        };
        self.report.count("queries answered");
        self.report.add("entries found by queries", found.len() as u64);
        let wrong = self.journal.judge(&due, found);
        if !wrong.is_empty() {
            self.report.violation(&format!(
                "{} by {} in ({start_ms}, {end_ms}]: {}",
                wrong.len(),
                route.base(),
                wrong.iter().take(3).cloned().collect::<Vec<_>>().join("; ")
            ));
        }
        Ok(())
    }
}

async fn ask(route: &Client, path: &str, params: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let path = format!("{path}?{}", form(params));
    let reply = route.try_send(Method::GET, &path, &[], Bytes::new());
    let reply = tokio::time::timeout(TIMEOUT, reply).await;
    let reply = reply.map_err(|_| "no answer within 30 s".to_owned())??;
    if !reply.status.is_success() {
        return Err(format!("{}: {}", reply.status, reply.text()));
    }
    let value: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
    Ok(value["data"]["result"].as_array().cloned().unwrap_or_default())
}

fn series_of(labels: &Value) -> usize {
    labels["series"].as_str().and_then(|s| s.parse().ok()).unwrap_or(usize::MAX)
}

/// All samples of the tenant, by any name.
async fn samples(route: &Client, start_ms: i64, end_ms: i64) -> Result<Vec<Found>, String> {
    let query = format!("{{__name__=~\".+\"}}[{}ms]", end_ms - start_ms);
    let time = format!("{}.{:03}", end_ms / 1000, end_ms % 1000);
    let result = ask(route, "/api/v1/query", &[("query", &query), ("time", &time)]).await?;
    let mut out = Vec::new();
    for matrix in result {
        let series = series_of(&matrix["metric"]);
        for pair in matrix["values"].as_array().into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, reason = "times of today fit")]
            let at_ms = (pair[0].as_f64().unwrap_or(0.0) * 1e3).round() as i64;
            out.push(Found { series, at_ms, text: pair[1].as_str().unwrap_or("").to_owned() });
        }
    }
    Ok(out)
}

/// All lines of the tenant.
async fn lines(route: &Client, start_ms: i64, end_ms: i64) -> Result<Vec<Found>, String> {
    let mut out = Vec::new();
    let mut from = start_ms + 1;
    while from <= end_ms {
        let to = (from + SLICE_MS).min(end_ms + 1);
        let (start, end) = (format!("{from}000000"), format!("{to}000000"));
        let params = [
            ("query", "{app=~\".+\"}"),
            ("start", &start),
            ("end", &end),
            ("limit", "1000000"),
            ("direction", "forward"),
        ];
        for stream in ask(route, "/loki/api/v1/query_range", &params).await? {
            let series = series_of(&stream["stream"]);
            for pair in stream["values"].as_array().into_iter().flatten() {
                let ns: i64 = pair[0].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
                let text = pair[1].as_str().unwrap_or("").to_owned();
                out.push(Found { series, at_ms: ns / 1_000_000, text });
            }
        }
        from = to;
    }
    Ok(out)
}
