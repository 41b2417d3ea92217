//! The frame around every handler: tenant, parameters, admission, deadline, log line.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, get, on, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use skald_model::TenantId;
use tokio::time::Instant;

use crate::audit::Who;
use crate::frontend::queue::{Bounds, Permit};
use crate::frontend::record::{self, Running};
use crate::http::params::{Params, path_decode};
use crate::http::reply::{Answer, Api, accepted, render};
use crate::http::time;
use crate::scope::{Partial, Scope};
use crate::{Error, Querier};

/// Routes whose answers are whole or errors.
const WHOLE: [&str; 5] =
    ["remote_read", "loki_export", "loki_tail", "delete_series", "loki_delete"];
/// Partitions that a header names.
const MAX_NAMED: usize = 64;
/// The header of answers that lack something.
const PARTIAL: HeaderName = HeaderName::from_static("x-skald-partial");

/// Whether a route reads data and so takes part in the tenant's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Reads,
    Cheap,
}

/// How a route is named and treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) api: Api,
    pub(crate) op: &'static str,
    pub(crate) class: Class,
}

/// A request, ready to be answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) scope: Scope,
    pub(crate) params: Params,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) who: Who,
    /// The path below the mount point.
    pub(crate) path: String,
    /// What was not read as a form.
    pub(crate) body: Bytes,
    /// Time spent waiting for admission.
    pub(crate) queued: Duration,
}

// === impl Call ===

impl Call {
    /// The name in a path `…/label/<name>/values`.
    pub(crate) fn label_name(&self) -> Result<String, Error> {
        let mut parts = self.path.rsplit('/');
        let name = parts.nth(1).unwrap_or("");
        path_decode(name)
    }
}

// === impl Route ===

impl Route {
    pub(crate) fn get<F, Fut>(self, handler: F) -> MethodRouter<Querier>
    where
        F: Fn(Querier, Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        get(move |State(querier): State<Querier>, request: Request| {
            self.serve(querier, request, handler)
        })
    }

    pub(crate) fn post<F, Fut>(self, handler: F) -> MethodRouter<Querier>
    where
        F: Fn(Querier, Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        post(move |State(querier): State<Querier>, request: Request| {
            self.serve(querier, request, handler)
        })
    }

    pub(crate) fn get_or_post<F, Fut>(self, handler: F) -> MethodRouter<Querier>
    where
        F: Fn(Querier, Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        let again = handler.clone();
        self.get(handler).merge(self.post(again))
    }

    pub(crate) fn post_or_put<F, Fut>(self, handler: F) -> MethodRouter<Querier>
    where
        F: Fn(Querier, Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        on(
            MethodFilter::POST.or(MethodFilter::PUT),
            move |State(querier): State<Querier>, request: Request| {
                self.serve(querier, request, handler)
            },
        )
    }

    /// Whatever the method; the handler tells them apart.
    pub(crate) fn any<F, Fut>(self, handler: F) -> MethodRouter<Querier>
    where
        F: Fn(Querier, Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        any(move |State(querier): State<Querier>, request: Request| {
            self.serve(querier, request, handler)
        })
    }

    async fn serve<F, Fut>(self, querier: Querier, request: Request, handler: F) -> Response
    where
        F: Fn(Querier, Call) -> Fut + Send,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        let begun = Instant::now();
        let coding = accepted(request.headers());
        let mut partial = Partial::default();
        let result = match tenant_of(&request) {
            Ok(tenant) => {
                let scope = Scope::new(tenant.clone(), querier.limits(&tenant));
                partial = scope.partial.clone();
                let running = Running::new(self, &querier, &scope, begun);
                let mut result = self.run(&querier, scope, request, handler).await;
                match &mut result {
                    Ok(Answer::Stream(streamed)) => streamed.until_sent(running),
                    other => running.end(other.as_ref().err()),
                }
                result
            }
            Err(e) => Err(e),
        };
        match result {
            Ok(answer) => match render(&querier, answer, coding).await {
                Ok(response) => with_partial(response, &partial),
                Err(e) => self.api.error(&e),
            },
            Err(e) => self.api.error(&e),
        }
    }

    async fn run<F, Fut>(
        self,
        querier: &Querier,
        scope: Scope,
        request: Request,
        handler: F,
    ) -> Result<Answer, Error>
    where
        F: Fn(Querier, Call) -> Fut + Send,
        Fut: Future<Output = Result<Answer, Error>> + Send,
    {
        let (parts, body) = request.into_parts();
        let (params, body) = Params::read(&parts, body, querier.max_request_size()).await?;
        scope.record.asked(&params);
        self.allow_partial(&scope, &params)?;
        let timeout = self.timeout(&scope, &params)?;
        let call = async {
            let waiting = Instant::now();
            let permit = match self.class {
                Class::Reads => Some(self.enter(querier, &scope, &params).await?),
                Class::Cheap => None,
            };
            let queued = waiting.elapsed();
            scope.record.queued(queued);
            let who = Who::of(&parts.headers, &parts.extensions);
            let (headers, path) = (parts.headers, parts.uri.path().to_owned());
            let method = parts.method;
            let call =
                Call { scope: scope.clone(), params, method, headers, who, path, body, queued };
            let answer = Box::pin(handler(querier.clone(), call)).await;
            drop(permit);
            answer
        };
        match timeout {
            // Whoever gives no time gets no answer, even where it would need none.
            Some(Duration::ZERO) => Err(Error::Timeout("query timed out after 0s".to_owned())),
            Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
                Err(Error::Timeout(format!("query timed out after {limit:?}")))
            }),
            None => call.await,
        }
    }

    /// Waits for the tenant's turn to read.
    pub(crate) async fn enter(
        self,
        querier: &Querier,
        scope: &Scope,
        params: &Params,
    ) -> Result<Permit, Error> {
        let bounds = Bounds {
            max_concurrent: scope.limits.max_concurrent_queries,
            max_waiting: scope.limits.max_outstanding_requests_per_tenant,
            cost: record::cost(self.api, params),
        };
        let entered = querier.queue().enter(&scope.tenant, bounds).await;
        if let Err(Error::TooManyRequests { .. }) = entered {
            querier.metrics().refused.inc();
        }
        entered
    }

    /// Notes that the client wants what there is, if some partitions do not answer.
    fn allow_partial(self, scope: &Scope, params: &Params) -> Result<(), Error> {
        match params.get("partial") {
            None => Ok(()),
            // Nothing in what these send says that something is missing, and it may be kept for ever.
            Some("allow") if WHOLE.contains(&self.op) => {
                Err(Error::parameter("partial", format!("not possible for {}", self.op)))
            }
            Some("allow") => {
                scope.partial.allow();
                Ok(())
            }
            Some(other) => Err(Error::parameter("partial", format!("{other:?} is not \"allow\""))),
        }
    }

    /// The tenant's limit, or less if the request says so.
    fn timeout(self, scope: &Scope, params: &Params) -> Result<Option<Duration>, Error> {
        let limit = Some(scope.limits.query_timeout.0).filter(|d| !d.is_zero());
        let Some(text) = params.get("timeout").filter(|_| self.api == Api::Prometheus) else {
            return Ok(limit);
        };
        let asked = time::duration_ms(text)
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Duration::from_millis)
            .ok_or_else(|| Error::parameter("timeout", not_a_duration(text)))?;
        Ok(Some(limit.map_or(asked, |l| l.min(asked))))
    }
}

/// Says in a header, which every answer can have, which partitions it lacks.
fn with_partial(mut response: Response, partial: &Partial) -> Response {
    let missing = partial.partitions();
    let named: Vec<String> = missing.iter().take(MAX_NAMED).map(u32::to_string).collect();
    if !named.is_empty() {
        let more = if missing.len() > named.len() { ", ..." } else { "" };
        let text = format!("partitions without quorum: {}{more}", named.join(", "));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(PARTIAL, value);
        }
    }
    response
}

pub(crate) fn tenant_of(request: &Request) -> Result<TenantId, Error> {
    request.extensions().get::<TenantId>().cloned().ok_or(Error::NoTenant)
}

/// How the time API answers to a text that is no duration.
pub(crate) fn not_a_duration(text: &str) -> String {
    format!("cannot parse {text:?} to a valid duration")
}
