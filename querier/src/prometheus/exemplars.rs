//! `query_exemplars`: exemplars of the series that a query selects.

use std::sync::Arc;

use skald_model::Matcher;

use super::{Notes, language, optional_range, pieces, success_in_pieces};
use crate::http::reply::Answer;
use crate::http::route::Call;
use crate::{Error, Querier, merge};

pub(super) async fn query(querier: Querier, call: Call) -> Result<Answer, Error> {
    let range = optional_range(&call.params)?;
    if range.is_empty() {
        let cause = "end timestamp must not be before start timestamp";
        return Err(Error::Invalid(cause.to_owned()));
    }
    let text = call.params.get("query").unwrap_or("");
    let selectors = language::selectors(text).map_err(|e| Error::Invalid(e.to_string()))?;
    let mut sources = Vec::new();
    for matchers in selectors {
        let matchers: Arc<[Matcher]> = matchers.into();
        sources.push(querier.fanout().exemplars(&call.scope, &matchers, range).await?);
    }
    let found = merge::exemplars(sources);
    let size = found.iter().map(|(l, e)| 2 * l.as_bytes().len() + 96 * e.len()).sum();
    let data = pieces(found, |json, (labels, exemplars)| {
        json.raw(r#"{"seriesLabels":"#).labels(labels).raw(r#","exemplars":["#);
        let mut first = true;
        for e in exemplars {
            json.sep(&mut first).raw(r#"{"labels":"#).labels(&e.labels);
            json.raw(r#","value":""#).value(e.value);
            json.raw(r#"","timestamp":"#).time_ms(e.timestamp_ms).raw("}");
        }
        json.raw("]}");
    });
    let notes = Notes { warnings: call.scope.partial.warnings(), ..Notes::default() };
    Ok(success_in_pieces(size, notes, data))
}
