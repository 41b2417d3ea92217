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
