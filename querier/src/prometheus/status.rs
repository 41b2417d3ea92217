//! Answers about the server itself, and about rules, of which there are none yet.

use super::{Notes, success};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// The Prometheus whose API this is; clients choose features by it.
const COMPATIBLE_VERSION: &str = "3.5.0";

pub(super) async fn buildinfo(_: Querier, _: Call) -> Result<Answer, Error> {
    Ok(success(256, Notes::default(), |json| {
        json.raw(r#"{"version":"#).string(COMPATIBLE_VERSION);
        json.raw(r#","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":"""#);
        json.raw(r#","application":"Skald","skaldVersion":"#).string(env!("CARGO_PKG_VERSION"));
        json.raw("}");
    }))
}

/// The limits of the tenant who asks, under the names of the overrides file.
pub(super) async fn user_limits(_: Querier, call: Call) -> Result<Answer, Error> {
    let text = serde_json::to_string(&*call.scope.limits);
    let text = text.map_err(|e| Error::Internal(e.to_string()))?;
    Ok(Answer::json(text.len(), move |json| {
        json.raw(&text);
    }))
}

/// What the tenant who asks has and sends, under Cortex's names and two of ours for logs.
pub(super) async fn user_stats(querier: Querier, call: Call) -> Result<Answer, Error> {
    let usage = querier.fanout().usage(&call.scope).await?;
    Ok(Answer::json(192, move |json| {
        json.raw(r#"{"ingestionRate":"#).number(usage.samples_per_second);
        json.raw(r#","numSeries":"#).uint(usage.series);
        json.raw(r#","APIIngestionRate":"#).number(usage.samples_per_second);
        json.raw(r#","RuleIngestionRate":0,"logIngestionRate":"#).number(usage.entries_per_second);
        json.raw(r#","numStreams":"#).uint(usage.streams).raw("}");
    }))
}

pub(super) async fn rules(_: Querier, _: Call) -> Result<Answer, Error> {
    Ok(success(32, Notes::default(), |json| {
        json.raw(r#"{"groups":[]}"#);
    }))
}

pub(super) async fn alerts(_: Querier, _: Call) -> Result<Answer, Error> {
    Ok(success(32, Notes::default(), |json| {
        json.raw(r#"{"alerts":[]}"#);
    }))
}
