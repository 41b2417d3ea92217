//! Answers about the server itself.

use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

/// The Loki whose API this is.
const COMPATIBLE_VERSION: &str = "3.5.0";

pub(super) async fn buildinfo(_: Querier, _: Call) -> Result<Answer, Error> {
    Ok(Answer::json(192, |json| {
        json.raw(r#"{"version":"#).string(COMPATIBLE_VERSION);
        json.raw(r#","revision":"","branch":"","buildDate":"","buildUser":"","goVersion":"""#);
        json.raw(r#","application":"Skald","skaldVersion":"#).string(env!("CARGO_PKG_VERSION"));
        json.raw("}");
    }))
}

/// What Grafana's log explorer asks before it shows anything.
pub(super) async fn drilldown_limits(_: Querier, call: Call) -> Result<Answer, Error> {
    let limits = call.scope.limits;
    Ok(Answer::json(256, move |json| {
        json.raw(r#"{"limits":{"max_query_series":"#).uint(limits.max_query_series as u64);
        json.raw(r#","max_entries_limit_per_query":"#);
        json.uint(limits.max_entries_limit_per_query as u64);
        json.raw(r#","query_timeout":"#).string(&limits.query_timeout.to_string());
        json.raw(r#","max_query_length":"#).string(&limits.max_query_length.to_string());
        json.raw(r#","retention_period":"#).string(&limits.retention_period.to_string());
        json.raw(r#","discover_log_levels":"#).raw(if limits.discover_log_levels {
            "true"
        } else {
            "false"
        });
        json.raw(r#","volume_enabled":true},"pattern_ingester_enabled":true,"version":"""#)
            .raw("}");
    }))
}
