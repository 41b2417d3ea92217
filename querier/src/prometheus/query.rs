//! `query` and `query_range`.

use std::time::Duration;

use http::header;
use skald_promql::{Engine, EngineOptions, QueryError, QueryOptions, QueryResult};
use skald_runtime::HumanDuration;

use super::result::{Store, write};
use super::{Notes, limit_of, optional_time, parse_time};
use crate::frontend::range::RangeQuery;
use crate::frontend::split::Steps;
use crate::http::params::Params;
use crate::http::reply::Answer;
use crate::http::route::{Call, not_a_duration};
use crate::http::time;
use crate::scope::Scope;
use crate::source::MetricSource;
use crate::{Error, Querier};

/// Steps between the ends of a range query at most.
const MAX_STEPS: i64 = 11_000;

pub(super) async fn instant(querier: Querier, call: Call) -> Result<Answer, Error> {
    let time_ms = optional_time(&call.params, "time")?.unwrap_or_else(|| querier.now_ms());
    let options = options(&call.params)?;
    let (engine, source) = engine(&querier, &call.scope);
    let query = call.params.get("query").unwrap_or("");
    let result = engine.instant(&source, query, time_ms, &options).await;
    answer(&call, result)
}

pub(super) async fn range(querier: Querier, call: Call) -> Result<Answer, Error> {
    let required = |name| parse_time(name, call.params.get(name).unwrap_or(""));
    let (start, end) = (required("start")?, required("end")?);
    if end < start {
        return Err(Error::parameter("end", "end timestamp must not be before start time"));
    }
    let step = duration("step", call.params.get("step").unwrap_or(""))?;
    if step <= 0 {
        let cause = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Error::parameter("step", cause));
    }
    if (end - start) / step > MAX_STEPS {
        return Err(Error::Invalid(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .to_owned(),
        ));
    }
    check_length(&call.scope, end - start)?;
    let options = options(&call.params)?;
    let (engine, _) = engine(&querier, &call.scope);
    let text = call.params.get("query").unwrap_or("");
    // What lacks something must not be kept as if it did not.
    let no_store = avoids_caches(&call) || call.scope.partial.is_allowed();
    let steps = Steps { start_ms: start, end_ms: end, step_ms: step };
    let (querier, scope, engine, options) = (&querier, &call.scope, &engine, &options);
    let query = RangeQuery { querier, scope, engine, text, steps, options, no_store };
    // Statistics are about the whole.
    let result = match call.params.get("stats") {
        Some(_) => query.whole().await,
        None => query.evaluate().await,
    };
    answer(&call, result)
}

/// Whether the client wants nothing of caches: by `Cache-Control`, or by the parameter `nocache=1`
/// of VictoriaMetrics, which dashboards and benchmarks send to several servers alike.
fn avoids_caches(call: &Call) -> bool {
    let values = call.headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives = values.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let avoids = |d: &str| ["no-store", "no-cache"].iter().any(|n| d.eq_ignore_ascii_case(n));
    call.params.get("nocache") == Some("1") || directives.any(|d| avoids(d.trim()))
}

fn answer(call: &Call, result: Result<QueryResult, QueryError>) -> Result<Answer, Error> {
    let result = result.map_err(of_engine)?;
    call.scope.record.add_samples(result.stats.samples_total);
    let mut notes = Notes { warnings: call.scope.partial.warnings(), ..Notes::default() };
    let with_stats = match call.params.get("stats") {
        None => false,
        Some("true" | "all") => true,
        Some(other) => {
            notes.warnings.push(format!(
                "value {other:?} for parameter \"stats\" is deprecated and will be rejected \
                 in the next major release, use \"true\" or \"all\""
            ));
            true
        }
    };
    let scope = &call.scope;
    let store = || Store { touched: scope.touched(), reads: scope.reads.snapshot() };
    Ok(write(result, notes, with_stats.then(store)))
}

fn engine(querier: &Querier, scope: &Scope) -> (Engine, MetricSource) {
    let limits = &scope.limits;
    let defaults = EngineOptions::default();
    let engine = Engine::new(EngineOptions {
        lookback_ms: querier.config().lookback_delta.as_millis(),
        max_samples: match limits.max_samples_per_query {
            0 => usize::MAX,
            n => n,
        },
        max_memory_bytes: match limits.max_query_memory.0 {
            0 => None,
            n => Some(usize::try_from(n).unwrap_or(usize::MAX)),
        },
        // The frame around the handler keeps the tenant's time; this one must not be shorter.
        timeout: match limits.query_timeout.0 {
            Duration::ZERO => Duration::MAX,
            limit => limit,
        },
        ..defaults
    })
    .on(querier.cpu().clone());
    (engine, MetricSource::new(querier.fanout().clone(), scope.clone()))
}

fn options(params: &Params) -> Result<QueryOptions, Error> {
    let lookback_ms = match params.get("lookback_delta") {
        Some(text) => {
            let cause =
                || format!("error parsing lookback delta duration: {}", not_a_duration(text));
            Some(time::duration_ms(text).ok_or_else(|| Error::Invalid(cause()))?)
        }
        None => None,
    };
    let step_stats = params.get("stats") == Some("all");
    Ok(QueryOptions {
        lookback_ms,
        limit: limit_of(params)?,
        step_stats,
        ..QueryOptions::default()
    })
}

fn duration(name: &str, text: &str) -> Result<i64, Error> {
    time::duration_ms(text).ok_or_else(|| Error::parameter(name, not_a_duration(text)))
}

fn check_length(scope: &Scope, length_ms: i64) -> Result<(), Error> {
    let limit = scope.limits.max_query_length;
    if limit.is_zero() || length_ms <= limit.as_millis() {
        return Ok(());
    }
    let length = HumanDuration(Duration::from_millis(length_ms.unsigned_abs()));
    Err(Error::Invalid(format!(
        "the query time range exceeds the limit (query length: {length}, limit: {limit}) \
         (err-skald-max-query-length); to adjust, set max_query_length"
    )))
}

fn of_engine(e: QueryError) -> Error {
    match e {
        QueryError::Parse(text) | QueryError::Invalid(text) => Error::parameter("query", text),
        QueryError::Execution(text) => Error::Execution(text),
        QueryError::Memory(text) => Error::of_kind(skald_model::ErrorKind::LimitExceeded, text),
        QueryError::Timeout(text) => Error::Timeout(text),
        QueryError::Cancelled => Error::Canceled,
        QueryError::Source(source) => Error::of_kind(source.kind, source.message),
    }
}
