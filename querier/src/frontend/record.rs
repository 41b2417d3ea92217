//! What one request asked for and cost: gathered while it runs, logged once when it ends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skald_model::ErrorKind;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::http::params::Params;
use crate::http::reply::Api;
use crate::http::route::{Class, Route};
use crate::http::time;
use crate::metrics::RequestLabels;
use crate::scope::Scope;
use crate::{Error, Querier};

/// Longest query text in the log, in bytes.
const MAX_QUERY: usize = 2048;
/// Longest other parameter.
const MAX_PARAM: usize = 64;

/// Shared by all that work on a request.
#[derive(Debug, Default)]
pub(crate) struct Record {
    asked: OnceLock<Asked>,
    queued_us: AtomicU64,
    series: AtomicU64,
    samples: AtomicU64,
    pieces: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

/// The parameters that tell one query from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    query: String,
    start: String,
    end: String,
    step: String,
}

/// A request under way; dropped before its end, the client left.
#[derive(Debug)]
pub(crate) struct Running {
    route: Route,
    querier: Querier,
    scope: Scope,
    begun: Instant,
    ended: bool,
}

// === impl Record ===

impl Record {
    pub(crate) fn asked(&self, params: &Params) {
        let get = |name, most| bounded(params.get(name).unwrap_or(""), most);
        let query = match params.get("query") {
            Some(query) => bounded(query, MAX_QUERY),
            None => bounded(params.all("match[]").next().unwrap_or(""), MAX_QUERY),
        };
        let instant = if params.get("time").is_some() { "time" } else { "start" };
        let _ = self.asked.set(Asked {
            query,
            start: get(instant, MAX_PARAM),
            end: get("end", MAX_PARAM),
            step: get("step", MAX_PARAM),
        });
    }

    pub(crate) fn queued(&self, waited: Duration) {
        let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.queued_us.store(us, Ordering::Relaxed);
    }

    pub(crate) fn add_series(&self, n: usize) {
        self.series.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Pieces of which the cache of results had something, and others.
    pub(crate) fn add_cached(&self, hits: usize, misses: usize) {
        self.cache_hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.cache_misses.fetch_add(misses as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_pieces(&self, n: usize) {
        self.pieces.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_samples(&self, n: u64) {
        self.samples.fetch_add(n, Ordering::Relaxed);
    }
}

/// `text`, or its beginning.
fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

/// What a request costs against others in the queue: one, and one for each day that it spans.
pub(crate) fn cost(api: Api, params: &Params) -> u64 {
    const MOST: u64 = 100;
    let at = |name| match api {
        Api::Prometheus => params.get(name).and_then(time::prometheus_time),
        Api::Loki => params.get(name).and_then(time::loki_time).map(|ns| ns / 1_000_000),
    };
    let (Some(start), Some(end)) = (at("start"), at("end")) else { return 1 };
    let days = end.saturating_sub(start).max(0) / 86_400_000;
    u64::try_from(days).unwrap_or(0).saturating_add(1).min(MOST)
}

// === impl Running ===

impl Running {
    pub(crate) fn new(route: Route, querier: &Querier, scope: &Scope, begun: Instant) -> Self {
        let (querier, scope) = (querier.clone(), scope.clone());
        Self { route, querier, scope, begun, ended: false }
    }

    pub(crate) fn end(mut self, error: Option<&Error>) {
        self.ended = true;
        self.log(error);
    }

    fn log(&self, error: Option<&Error>) {
        let Self { route, querier, scope, begun, .. } = self;
        let (touched, reads, record) = (scope.touched(), scope.reads.snapshot(), &scope.record);
        let elapsed = begun.elapsed();
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (series, samples) = (count(&record.series), count(&record.samples));
        let queued = Duration::from_micros(count(&record.queued_us));
        let labels = RequestLabels { op: route.op, outcome: outcome(error) };
        let metrics = querier.metrics();
        metrics.requests.get_or_create(&labels).observe(elapsed.as_secs_f64());
        metrics.add_reads(&scope.tenant, touched.blocks, reads);
        let pieces = count(&record.pieces);
        metrics.add_work(series, samples, pieces);
        let cached = (count(&record.cache_hits), count(&record.cache_misses));
        metrics.add_cached(cached.0, cached.1);
        if route.class == Class::Reads {
            metrics.queued.observe(queued.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "a metric")]
            metrics.memory.observe(scope.memory.peak() as f64);
            #[expect(clippy::cast_precision_loss, reason = "a metric")]
            metrics.query_requests.observe(reads.gets as f64);
        }
        let nothing = Asked::default();
        let asked = record.asked.get().unwrap_or(&nothing);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    tenant = %scope.tenant,
                    op = route.op,
                    query = asked.query,
                    start = asked.start,
                    end = asked.end,
                    step = asked.step,
                    elapsed = ?elapsed,
                    queued = ?queued,
                    series,
                    samples,
                    pieces,
                    cache_hits = cached.0,
                    bytes = reads.bytes,
                    blocks = touched.blocks,
                    gets = reads.gets,
                    disk_hits = reads.disk_hits,
                    heads = touched.heads,
                    memory = scope.memory.peak(),
                    outcome = outcome(error),
                    error = error.map(tracing::field::display),
                    "query"
                )
            };
        }
        let worth_it = elapsed >= querier.config().log_queries_longer_than.0;
        if route.class == Class::Reads && worth_it { line!(info) } else { line!(debug) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.log(Some(&Error::Canceled));
        }
    }
}

fn outcome(error: Option<&Error>) -> &'static str {
    match error.map(Error::kind) {
        None => "ok",
        Some(
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal | ErrorKind::Corrupt,
        ) => "server_error",
        Some(_) => "client_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("up", 2), "up");
        assert_eq!(bounded("aéz", 2), "a…");
    }

    #[test]
    fn a_long_query_costs_more() {
        let mut params = Params::default();
        assert_eq!(cost(Api::Prometheus, &params), 1);
        params.set("start", "0".to_owned());
        for (end, want) in [("-5", 1), ("3600", 1), ("259200", 4), ("1e15", 100), ("x", 1)] {
            params.set("end", end.to_owned());
            assert_eq!(cost(Api::Prometheus, &params), want, "{end}");
        }
    }
}
