//! `delete`: requests to delete lines. They are kept in the tenant's manifest log, hide lines from
//! queries at once, and compactors carry them out when nobody can withdraw them any more.

use http::{Method, StatusCode};
use skald_catalog::{Change, CommitError, DeleteRequest};
use skald_limits::DeletionMode;
use skald_logql::Selection;
use skald_model::Chain;

use super::nanos;
use crate::http::params::Params;
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::http::time;
use crate::json::Json;
use crate::{Error, Querier};

/// Requests of a tenant that are not carried out yet.
const MAX_OPEN: usize = 1000;
/// Bytes of the query of a request.
const MAX_QUERY: usize = 16 << 10;
const NS_PER_MS: i64 = 1_000_000;

/// The methods of the route.
pub(super) async fn requests(querier: Querier, call: Call) -> Result<Answer, Error> {
    if call.scope.limits.deletion_mode == DeletionMode::Disabled {
        return Err(Error::Forbidden(
            "deletion is not available for this tenant (err-skald-deletion-disabled); to adjust, \
             set deletion_mode"
                .to_owned(),
        ));
    }
    match call.method {
        Method::PUT | Method::POST => add(querier, call).await,
        Method::DELETE => cancel(querier, call).await,
        Method::GET | Method::HEAD => list(querier, call).await,
        other => {
            Err(Error::Invalid(format!("no method {other} here, but GET, POST, PUT and DELETE")))
        }
    }
}

async fn add(querier: Querier, call: Call) -> Result<Answer, Error> {
    let now_ms = querier.now_ms();
    let mut request = read(&call.params, now_ms)?;
    let view = querier.fanout().blocks.fresh_view(&call.scope.tenant).await?;
    let open = view.deletes.values().filter(|d| d.finished_ms == 0).count();
    if open >= MAX_OPEN {
        return Err(Error::Limit(format!(
            "{open} delete requests wait to be carried out, the limit is {MAX_OPEN} \
             (err-skald-max-delete-requests); withdraw some or wait for the compactor"
        )));
    }
    // Another request of the same id would be replaced, and show its lines again.
    while view.deletes.get(&request.id).is_some_and(|other| *other != request) {
        request.created_ms += 1;
        request.id = id_of(&request);
    }
    let change = Change { deletes: vec![request], ..Change::default() };
    querier.fanout().blocks.commit(&call.scope.tenant, change).await.map_err(|e| of_commit(&e))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

/// Checks what a client wants deleted.
fn read(params: &Params, now_ms: i64) -> Result<DeleteRequest, Error> {
    let invalid = |text: &str| Error::Invalid(text.to_owned());
    let query = params.get("query").ok_or_else(|| invalid("query not set"))?;
    if query.len() > MAX_QUERY {
        return Err(Error::Invalid(format!(
            "query of {} bytes is longer than the limit of {MAX_QUERY}",
            query.len()
        )));
    }
    Selection::parse(query).map_err(|e| Error::Invalid(e.to_string()))?;
    let start = params.get("start").ok_or_else(|| invalid("start time not set"))?;
    let start_ns = at(start)
        .ok_or_else(|| invalid("invalid start time: require unix seconds or RFC3339 format"))?;
    let now_ns = now_ms.saturating_mul(NS_PER_MS);
    let end_ns = match params.get("end") {
        Some(end) => at(end)
            .ok_or_else(|| invalid("invalid end time: require unix seconds or RFC3339 format"))?,
        None => now_ns,
    };
    if end_ns > now_ns {
        return Err(invalid("deletes in the future are not allowed"));
    }
    if start_ns >= end_ns {
        return Err(invalid("start time can't be greater than or equal to end time"));
    }
    if let Some(text) = params.get("max_interval") {
        let ns = nanos("max_interval", text);
        let ns = ns
            .ok()
            .filter(|ns| *ns >= super::NS_PER_S)
            .ok_or_else(|| invalid("invalid max_interval: valid time units are 's', 'm', 'h'"))?;
        // Blocks are the units of work here; the interval is only checked.
        if ns > end_ns.saturating_sub(start_ns) {
            return Err(invalid("max_interval can't be greater than the interval to be deleted"));
        }
    }
    let (query, id) = (query.to_owned(), String::new());
    let mut request =
        DeleteRequest { id, query, start_ns, end_ns, created_ms: now_ms, finished_ms: 0 };
    request.id = id_of(&request);
    Ok(request)
}

fn at(text: &str) -> Option<i64> {
    time::loki_time(text)
}

/// Eight hex digits, the same for a request that is repeated within its millisecond.
fn id_of(request: &DeleteRequest) -> String {
    let DeleteRequest { query, start_ns, end_ns, created_ms, .. } = request;
    let text = format!("{query}\0{start_ns}\0{end_ns}\0{created_ms}");
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

async fn list(querier: Querier, call: Call) -> Result<Answer, Error> {
    let view = querier.fanout().blocks.fresh_view(&call.scope.tenant).await?;
    let mut all: Vec<DeleteRequest> = view.deletes.values().cloned().collect();
    all.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
    let size = all.iter().map(|d| 2 * d.query.len() + 192).sum();
    Ok(Answer::json(size, move |json| {
        json.raw("[");
        let mut first = true;
        for request in &all {
            write(json.sep(&mut first), request);
        }
        json.raw("]");
    }))
}

fn write(json: &mut Json, request: &DeleteRequest) {
    let status = if request.finished_ms == 0 { "received" } else { "processed" };
    json.raw(r#"{"request_id":"#).string(&request.id);
    json.raw(r#","start_time":"#).time_ms(request.start_ns.div_euclid(NS_PER_MS));
    json.raw(r#","end_time":"#).time_ms(request.end_ns.div_euclid(NS_PER_MS));
    json.raw(r#","query":"#).html_string(&request.query);
    json.raw(r#","status":"#).string(status);
    json.raw(r#","created_at":"#).time_ms(request.created_ms).raw("}");
}

async fn cancel(querier: Querier, call: Call) -> Result<Answer, Error> {
    let id = call.params.get("request_id").unwrap_or("").to_owned();
    let view = querier.fanout().blocks.fresh_view(&call.scope.tenant).await?;
    let request = view
        .deletes
        .get(&id)
        .ok_or_else(|| Error::NotFound("could not find delete request with given id".to_owned()))?;
    if request.finished_ms != 0 {
        let text = "deletion of request which is in process or already processed is not allowed";
        return Err(Error::Invalid(text.to_owned()));
    }
    let period = call.scope.limits.delete_request_cancel_period;
    let age_ms = querier.now_ms().saturating_sub(request.created_ms);
    let force = call.params.get("force") == Some("true");
    if age_ms > period.as_millis() && !force {
        return Err(Error::Invalid(format!(
            "Cancellation of partially completed delete request or delete request past the \
             deadline of {period} since its creation is not allowed. To force, use the ?force \
             query parameter"
        )));
    }
    let change = Change { forget_deletes: vec![id], ..Change::default() };
    querier.fanout().blocks.commit(&call.scope.tenant, change).await.map_err(|e| of_commit(&e))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

fn of_commit(e: &CommitError) -> Error {
    Error::of_kind(e.kind(), Chain(e).to_string())
}
