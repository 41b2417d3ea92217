//! `metadata`: type, help and unit of metric names.

use skald_model::MetricMetadata;

use super::{Notes, success};
use crate::http::params::Params;
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier};

pub(super) async fn get(querier: Querier, call: Call) -> Result<Answer, Error> {
    let limit = number(&call.params, "limit")?;
    let per_metric = number(&call.params, "limit_per_metric")?;
    let per_metric = if per_metric == 0 { usize::MAX } else { per_metric };
    let mut all = querier.fanout().metadata(&call.scope).await?;
    if let Some(name) = call.params.get("metric") {
        all.retain(|m| m.name == name);
    }
    let size = all.iter().map(|m| m.name.len() + m.help.len() + m.unit.len() + 64).sum();
    Ok(success(size, Notes::default(), move |json| {
        json.raw("{");
        let mut first = true;
        // Sorted by name, so that entries of one name lie together.
        for group in all.chunk_by(|a, b| a.name == b.name).take(limit) {
            json.sep(&mut first).string(&group[0].name).raw(":[");
            let mut first = true;
            for MetricMetadata { kind, help, unit, .. } in group.iter().take(per_metric) {
                json.sep(&mut first).raw(r#"{"type":"#).string(kind);
                json.raw(r#","help":"#).string(help).raw(r#","unit":"#).string(unit).raw("}");
            }
            json.raw("]");
        }
        json.raw("}");
    }))
}

/// A count; absent or negative means no bound.
fn number(params: &Params, name: &str) -> Result<usize, Error> {
    let Some(text) = params.get(name) else { return Ok(usize::MAX) };
    let n: i64 = text.parse().map_err(|_| Error::Invalid(format!("{name} must be a number")))?;
    Ok(usize::try_from(n).unwrap_or(usize::MAX))
}
