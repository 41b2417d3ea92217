//! The requests of a tenant, whichever API they come from: kept in its manifest log, listed, withdrawn.

use http::StatusCode;
use skald_catalog::{Change, CommitError, DeleteRequest, Signal, View};
use skald_limits::DeletionMode;
use skald_logql::Selection;
use skald_model::{Chain, Matcher};

use super::count;
use crate::audit::{self, Event};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::json::Json;
use crate::scope::Scope;
use crate::{Error, Querier};

/// Requests of a tenant that are not carried out yet.
const MAX_OPEN: usize = 1000;
/// Bytes of compiled patterns of selectors of all open requests of a tenant.
const MAX_PROGRAMS: usize = 16 << 20;
/// Bytes of the query of a request.
const MAX_QUERY: usize = 16 << 10;
const NS_PER_MS: i64 = 1_000_000;

/// Refuses tenants who may not delete.
pub(crate) fn check_allowed(scope: &Scope) -> Result<(), Error> {
    if scope.limits.deletion_mode != DeletionMode::Disabled {
        return Ok(());
    }
    Err(Error::Forbidden(
        "deletion is not available for this tenant (err-skald-deletion-disabled); to adjust, set \
         deletion_mode"
            .to_owned(),
    ))
}

pub(crate) fn check_length(query: &str) -> Result<(), Error> {
    if query.len() <= MAX_QUERY {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "query of {} bytes is longer than the limit of {MAX_QUERY}",
        query.len()
    )))
}

/// Commits `requests`, all or none; they have no ids yet.
pub(crate) async fn add(
    querier: &Querier,
    call: &Call,
    mut requests: Vec<DeleteRequest>,
) -> Result<(), Error> {
    let scope = &call.scope;
    let view = querier.fanout().blocks.fresh_view(&scope.tenant).await?;
    let open = view.deletes.values().filter(|d| d.finished_ms == 0).count();
    if open.saturating_add(requests.len()) > MAX_OPEN {
        return Err(Error::Limit(format!(
            "{open} delete requests wait to be carried out, the limit is {MAX_OPEN} \
             (err-skald-max-delete-requests); withdraw some or wait for the compactor"
        )));
    }
    check_programs(&requests, &view)?;
    name(&mut requests, &view);
    let change = Change { deletes: requests.clone(), ..Change::default() };
    commit(querier, call, change, Event::Requested, requests).await
}

/// Gives each request an id. Another one of the same id would be replaced, and show again what it hides.
fn name(requests: &mut [DeleteRequest], view: &View) {
    for i in 0..requests.len() {
        let (named, rest) = requests.split_at_mut(i);
        let Some(request) = rest.first_mut() else { return };
        request.id = id_of(request);
        let is_taken = |request: &DeleteRequest| {
            let is_other = |other: &DeleteRequest| other.id == request.id && other != request;
            view.deletes.get(&request.id).is_some_and(is_other) || named.iter().any(is_other)
        };
        while is_taken(request) {
            request.created_ms += 1;
            request.id = id_of(request);
        }
    }
}

/// Eight hex digits, the same for a request that is repeated within its millisecond.
fn id_of(request: &DeleteRequest) -> String {
    let DeleteRequest { query, start_ns, end_ns, created_ms, signal, .. } = request;
    let text = format!("{query}\0{start_ns}\0{end_ns}\0{created_ms}");
    let crc = crc32c::crc32c(text.as_bytes());
    // Those for lines have the ids they always had.
    let of_lines = *signal != i32::from(Signal::Metrics);
    let crc = if of_lines { crc } else { crc32c::crc32c_append(crc, b"\0samples") };
    format!("{crc:08x}")
}

/// All requests for lines or for samples that are still known, the oldest first, each written by `what` up to its state.
pub(crate) async fn list(
    querier: &Querier,
    scope: &Scope,
    signal: Signal,
    what: impl Fn(&mut Json, &DeleteRequest) + Send + 'static,
) -> Result<Answer, Error> {
    let view = querier.fanout().blocks.fresh_view(&scope.tenant).await?;
    let of_signal = |d: &&DeleteRequest| is_of(d, signal);
    let mut all: Vec<DeleteRequest> = view.deletes.values().filter(of_signal).cloned().collect();
    all.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
    let size = all.iter().map(|d| 2 * d.query.len() + 192).sum();
    Ok(Answer::json(size, move |json| {
        json.raw("[");
        let mut first = true;
        for request in &all {
            write(json.sep(&mut first), request, &what);
        }
        json.raw("]");
    }))
}

fn write(json: &mut Json, request: &DeleteRequest, what: &impl Fn(&mut Json, &DeleteRequest)) {
    let status = if request.finished_ms == 0 { "received" } else { "processed" };
    json.raw(r#"{"request_id":"#).string(&request.id);
    json.raw(r#","start_time":"#).time_ms(request.start_ns.div_euclid(NS_PER_MS));
    json.raw(r#","end_time":"#).time_ms(request.end_ns.div_euclid(NS_PER_MS)).raw(",");
    what(json, request);
    json.raw(r#","status":"#).string(status);
    json.raw(r#","created_at":"#).time_ms(request.created_ms).raw("}");
}

/// Withdraws the request that the call names, if there is still time.
pub(crate) async fn cancel(
    querier: &Querier,
    call: &Call,
    signal: Signal,
) -> Result<Answer, Error> {
    let id = call.params.get("request_id").unwrap_or("").to_owned();
    let view = querier.fanout().blocks.fresh_view(&call.scope.tenant).await?;
    let request =
        view.deletes.get(&id).filter(|d| is_of(d, signal)).ok_or_else(|| {
            Error::NotFound("could not find delete request with given id".to_owned())
        })?;
    if request.finished_ms != 0 {
        let text = "deletion of request which is in process or already processed is not allowed";
        return Err(Error::Invalid(text.to_owned()));
    }
    if count::is_dry_run(call)? {
        return Err(Error::parameter("dry_run", "not possible for a withdrawal"));
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
    commit(querier, call, change, Event::Withdrawn, vec![request.clone()]).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

fn is_of(request: &DeleteRequest, signal: Signal) -> bool {
    (request.signal() == Signal::Metrics) == (signal == Signal::Metrics)
}

/// Compiled patterns of all open requests of a tenant: every query of theirs holds them.
fn check_programs(new: &[DeleteRequest], view: &View) -> Result<(), Error> {
    let open = view.deletes.values().filter(|d| d.finished_ms == 0);
    let bytes: usize = open.chain(new).map(programs).sum();
    if bytes <= MAX_PROGRAMS {
        return Ok(());
    }
    Err(Error::Limit(format!(
        "the regular expressions of all delete requests that are not carried out take {bytes} bytes compiled, the \
         limit is {MAX_PROGRAMS} (err-skald-max-delete-patterns); withdraw some or wait for the compactor"
    )))
}

fn programs(request: &DeleteRequest) -> usize {
    let cost = |matchers: &[Matcher]| matchers.iter().map(Matcher::cost).sum();
    if is_of(request, Signal::Metrics) {
        let selector = skald_promql::syntax::parse_selector(&request.query);
        return selector.map_or(0, |s| cost(&s.matchers));
    }
    Selection::parse(&request.query).map_or(0, |s| cost(s.matchers()))
}

/// Commits `change` and writes the audit lines, also if the client does not wait for it.
async fn commit(
    querier: &Querier,
    call: &Call,
    change: Change,
    event: Event,
    requests: Vec<DeleteRequest>,
) -> Result<(), Error> {
    let (querier, tenant, who) = (querier.clone(), call.scope.tenant.clone(), call.who.clone());
    let task = skald_runtime::spawn("delete-request", async move {
        let committed = querier.fanout().blocks.commit(&tenant, change).await;
        let outcome = if committed.is_ok() { "done" } else { "unknown" };
        requests.iter().for_each(|request| audit::log(event, outcome, &tenant, &who, request));
        committed
    });
    let failed = |e: CommitError| Error::of_kind(e.kind(), Chain(&e).to_string());
    match task.await {
        Ok(committed) => committed.map(|_| ()).map_err(failed),
        Err(e) => Err(Error::Internal(format!("delete request: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_same_words_and_time_are_one_unless_they_differ() {
        let request = |query: &str, signal: Signal| DeleteRequest {
            query: query.to_owned(),
            signal: signal.into(),
            ..DeleteRequest::default()
        };
        let id = |r: &DeleteRequest| id_of(r);
        let (lines, samples) =
            (request(r#"{a="b"}"#, Signal::Unspecified), request(r#"{a="b"}"#, Signal::Metrics));
        assert_ne!(id(&lines), id(&samples));
        let tenant = skald_model::TenantId::single();
        let mut view = View {
            tenant,
            number: 0,
            blocks: Vec::new(),
            watermarks: Default::default(),
            epochs: Default::default(),
            metadata: Default::default(),
            removed: Default::default(),
            deletes: Default::default(),
            loaded_at_ms: 0,
        };
        let mut two = vec![samples.clone(), samples.clone()];
        name(&mut two, &view);
        assert_eq!(two[0], two[1]);
        // Somebody has the id already.
        let other = DeleteRequest { id: id(&samples), ..request("x", Signal::Metrics) };
        view.deletes.insert(other.id.clone(), other);
        let mut one = vec![samples.clone()];
        name(&mut one, &view);
        assert_eq!(one[0].created_ms, 1);
        assert_ne!(one[0].id, id(&samples));
    }
}
