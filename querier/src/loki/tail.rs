//! `tail`: a websocket that first sends recent lines and then those that arrive.
//!
//! ```text
//! ingesters ─tail─▶ session: pipeline → once per identity → delay → frames ─bounded queue─▶ socket
//! ```
//!
//! A reader that is too slow loses frames, is told which entries it lost, and never slows a push.

mod queue;
mod seen;
mod session;

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use skald_logql::Expr;
use skald_logql::ast::LogExpr;

use self::session::Session;
use super::query::query_text;
use super::{NS_PER_S, count, parse_time};
use crate::frontend::queue::{Bounds, Permit};
use crate::http::params::Params;
use crate::http::reply::Api;
use crate::http::route::tenant_of;
use crate::scope::Scope;
use crate::{Error, Querier};

const DEFAULT_LIMIT: usize = 100;
const MAX_DELAY_S: u64 = 5;

/// What a client asked for.
#[derive(Debug)]
struct Order {
    scope: Scope,
    query: String,
    log: LogExpr,
    start_ns: i64,
    limit: usize,
    delay: Duration,
    categorize: bool,
    /// The tenant's right to one more tail.
    _permit: Permit,
}

pub(super) async fn tail(
    State(querier): State<Querier>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    let order = match order(&querier, request).await {
        Ok(order) => order,
        Err(e) => return Api::Loki.error(&e),
    };
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| serve(querier, order, socket)),
        Err(rejection) => rejection.into_response(),
    }
}

async fn serve(querier: Querier, order: Order, socket: WebSocket) {
    querier.metrics().tails.inc();
    let scope = order.scope.clone();
    Session::run(&querier, order, socket).await;
    let (touched, reads) = (scope.touched(), scope.reads.snapshot());
    querier.metrics().add_reads(&scope.tenant, touched.blocks, reads);
    querier.metrics().tails.dec();
}

async fn order(querier: &Querier, request: Request) -> Result<Order, Error> {
    let tenant = tenant_of(&request)?;
    let (parts, body) = request.into_parts();
    let (params, _) = Params::read(&parts, body, querier.max_request_size()).await?;
    let query = query_text(&params)?;
    let log = match skald_logql::parse(&query).map_err(|e| Error::Invalid(e.to_string()))? {
        // A tail has no end, and would have to remember all it ever showed.
        Expr::Log(log) if log.distinct().is_some() => {
            return Err(Error::Invalid(
                "tail takes no distinct; leave it out, or use query_range".to_owned(),
            ));
        }
        Expr::Log(log) => log,
        Expr::Metric(_) => {
            return Err(Error::Invalid("tail needs a log query, not a metric query".to_owned()));
        }
    };
    let start_ns = match params.get("start") {
        Some(text) => parse_time("start", text)?,
        None => querier.now_ns().saturating_sub(3600 * NS_PER_S),
    };
    let limit = count(&params, "limit", DEFAULT_LIMIT)?;
    let delay = delay(&params)?;
    let scope = Scope::new(tenant.clone(), querier.limits(&tenant));
    let most = scope.limits.max_concurrent_tail_requests;
    let bounds = Bounds { max_concurrent: most, max_waiting: 0, cost: 1 };
    let permit = querier.tails().enter(&tenant, bounds).await.map_err(|_| {
        Error::Limit(format!(
            "max concurrent tail requests limit exceeded, count > limit ({} > {most}) \
             (err-skald-max-tails); to adjust, set max_concurrent_tail_requests",
            most.saturating_add(1)
        ))
    })?;
    let categorize = super::query::categorizes(&parts.headers);
    let limit = match scope.limits.max_entries_limit_per_query {
        0 => limit,
        max => limit.min(max),
    };
    Ok(Order { scope, query, log, start_ns, limit, delay, categorize, _permit: permit })
}

fn delay(params: &Params) -> Result<Duration, Error> {
    let Some(text) = params.get("delay_for") else { return Ok(Duration::ZERO) };
    let seconds: u64 = text
        .parse()
        .map_err(|_| Error::Invalid(format!("could not parse 'delay_for' parameter: {text:?}")))?;
    if seconds > MAX_DELAY_S {
        return Err(Error::Invalid(format!("delay_for can't be greater than {MAX_DELAY_S}")));
    }
    Ok(Duration::from_secs(seconds))
}
